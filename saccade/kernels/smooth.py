"""The differentiable retina: windows at sub-pixel positions, with gradients to where they are.

An image is piecewise constant: pixel i is worth its value everywhere in [i, i + 1). A window of
n pixels a side around a center c starts at c - n/2 exactly, where `Retina.look` starts at the
nearest whole pixel, floor(c - n/2 + 1/2). Each cell is the exact integral of the image over it,
divided by its area; outside the image is zero. So the two agree wherever c - n/2 is whole: for
even n around a vertex of the pixel grid, for odd n around the center of a pixel. (With an odd
`size` and an even factor no center is both: the finest scale then agrees around pixels' centers,
the others around vertices.)

The integral from the image's corner to (x, y) is the summed-area table interpolated bilinearly,
which is not an approximation: inside a pixel that integral *is* bilinear. A cell is then four
reads of the interpolated table at any scale, where weighting all pixels by their overlap with
each cell would take height * width products a glimpse. The table is float64 and therefore exact
for uint8 images, and for floats to about 1e-9 of full scale at 4096 x 4096.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.geometry import to_pixels

if TYPE_CHECKING:
    from saccade.retina import Retina


def _between(edges: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The whole pixel at or before each edge, and how far on the edge is, 0 to 1."""
    edges = edges.clamp(0, length)
    pixel = edges.detach().floor().clamp(max=length - 1)
    return pixel.long(), edges - pixel


def integrate(
    images: Tensor, locations: Tensor, image_index: Tensor | None, retina: "Retina"
) -> Tensor:
    """Takes one glimpse at each location, at its exact sub-pixel position.

    As a function of a location a cell is continuous and piecewise linear along each axis. It has
    a kink wherever an edge of the cell crosses a pixel's edge; the gradient there is that of one
    of its sides. A location that is NaN gives a zero glimpse.

    Args:
        images: `(B, C, H, W)` uint8 or floating point; floats may require a gradient.
        locations: `(N, 2)` as (x, y), floating point; may require a gradient.
        image_index: `(N,)` int64, which image each location is on; without it N is B.
        retina: Gives size, scales and factor.

    Returns:
        `(N, scales, C, size, size)`, finest scale first; float64 for float64 images, else
        float32. uint8 images give intensities in [0, 1] (value / 255), floats keep their values.
    """
    batch, channels, height, width = images.shape
    device, g = images.device, retina.size
    table = F.pad(images.double().cumsum(-1).cumsum(-2), (1, 0, 1, 0)).flatten()
    if image_index is None:
        image_index = torch.arange(batch, device=device)
    plane = image_index[:, None] * channels + torch.arange(channels, device=device)  # (N, C)
    plane = (plane * ((height + 1) * (width + 1)))[:, None, :, None, None]

    cell = retina.factor ** torch.arange(retina.scales, device=device)  # (S,)
    steps = cell[:, None] * (torch.arange(g + 1, device=device) - g / 2).double()  # (S, g+1)
    edges = to_pixels(locations, height, width)[:, None, None, :] + steps[..., None]
    edges = edges.nan_to_num(nan=float("inf"))  # (N, S, g+1, 2)
    left, right_share = _between(edges[..., 0], width)
    upper, lower_share = _between(edges[..., 1], height)

    def read(rows: Tensor, columns: Tensor) -> Tensor:
        corner = (rows * (width + 1))[..., :, None] + columns[..., None, :]  # (N, S, g+1, g+1)
        index = plane + corner[:, :, None]  # (N, S, C, g+1, g+1)
        return table.index_select(0, index.flatten()).view(index.shape)

    right_share = right_share[:, :, None, None, :]
    above = torch.lerp(read(upper, left), read(upper, left + 1), right_share)
    below = torch.lerp(read(upper + 1, left), read(upper + 1, left + 1), right_share)
    sums = torch.lerp(above, below, lower_share[:, :, None, :, None])
    cells = sums.diff(dim=-1).diff(dim=-2)
    full = 255 if images.dtype == torch.uint8 else 1
    means = cells / (cell * cell * full).view(-1, 1, 1, 1)
    return means if images.dtype == torch.float64 else means.float()
