"""Up to four scales of uint8 images: sums down the columns, then across in packed integers.

Prepared is, for every pixel, the sum of the pixels above it in its column, modulo 2**16. The sum
over a cell's column is the difference of two of them: a wrap-around cancels, and so does what
lies beyond the image. A row of a window is one run of memory wherever it starts, so that a look
at a batch is one gather of runs for each scale. What is left is to add up neighbors, which is
done for two or four at a time by one product, all lanes at once. CPU only.

It does a quarter of the reads of a summed-area table in long runs, and is prepared by half of
the additions.
"""

from itertools import pairwise
from math import isqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saccade.geometry import window_starts
from saccade.kernels.across import add_across
from saccade.kernels.checks import check_index

if TYPE_CHECKING:
    from saccade.retina import Retina

CHUNK = 2**20  # numbers at a time: they stay in the cache


def refusal(images: Tensor, retina: "Retina") -> str | None:
    """Why the kernel cannot serve, or None if it can."""
    if images.device.type != "cpu" or images.dtype != torch.uint8:
        return f"serves uint8 images on the CPU only, got {images.dtype} on {images.device}"
    if retina.scales > 1 and (retina.factor != 2 or retina.scales > 4):
        return "serves a factor of 2 and up to 4 scales only"
    return None


def prepare(images: Tensor, retina: "Retina") -> Tensor:
    """Memory for B * C * (H + 1) * (W + n) int16, n the side of the widest window.

    Behind each row are n zeros, so that a window that leaves the image on either side finds them.
    """
    batch, channels, height, width = images.shape
    side = retina.sides[-1]
    ready = images.new_zeros(
        side + batch * channels * (height + 1) * (width + side), dtype=torch.int16
    )
    refill(images, ready, retina, None)
    return ready


def refill(images: Tensor, ready: Tensor, retina: "Retina", which: Tensor | None) -> None:
    """Sums the images anew, all or those numbered `which`."""
    batch, channels, height, width = images.shape
    side = retina.sides[-1]
    sums = ready[side:].view(batch, channels, height + 1, width + side)[..., 1:, :width]
    if which is None:
        _add_down(sums.flatten(0, 1), images.flatten(0, 1))
    else:
        chosen = images[which]
        part = torch.empty_like(chosen, dtype=torch.int16)
        _add_down(part.flatten(0, 1), chosen.flatten(0, 1))
        sums[which] = part


def _add_down(sums: Tensor, planes: Tensor) -> None:
    """Writes the sums of planes `(P, H, W)` down their columns."""
    count, height, width = planes.shape
    step = max(1, CHUNK // (height * width))
    for begin in range(0, count, step):
        part = sums[begin : begin + step]
        part.copy_(planes[begin : begin + step])
        if part.shape[0] * width > 4096:  # one row after the other
            _accumulate(part)
            continue
        # Small ones within bands of rows, all bands at once, then band after band: fewer steps.
        band = isqrt(height)
        whole = height // band * band
        _accumulate(part[:, :whole].unflatten(1, (-1, band)).transpose(1, 2))
        bands = part.split(band, 1)
        for above, below in pairwise(bands):
            if below.shape[1] < band:  # the rows that are left over
                _accumulate(part[:, whole - 1 :])
            else:
                below.add_(above[:, -1:])


def _accumulate(rows: Tensor) -> None:
    """Adds to each slice of dimension 1 the one before it, in order."""
    slices = rows.unbind(1)
    for above, row in pairwise(slices):
        row.add_(above)


def look(
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    retina: "Retina",
    dtype: torch.dtype,
) -> Tensor:
    """Takes one glimpse at each location; see `saccade.retina.Retina.look`."""
    channels, height, width = images.shape[1:]
    count, g, sides = len(locations), retina.size, retina.sides
    pitch = width + sides[-1]
    device = images.device
    if image_index is None:
        image_index = torch.arange(count, device=device)
    else:
        check_index(image_index, len(images))
    # Where in memory the rows of sums start, (S, N, C, g+1): the scales one after the other.
    kind = torch.int32 if ready.numel() < 2**31 else torch.int64
    plane = image_index[:, None] * channels + torch.arange(channels, device=device)
    plane = plane.mul_((height + 1) * pitch).add_(sides[-1]).to(kind)  # (N, C)
    starts = window_starts(locations, g, len(sides), retina.factor, height, width)
    starts = starts.movedim(1, 0).to(kind, memory_format=torch.contiguous_format)  # (S, N, 2)
    cell = retina.factor ** torch.arange(len(sides), dtype=kind, device=device)
    rows = starts[..., 1:] + cell[:, None, None] * torch.arange(g + 1, dtype=kind, device=device)
    rows.clamp_(0, height).mul_(pitch).add_(starts[..., :1])
    runs = rows[:, :, None] + plane[..., None]
    area = torch.tensor(
        [255.0 * 4**s for s in range(len(sides))], dtype=torch.float32, device=device
    )
    out = torch.empty(count, len(sides), channels, g, g, dtype=torch.float32, device=device)
    last = ready.numel()
    every = [ready.as_strided((last - side + 1, side), (1, 1)) for side in sides]
    step = max(1, CHUNK // (channels * (g + 1) * sides[-1]))
    for begin in range(0, count, step):
        end = min(begin + step, count)
        for s, side in enumerate(sides):
            read = every[s].index_select(0, runs[s, begin:end].view(-1)).view(-1, g + 1, side)
            cells = add_across(read[:, 1:] - read[:, :-1], 2**s)
            torch.div(cells.view(-1, channels, g, g), area[s], out=out[begin:end, s])
    return out.to(dtype)
