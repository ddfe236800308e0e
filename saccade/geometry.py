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
    centers = to_pixels(locations, height, width)
    if scales == 1:  # with few operations: environments look at small batches
        starts = (centers if size % 2 else centers.add_(0.5)).floor_().sub_(size // 2)
        starts = starts.nan_to_num_(nan=float("inf")).unsqueeze(1)
        if height == width:
            return starts.clamp_(-size, width).long()
        lowest = starts.new_full((), -size)
    else:
        # Made on the device: nothing here is copied to it, so nothing waits for it.
        sides = (size * factor ** torch.arange(scales, device=locations.device))[:, None]
        starts = (centers[:, None] + 0.5 * (sides % 2 == 0)).floor_().sub_(sides // 2)
        starts = starts.nan_to_num_(nan=float("inf"))
        lowest = -sides.double()
    # A NaN cannot become an integer: it is sent outside, where a glimpse is all zero.
    ends = [starts[..., 0].clamp(max=width), starts[..., 1].clamp(max=height)]
    return torch.stack(ends, -1).clamp_(min=lowest).long()
