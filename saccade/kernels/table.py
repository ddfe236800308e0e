"""Any scales: a summed-area table, four reads a cell.

For uint8 images the table holds whole numbers modulo 2**16, or 2**32 where cells are large: it
may wrap around as often as it likes, a cell comes out right as long as *its* sum fits. For float
images it holds float64, which keeps float32 to 3e-8 at 4096 x 4096.

After F. C. Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saccade.geometry import window_starts
from saccade.kernels.checks import check_index

if TYPE_CHECKING:
    from saccade.retina import Retina

CHUNK = 2**17  # numbers at a time: they stay in the cache
GPU_CHUNK = 2**26  # on a GPU, where few large steps are faster: 0.7 GB for bytes, 2.5 for floats


def refusal(images: Tensor, retina: "Retina") -> str | None:
    """None: it serves everything."""
    return None


def prepare(images: Tensor, retina: "Retina") -> Tensor:
    """`(B, C, H+1, W+1)`: 2 bytes a pixel of uint8 images (4 for cells over 11 x 11), else 8."""
    batch, channels, height, width = images.shape
    kind = torch.float64
    if images.dtype == torch.uint8:
        largest = 255 * retina.factor ** (2 * (retina.scales - 1))
        kind = torch.int16 if largest < 2**15 else torch.int32
    ready = torch.empty(batch, channels, height + 1, width + 1, dtype=kind, device=images.device)
    refill(images, ready, retina, None)
    return ready


def refill(images: Tensor, ready: Tensor, retina: "Retina", which: Tensor | None) -> None:
    """Sums the images anew, all or those numbered `which`."""
    if which is None:
        _fill(ready.flatten(0, 1), images.flatten(0, 1))
    else:
        part = torch.empty(len(which), *ready.shape[1:], dtype=ready.dtype, device=ready.device)
        _fill(part.flatten(0, 1), images[which].flatten(0, 1))
        ready[which] = part


def _fill(table: Tensor, planes: Tensor) -> None:
    """Writes the table `(P, H+1, W+1)` of planes `(P, H, W)`."""
    table[:, 0], table[:, :, 0] = 0, 0
    inside = table[:, 1:, 1:]
    if planes.is_cuda:
        inside.copy_(planes.cumsum(-1, dtype=table.dtype).cumsum(-2, dtype=table.dtype))
        return
    step = max(1, 4 * CHUNK // (planes.shape[1] * planes.shape[2]))
    for begin in range(0, len(planes), step):
        part = inside[begin : begin + step]
        part.copy_(planes[begin : begin + step].cumsum(-1, dtype=table.dtype))
        rows = part.unbind(1)
        for above, row in pairwise(rows):  # in order of memory, unlike cumsum
            row.add_(above)


def look(
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    retina: "Retina",
    dtype: torch.dtype,
) -> Tensor:
    """Takes one glimpse at each location; see `saccade.retina.Retina.look`.

    It also takes memory for an index and four sums of a cell's corners, a chunk at a time.
    """
    channels, rows, columns = ready.shape[1:]
    count, g, scales, device = len(locations), retina.size, retina.scales, locations.device
    kind = torch.int32 if ready.numel() < 2**31 else torch.int64
    starts = window_starts(locations, g, scales, retina.factor, rows - 1, columns - 1).to(kind)
    cell = retina.factor ** torch.arange(scales, dtype=kind, device=device)  # (S,)
    steps = cell[:, None] * torch.arange(g + 1, dtype=kind, device=device)  # (S, g+1)
    xs = (starts[..., 0, None] + steps).clamp_(0, columns - 1)  # (N, S, g+1)
    ys = (starts[..., 1, None] + steps).clamp_(0, rows - 1).mul_(columns)
    if image_index is None:
        image_index = torch.arange(count, device=device)
    else:
        check_index(image_index, len(images))
    plane = image_index[:, None] * channels + torch.arange(channels, device=device)
    plane = plane.to(kind).mul_(rows * columns)  # (N, C)
    ys = ys[:, :, None] + plane[:, None, :, None]  # (N, S, C, g+1)

    full = 255 if images.dtype == torch.uint8 else 1
    area = (cell.double() ** 2 * full).view(-1, 1, 1, 1)
    largest = full * retina.factor ** (2 * (scales - 1))
    in_float = full == 255 and largest < 2**24  # both exact there: their quotient is rounded once
    area = area.float() if in_float else area
    flat = ready.view(-1)
    out = torch.empty(count, scales, channels, g, g, dtype=torch.float32, device=device)
    chunk = CHUNK if device.type == "cpu" else GPU_CHUNK
    step = max(1, chunk // (scales * channels * (g + 1) ** 2))
    for begin in range(0, count, step):
        end = min(begin + step, count)
        corner = ys[begin:end, ..., None] + xs[begin:end, :, None, None]
        read = flat.index_select(0, corner.view(-1)).view(corner.shape)
        bands = read[..., 1:, :] - read[..., :-1, :]
        cells = bands[..., 1:] - bands[..., :-1]
        out[begin:end] = cells if in_float else cells / area
    return (out.div_(area) if in_float else out).to(dtype)
