"""Nothing prepared: the windows' rows are copied together, a chunk at a time, and added up.

A row of a window is one run of memory wherever it starts, so that a look at a batch is one
gather of runs. The pixels of uint8 images are added in pairs packed into wider whole numbers,
all lanes at once, and a scale is made of the one inside it (even g; with odd g windows of two
scales do not line up, and each is made alone). Reads are of the widest window: this is for
images much larger than it, or for few looks. CPU only.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saccade.geometry import window_starts
from saccade.kernels.checks import check_index

if TYPE_CHECKING:
    from saccade.retina import Retina

CHUNK = 2**20  # bytes of windows at a time: they stay in the cache


def refusal(images: Tensor, retina: "Retina") -> str | None:
    """Why the kernel cannot serve, or None if it can."""
    if images.device.type != "cpu":
        return "serves images on the CPU only"
    if images.dtype not in (torch.uint8, torch.float32):
        return f"serves uint8 and float32 images, got {images.dtype}"
    if retina.scales > 1 and (retina.factor != 2 or retina.scales > 5):
        return "serves a factor of 2 and up to 5 scales only"
    if images.numel() < retina.sides[-1]:
        return f"needs at least {retina.sides[-1]} pixels, as a row of the widest window"
    return None


def prepare(images: Tensor, retina: "Retina") -> Tensor:
    """The images themselves; a look takes some megabytes for the windows of a chunk."""
    return images


def look(
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    retina: "Retina",
    dtype: torch.dtype,
) -> Tensor:
    """Takes one glimpse at each location; see `saccade.retina.Retina.look`."""
    channels, height, width = ready.shape[1:]
    count, g, scales = len(locations), retina.size, retina.scales
    device = images.device
    if image_index is None:
        image_index = torch.arange(count, device=device)
    else:
        check_index(image_index, len(images))
    starts = window_starts(locations, g, scales, retina.factor, height, width)
    plane = image_index[:, None] * channels + torch.arange(channels, device=device)
    plane *= height * width  # (N, C)
    out = torch.empty(count, scales, channels, g, g, dtype=torch.float32, device=device)
    nested = g % 2 == 0
    for scale in [scales - 1] if nested else range(scales):
        inner = range(scale + 1) if nested else [scale]
        side = retina.sides[scale]
        step = max(1, CHUNK // (channels * side * side * ready.element_size()))
        for begin in range(0, count, step):
            end = min(begin + step, count)
            windows = _copy(ready, plane[begin:end], starts[begin:end, scale], side)
            for s in range(scale + 1):
                if s:
                    windows = _halve(windows)
                if s in inner:
                    edge = (windows.shape[-1] - g) // 2
                    middle = windows[..., edge : edge + g, edge : edge + g]
                    out[begin:end, s] = middle.view(end - begin, channels, g, g)
    full = 255.0 if ready.dtype == torch.uint8 else 1.0
    areas = [full * 4**s for s in range(scales)]
    out.div_(torch.tensor(areas, dtype=torch.float32, device=device).view(-1, 1, 1, 1))
    return out.to(dtype)


def _copy(images: Tensor, plane: Tensor, starts: Tensor, side: int) -> Tensor:
    """Windows out of the images, zero outside.

    Args:
        images: `(B, C, H, W)`, contiguous.
        plane: `(N, C)`, where in memory each channel of each image to look at starts.
        starts: `(N, 2)`, first pixel of each window, (x, y).
        side: Of a window, in pixels; no more than there are pixels in all images.

    Returns:
        `(N * C, side, side)`.
    """
    height, width = images.shape[-2:]
    steps = torch.arange(side, device=images.device)
    (x_low, y_low), (x_high, y_high) = (end.tolist() for end in starts.aminmax(dim=0))
    xs, ys = starts[:, :1], starts[:, 1:] + steps  # (N, 1) and (N, side)
    crosses = y_low < 0 or y_high + side > height
    rows = ys.clamp(0, height - 1) if crosses else ys
    runs = (plane[..., None] + (rows * width + xs)[:, None]).view(-1)  # (N * C * side,)
    # Beside the image a run goes on into its neighbor rows, and these are put out below. Only at
    # both ends of memory it has to be moved to stay inside, and its pixels then back again.
    last = images.numel() - side
    low, high = (int(end) for end in runs.aminmax())
    inside = runs if low >= 0 and high <= last else runs.clamp(0, last)
    every = images.view(-1).as_strided((last + 1, side), (1, 1))  # all runs of `side` pixels
    windows = every.index_select(0, inside)
    if inside is not runs:
        moved = (inside != runs).nonzero()[:, 0]
        pixels = (runs[moved, None] + steps).clamp_(0, images.numel() - 1)
        windows[moved] = images.view(-1)[pixels]
    wide = torch.int64 if side * images.element_size() % 8 == 0 else torch.uint8
    if crosses:
        outside = (rows != ys)[:, None].expand(-1, plane.shape[1], -1).reshape(-1)
        windows.view(wide).index_fill_(0, outside.nonzero()[:, 0], 0)
    windows = windows.view(len(starts), -1, side)
    if x_low < 0 or x_high + side > width:
        columns = xs + steps
        keep = ((columns >= 0) & (columns < width)).to(torch.uint8).neg_()  # 255 or 0
        keep = keep.repeat_interleave(images.element_size(), 1).view(wide)
        windows.view(wide).bitwise_and_(keep[:, None])
    return windows.view(-1, side, side)


def _halve(windows: Tensor) -> Tensor:
    """Adds the cells of `(M, n, n)` up two by two, to `(M, n/2, n/2)`; may spoil its input."""
    n = windows.shape[-1]
    if windows.dtype == torch.uint8:  # two of them lie in one int16
        pairs = windows.view(torch.int16)
        odd = (pairs >> 8).bitwise_and_(255)
        pairs = pairs.sub_(odd, alpha=255).view(-1, n // 2, 2, n // 2)  # even + 256 odd - 255 odd
        return pairs[:, :, 0] + pairs[:, :, 1]
    rows = windows.view(-1, n // 2, 2, n)
    rows = rows[:, :, 0] + rows[:, :, 1]
    if windows.dtype == torch.int16:  # the upper half of the product is the sum of both
        return rows.view(torch.int32).mul_(0x00010001).bitwise_right_shift_(16)
    return rows[..., ::2] + rows[..., 1::2]
