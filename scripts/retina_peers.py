"""What bench_retina.py measures the retina beside: the one in common use, and others' crops.

Each takes the images as bytes and as floats, `(B, C, H, W)`, locations `(T, B, 2)` and the retina,
and gives T times `(B, scales, C, size, size)`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.geometry import window_starts
from saccade.retina import Retina

Looks = Callable[[Tensor, Tensor, Tensor, Retina], list[Tensor]]


def common(images: Tensor, floats: Tensor, places: Tensor, retina: Retina) -> list[Tensor]:
    """The retina in common use: pad the batch, slice in Python, stack, pool, at each scale."""
    side = floats.shape[-1]

    def patch(at: Tensor, n: int) -> Tensor:
        start = (0.5 * ((at + 1.0) * side)).long()
        end = start + n
        padded = F.pad(floats, (n // 2,) * 4)
        cut = [
            padded[i, :, start[i, 1] : end[i, 1], start[i, 0] : end[i, 0]] for i in range(len(at))
        ]
        return torch.stack(cut)

    out = []
    for at in places:
        scales = [patch(at, n) for n in retina.sides]
        pooled = [F.avg_pool2d(each, each.shape[-1] // retina.size) for each in scales]
        out.append(torch.stack(pooled, 1))
    return out


def grid_sample(images: Tensor, floats: Tensor, places: Tensor, retina: Retina) -> list[Tensor]:
    """One bilinear sample a cell: fast, but coarse scales miss most pixels."""
    steps = (2 * torch.arange(retina.size) + 1) / retina.size - 1
    cell = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
    out = []
    for at in places:
        grids = [at[:, None, None] + cell * (n / floats.shape[-1]) for n in retina.sides]
        scales = [F.grid_sample(floats, grid, align_corners=False) for grid in grids]
        out.append(torch.stack(scales, 1))
    return out


def opencv(images: Tensor, floats: Tensor, places: Tensor, retina: Retina) -> list[Tensor]:
    """A loop of crops and `cv2.resize` by area."""
    import cv2
    import numpy as np

    g, channels = retina.size, images.shape[1]
    pictures = images.movedim(1, -1).numpy()
    out = []
    for at in places:
        glimpses = torch.empty(len(at), retina.scales, g, g, channels)
        starts = window_starts(at, g, retina.scales, 2, *images.shape[-2:]).numpy()
        for i, picture in enumerate(pictures):
            for s, n in enumerate(retina.sides):
                x, y = starts[i, s]
                inside = picture[max(y, 0) : max(y + n, 0), max(x, 0) : max(x + n, 0)]
                window = np.zeros((n, n, channels), np.float32)
                top, left = max(-y, 0), max(-x, 0)
                window[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
                cells = cv2.resize(window, (g, g), interpolation=cv2.INTER_AREA)
                glimpses[i, s] = torch.from_numpy(cells).view(g, g, channels) / 255
        out.append(glimpses.movedim(-1, 2))
    return out


def kornia(images: Tensor, floats: Tensor, places: Tensor, retina: Retina) -> list[Tensor]:
    """`kornia.geometry.transform.crop_and_resize`, bilinear."""
    from kornia.geometry.transform import crop_and_resize

    out = []
    for at in places:
        starts = window_starts(at, retina.size, retina.scales, 2, *floats.shape[-2:]).float()
        scales = []
        for s, n in enumerate(retina.sides):
            corners = torch.tensor([[0, 0], [n - 1, 0], [n - 1, n - 1], [0, n - 1]])
            boxes = starts[:, s, None] + corners
            scales.append(crop_and_resize(floats, boxes, (retina.size, retina.size)))
        out.append(torch.stack(scales, 1))
    return out


def torchvision(images: Tensor, floats: Tensor, places: Tensor, retina: Retina) -> list[Tensor]:
    """`torchvision.ops.roi_align`, adaptive sampling."""
    from torchvision.ops import roi_align

    number = torch.arange(len(floats), dtype=torch.float32)[:, None]
    out = []
    for at in places:
        starts = window_starts(at, retina.size, retina.scales, 2, *floats.shape[-2:]).float()
        scales = [
            roi_align(
                floats,
                torch.cat([number, starts[:, s], starts[:, s] + n], 1),
                retina.size,
                sampling_ratio=-1,
                aligned=True,
            )
            for s, n in enumerate(retina.sides)
        ]
        out.append(torch.stack(scales, 1))
    return out


PEERS: dict[str, tuple[str, Looks]] = {  # by name, with the module that each needs
    "grid_sample": ("torch", grid_sample),
    "opencv": ("cv2", opencv),
    "kornia": ("kornia", kornia),
    "torchvision": ("torchvision", torchvision),
}
