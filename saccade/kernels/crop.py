"""One scale: images padded once, windows copied row by row.

Between two rows of an image, and between two images, lie as many zeros as a window is wide, so
that a window which leaves the image finds them whichever way it goes. A row of a window is then
one run of memory, and a look one gather of runs.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from saccade.geometry import patch_starts
from saccade.kernels.checks import check_index
from saccade.kernels.traced import is_traced

if TYPE_CHECKING:
    from saccade.retina import Retina

CHUNK = 2**19  # elements of windows at a time: they stay in the cache


def refusal(images: Tensor, retina: "Retina") -> str | None:
    """Why the kernel cannot serve, or None if it can."""
    return None if retina.scales == 1 else "serves a retina of one scale only"


def prepare(images: Tensor, retina: "Retina") -> Tensor:
    """Memory for B * C * (H + g) * (W + g) pixels, and some zeros before and behind them."""
    batch, channels, height, width = images.shape
    g = retina.size
    pitch = width + g
    lead = g * pitch + g  # a window may start g rows and g columns before an image
    ready = images.new_zeros(lead + batch * channels * (height + g) * pitch)
    refill(images, ready, retina, None)
    return ready


def refill(images: Tensor, ready: Tensor, retina: "Retina", which: Tensor | None) -> None:
    """Copies the images anew, all or those numbered `which`."""
    batch, channels, height, width = images.shape
    g = retina.size
    padded = ready[g * (width + g) + g :].view(batch, channels, height + g, width + g)
    inside = padded[..., :height, :width]
    if which is None:
        # Rows are short: as wider numbers, where all of them can be, they are fewer to copy.
        wide = images.dtype == torch.uint8 and width % 4 == 0 and g % 4 == 0
        if wide and not is_traced(images) and images.storage_offset() % 4 == 0:
            inside, images = inside.view(torch.int32), images.view(torch.int32)
        inside.copy_(images)
    else:
        inside[which] = images[which]


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
    count, g, device = len(locations), retina.size, locations.device
    pitch = width + g
    plane = (height + g) * pitch
    lead = g * pitch + g
    if image_index is None:
        end = lead + count * channels * plane
        first = torch.arange(lead, end, channels * plane, dtype=torch.float64, device=device)
    else:
        check_index(image_index, len(images))
        first = image_index.double().mul_(channels * plane).add_(lead)
    starts = patch_starts(locations, g, height, width)
    first = torch.add(starts[:, 0], starts[:, 1], alpha=pitch).add_(first).long()
    runs = torch.arange(0, g * pitch, pitch, device=device)  # (g,)
    if channels > 1:
        runs = (runs + torch.arange(0, channels * plane, plane, device=device)[:, None]).view(-1)
    runs = (first[:, None] + runs).view(-1)  # (N * C * g,)
    every = ready.as_strided((ready.numel() - g + 1, g), (1, 1))  # all runs of g pixels
    # On the device: by a number of Python's a GPU divides with its reciprocal, which is not exact.
    full = torch.full((), 255.0, dtype=torch.float32, device=device)
    step = CHUNK // g + 1
    if len(runs) <= step:
        rows = every.index_select(0, runs).to(torch.float32)
        if ready.dtype == torch.uint8:
            rows.div_(full)
    else:
        rows = torch.empty(len(runs), g, dtype=torch.float32, device=device)
        for some, part in zip(rows.split(step), runs.split(step), strict=True):
            some.copy_(every.index_select(0, part))
            if ready.dtype == torch.uint8:
                some.div_(full)
    return rows.view(count, 1, channels, g, g).to(dtype)
