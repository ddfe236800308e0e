"""Nothing prepared: the windows' rows are copied together, a chunk at a time, and added up.

A row of a window is one run of memory wherever it starts, so that a look at a batch is one
gather of runs. The pixels of uint8 images are added in pairs packed into wider whole numbers,
all lanes at once, and a scale is made of the one inside it (even g; with odd g windows of two
scales do not line up, and each is made alone). Reads are of the widest window: this is for
images much larger than it, or for few looks. CPU only.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saccade.geometry import window_starts
from saccade.kernels.across import add_across
from saccade.kernels.checks import check_index
from saccade.kernels.scratch import scratch

if TYPE_CHECKING:
    from saccade.retina import Retina

CHUNK = 2**21  # bytes of windows at a time: they stay in the cache
RUNS = 2**19  # rows of windows whose places in memory are found at a time


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
    count, g, scales, device = len(locations), retina.size, retina.scales, images.device
    if image_index is None:
        plane = torch.arange(count * channels, device=device).view(count, channels)
    else:
        check_index(image_index, len(images))
        plane = image_index[:, None] * channels + torch.arange(channels, device=device)
    plane = plane.mul_(height * width)  # where in memory each channel of each image starts
    out = torch.empty(count, scales, channels, g, g, dtype=torch.float32, device=device)
    full = 255.0 if ready.dtype == torch.uint8 else 1.0
    areas = [full * 4**s for s in range(scales)]
    area = torch.tensor(areas, dtype=torch.float32, device=device)
    nested = g % 2 == 0
    for scale in [scales - 1] if nested else range(scales):
        inner = range(0 if nested else scale, scale + 1)
        side = retina.sides[scale]
        starts = window_starts(locations, side, 1, 1, height, width)[:, 0]
        step = max(1, CHUNK // (channels * side * side * ready.element_size()))
        begin, group = 0, max(step, RUNS // (channels * side))
        for planes, corners in zip(plane.split(group), starts.split(group), strict=True):
            for windows in _copy(ready, planes, corners, side, step):
                end = begin + len(windows) // channels
                for s, cells in zip(inner, _pool(windows, g, inner), strict=True):
                    cells = cells.view(end - begin, channels, g, g)
                    torch.div(cells, area[s], out=out[begin:end, s])
                begin = end
    return out.to(dtype)


def _copy(images: Tensor, plane: Tensor, starts: Tensor, side: int, step: int) -> Iterator[Tensor]:
    """Windows out of the images, zero outside.

    Args:
        images: `(B, C, H, W)`, contiguous.
        plane: `(N, C)`, where in memory each channel of each image to look at starts.
        starts: `(N, 2)`, first pixel of each window, (x, y).
        side: Of a window, in pixels; no more than there are pixels in all images.
        step: How many of the N to copy at a time.

    Yields:
        `(step * C, side, side)`, or fewer at the end: scratch memory, the same each time.
    """
    if not len(starts):
        return
    (height, width), channels = images.shape[-2:], plane.shape[1]
    (x_low, y_low), (x_high, y_high) = (end.tolist() for end in starts.aminmax(dim=0))
    steps = torch.arange(side, device=images.device)
    xs, rows = starts[:, :1], starts[:, 1:] + steps  # (N, 1) and (N, side)
    beyond = keep = moved = None
    if y_low < 0 or y_high + side > height:
        beyond = (rows < 0).logical_or_(rows >= height)
        rows.clamp_(0, height - 1)
    runs = (rows.mul_(width).add_(xs)[:, None] + plane[..., None]).flatten(1)  # (N, C * side)
    wide = torch.int64 if side * images.element_size() % 8 == 0 else torch.uint8
    last = images.numel() - side
    if x_low < 0 or x_high + side > width:
        # A run goes on into its neighbor rows there, and these are put out. Only at both ends of
        # memory it has to be moved to stay inside, and its pixels then back again.
        columns = xs + steps
        keep = (columns >= 0).logical_and_(columns < width).to(torch.uint8).neg_()  # 255 or 0
        keep = keep.repeat_interleave(images.element_size(), 1).view(wide)[:, None]
        low, high = (int(end) for end in runs.aminmax())
        if low < 0 or high > last:
            moved, runs = runs, runs.clamp(0, last)
    every = images.view(-1).as_strided((last + 1, side), (1, 1))  # all runs of `side` pixels
    for begin in range(0, len(starts), step):
        some = slice(begin, begin + step)
        number = len(starts[some])
        windows = scratch("windows", (number * channels * side, side), images.dtype)
        torch.index_select(every, 0, runs[some].view(-1), out=windows)
        if moved is not None:
            which = (moved[some] != runs[some]).view(-1).nonzero()[:, 0]
            pixels = (moved[some].view(-1)[which, None] + steps).clamp_(0, images.numel() - 1)
            windows[which] = images.view(-1)[pixels]
        lanes = windows.view(wide).view(number, channels * side, -1)
        if keep is not None:
            lanes.bitwise_and_(keep[some])
        if beyond is not None:
            outside = beyond[some].repeat(1, channels).view(-1).nonzero()[:, 0]
            lanes.flatten(0, 1).index_fill_(0, outside, 0)
        yield windows.view(-1, side, side)


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
    pairs = sums.unflatten(1, (-1, 2))
    half = scratch(name, (len(sums), pairs.shape[1], pairs.shape[3]), sums.dtype)
    return torch.add(pairs[:, :, 0], pairs[:, :, 1], out=half)
