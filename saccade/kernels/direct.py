"""Nothing prepared: the windows' rows are copied together, a chunk at a time, and added up.

A row of a window is one run of memory wherever it starts, so that a look at a batch is one
gather of runs. The pixels of uint8 images are added in pairs packed into wider whole numbers,
all lanes at once, and a scale is made of the one inside it (even g; with odd g windows of two
scales do not line up, and each is made alone). Reads are of the widest window: this is for
images much larger than it, or for few looks. CPU only.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saccade.geometry import patch_starts
from saccade.kernels.across import add_across
from saccade.kernels.checks import check_index
from saccade.kernels.scratch import scratch

if TYPE_CHECKING:
    from saccade.retina import Retina

CHUNK = 2**22  # bytes of windows at a time: they stay in the cache


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
    """The images themselves; looks take some megabytes, once a thread, for a chunk of windows."""
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
    plane = torch.arange(0, channels * height * width, height * width, device="cpu")
    if image_index is None:
        image_index = torch.arange(count, device="cpu")
    else:
        check_index(image_index, len(images))
    # Where in memory each channel of each image starts, (N, C).
    plane = torch.add(plane, image_index[:, None], alpha=channels * height * width)
    out = torch.empty(count, scales, channels, g, g, dtype=torch.float32, device="cpu")
    area = _areas(scales, 255.0 if ready.dtype == torch.uint8 else 1.0)
    nested = g % 2 == 0
    for scale in [scales - 1] if nested else range(scales):
        inner = range(0 if nested else scale, scale + 1)
        side = retina.sides[scale]
        starts = patch_starts(locations, side, height, width).long()
        step = max(1, CHUNK // (channels * side * side * ready.element_size()))
        for begin in range(0, count, step):
            some = slice(begin, begin + step)
            windows = _copy(ready, plane[some], starts[some], side)
            glimpses = out[some]
            for s, cells in zip(inner, _pool(windows, g, inner), strict=True):
                glimpses[:, s].copy_(cells.view(-1, channels, g, g))
            made = slice(inner.start, inner.stop)
            glimpses[:, made].div_(area[made])
    return out.to(dtype)


@lru_cache(maxsize=64)
def _areas(scales: int, full: float) -> Tensor:
    """`(S, 1, 1, 1)`, what the sums of a scale's cells are divided by."""
    areas = [full * 4**s for s in range(scales)]
    return torch.tensor(areas, dtype=torch.float32, device="cpu").view(-1, 1, 1, 1)


@lru_cache(maxsize=64)
def _inside(side: int, length: int, dtype: torch.dtype) -> Tensor:
    """Which pixels of a window of `side` lie in an image of `length`, along one axis.

    Returns:
        `(side + length + 1, side)`, row i for a window that starts at i - side: all bits of a
        number are set where the pixel is in the image, none where it is not.
    """
    ramp = torch.zeros(side + length + side, dtype=dtype, device="cpu")
    ramp[side : side + length] = 255 if dtype == torch.uint8 else -1
    return ramp.as_strided((side + length + 1, side), (1, 1))


def _copy(images: Tensor, plane: Tensor, starts: Tensor, side: int) -> Tensor:
    """Windows out of the images, zero outside.

    Args:
        images: `(B, C, H, W)`, contiguous.
        plane: `(N, C)`, where in memory each channel of each image to look at starts.
        starts: `(N, 2)`, first pixel of each window, (x, y).
        side: Of a window, in pixels; no more than there are pixels in all images.

    Returns:
        `(N * C, side, side)`: scratch memory, the same each time.
    """
    (height, width), last = images.shape[-2:], images.numel() - side
    count, channels = plane.shape
    x, y = starts.unbind(1)
    (x_low, y_low), (x_high, y_high) = (end.tolist() for end in starts.aminmax(dim=0))
    first = torch.add(x, y, alpha=width)[:, None] + plane
    low, high = (int(end) for end in first.aminmax())
    runs = first[..., None] + torch.arange(0, side * width, width, device="cpu")
    strays = low < 0 or high + (side - 1) * width > last
    # Where a window leaves the image runs go on into other rows, or lie in other images: these
    # pixels are put out. Only at both ends of memory a run has to be moved to stay inside.
    windows = scratch("windows", (runs.numel(), side), images.dtype)
    every = images.view(-1).as_strided((last + 1, side), (1, 1))  # all runs of `side` pixels
    kept = runs.clamp(0, last) if strays else runs
    torch.index_select(every, 0, kept.view(-1), out=windows)
    if strays:
        rows = _inside(side, height, torch.uint8).index_select(0, y + side).bool()
        _move_back(images, windows, runs, (kept != runs) & rows[:, None])
    wide = torch.int64 if side * images.element_size() % 8 == 0 else torch.uint8
    lanes = windows.view(wide).view(count, channels, side, -1)
    if x_low < 0 or x_high + side > width:
        bits = torch.uint8 if images.element_size() == 1 else torch.int32
        columns = _inside(side, width, bits).index_select(0, x + side)
        lanes.bitwise_and_(columns.view(wide)[:, None, None])
    if y_low < 0 or y_high + side > height:
        rows = _inside(side, height, wide).index_select(0, y + side)
        lanes.bitwise_and_(rows[:, None, :, None])
    return windows.view(-1, side, side)


def _move_back(images: Tensor, windows: Tensor, runs: Tensor, moved: Tensor) -> None:
    """Copies runs that had to be moved again, pixel by pixel: few, at both ends of memory."""
    which = moved.view(-1).nonzero()[:, 0]
    pixels = runs.view(-1)[which, None] + torch.arange(windows.shape[1], device="cpu")
    windows[which] = images.view(-1)[pixels.clamp_(0, images.numel() - 1)]


def _pool(windows: Tensor, g: int, scales: range) -> Iterator[Tensor]:
    """Adds up the cells of some scales of `(M, n, n)` windows, the middle `(M, g, g)` of each.

    Windows of bytes are spoiled.
    """
    return (_pool_bytes if windows.dtype == torch.uint8 else _pool_floats)(windows, g, scales)


def _pool_floats(windows: Tensor, g: int, scales: range) -> Iterator[Tensor]:
    for s in range(scales[-1] + 1):
        if s:
            rows = _add_rows(windows, f"rows {s}")
            n = rows.shape[1]
            windows = scratch(f"cells {s}", (len(rows), n, n), rows.dtype)
            torch.add(rows[..., ::2], rows[..., 1::2], out=windows)
        if s in scales:
            edge = (len(windows[0]) - g) // 2
            yield windows[:, edge : edge + g, edge : edge + g]


def _pool_bytes(windows: Tensor, g: int, scales: range) -> Iterator[Tensor]:
    # Pixels are added two by two, then rows alone: the neighbors in a row, 2**(s-1) of them to a
    # cell, are added up for the middle only.
    sums = windows
    for s in range(scales[-1] + 1):
        if s == 1:  # two pixels lie in one int16: even + 256 odd, less 255 odd
            pairs = windows.view(torch.int16)
            odd = scratch("other", tuple(pairs.shape), torch.int16)
            torch.bitwise_right_shift(pairs, 8, out=odd).bitwise_and_(255)
            sums = pairs.sub_(odd, alpha=255)
        if s:  # to and fro between two pieces of memory: what is in one is needed no more
            sums = _add_rows(sums, "other" if s % 2 else "windows")
        if s in scales:
            cell = 2 ** max(0, s - 1)
            edge = (sums.shape[1] - g) // 2
            middle = sums[:, edge : edge + g, edge * cell : (edge + g) * cell]
            if cell == 8:  # the sums of four fit in 15 bits, those of eight do not
                fours = add_across(middle, 4).int()
                yield fours[..., ::2] + fours[..., 1::2]
            else:
                yield add_across(middle, cell)


def _add_rows(sums: Tensor, name: str) -> Tensor:
    """Adds up rows two by two, `(M, 2n, w)` to `(M, n, w)` in scratch memory of that name."""
    half = scratch(name, (len(sums), sums.shape[1] // 2, sums.shape[2]), sums.dtype)
    return torch.add(sums[:, ::2], sums[:, 1::2], out=half)
