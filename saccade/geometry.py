"""Where things are: the one place that turns gaze locations into pixels and back.

Convention:
    A location is `(x, y)`, float, in [-1, 1]; x runs to the right, y runs down.
    -1 and +1 are the outer *edges* of the image (as `align_corners=False`), (0, 0) its center.
    Pixel i of a side of W pixels covers [i, i + 1) and has its center at (2i + 1)/W - 1.
    Sizes are `(height, width)`; images may have any shape; locations may lie outside.

Scale s of a retina covers a square of side n = size * factor**s pixels. Along each axis its
window starts at floor(c - n/2 + 1/2), c = (x + 1)/2 * W in float64: round half up. For even
n all windows are concentric around one vertex of the pixel grid, floor(c + 1/2); for odd n
scale 0 is centered on a pixel, floor(c). It is c or c + 1/2 that is rounded down, before n // 2 is
taken off: taken off before, a wider n would round away what lies between c and a half.
"""

import torch
from torch import Tensor


def to_pixels(locations: Tensor, height: int, width: int) -> Tensor:
    """Turns locations into continuous pixel coordinates.

    Args:
        locations: `(..., 2)` as (x, y) in [-1, 1].
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        `(..., 2)` float64 as (x, y) in [0, width] and [0, height]; pixel i has its center
        at i + 0.5.
    """
    twice = locations.double() + 1
    if height == width:
        return twice.mul_(width / 2)  # halving is exact: (x + 1)/2 * W to the last bit
    return torch.stack([twice[..., 0] * (width / 2), twice[..., 1] * (height / 2)], -1)


def to_locations(pixels: Tensor, height: int, width: int) -> Tensor:
    """Turns continuous pixel coordinates into locations; the inverse of `to_pixels`.

    Args:
        pixels: `(..., 2)` as (x, y); the center of pixel i is i + 0.5.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        `(..., 2)` float32 as (x, y) in [-1, 1].
    """
    share = torch.stack([pixels[..., 0].double() / width, pixels[..., 1].double() / height], -1)
    return (share * 2 - 1).float()


def window_sides(size: int, scales: int, factor: int) -> list[int]:
    """Sides in pixels of a retina's windows, finest first: `size * factor**s`."""
    return [size * factor**s for s in range(scales)]


def window_starts(
    locations: Tensor, size: int, scales: int, factor: int, height: int, width: int
) -> Tensor:
    """First pixel of every window of a retina, on each axis.

    Args:
        locations: `(N, 2)` as (x, y), finite.
        size: Side of a glimpse in pixels.
        scales: How many windows.
        factor: By how much each window is wider than the one inside it.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        `(N, scales, 2)` int64 as (x, y); may be negative or beyond the image. Windows that
        miss the image altogether are pulled up to its border, which they still miss.
    """
    starts = _starts(locations, window_sides(size, scales, factor), height, width)
    return (torch.stack(starts, 1) if scales > 1 else starts[0].unsqueeze(1)).long()


def patch_starts(locations: Tensor, size: int, height: int, width: int) -> Tensor:
    """First pixel of a single window, as `window_starts`: `(N, 2)`, whole numbers in float64."""
    return _starts(locations, [size], height, width)[0]


def _starts(locations: Tensor, sides: list[int], height: int, width: int) -> list[Tensor]:
    """First pixels of windows of each of some sides, `(N, 2)` float64 each."""
    centers = to_pixels(locations, height, width)
    whole: dict[int, Tensor] = {}  # c rounded down for odd sides, c + 1/2 for even ones
    for odd in {side % 2 for side in sides}:
        rounded = (centers if odd else centers + 0.5).floor()
        whole[odd] = rounded.nan_to_num_(nan=float("inf"))  # a NaN cannot become an integer
    starts = []
    for side in sides:
        start = whole[side % 2] - side // 2
        if height == width:
            start.clamp_(-side, width)
        else:
            start[:, 0].clamp_(-side, width)
            start[:, 1].clamp_(-side, height)
        starts.append(start)
    return starts
