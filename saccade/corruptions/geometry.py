"""Geometry: the scene sheared, shrunk, turned and shifted; and where its pixels are."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.corruptions.severity import level
from saccade.counter import fold, integers


def grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `(H, 1)` and columns `(1, W)` of scenes, counted from 0."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=torch.float32)
    columns = torch.arange(width, device=x.device, dtype=torch.float32)
    return rows[:, None], columns[None, :]


def _warp(x: Tensor, rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Shows at p what was at M p + t, in pixels from the center; zero outside.

    Args:
        x: `(B, C, H, W)`.
        rows: ((M_xx, M_xy, t_x), (M_yx, M_yy, t_y)), each `(B,)`.
    """
    height, width = x.shape[-2:]
    (xx, xy, tx), (yx, yy, ty) = rows
    first = torch.stack([xx, xy * (height / width), tx * 2 / width], 1)
    second = torch.stack([yx * (width / height), yy, ty * 2 / height], 1)
    grid = F.affine_grid(torch.stack([first, second], 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def _signs(key: Tensor, count: int) -> Tensor:
    """`(B, count)` of -1 and 1."""
    return integers(fold(key, "sign"), 2, count).float() * 2 - 1


def shear(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Shears by 0.2 to 1 rad to either side."""
    angle = level((0.2, 0.4, 0.6, 0.8, 1.0), severity).flatten() * _signs(key, 1)[:, 0]
    none = torch.zeros_like(angle)
    return _warp(x, ((none + 1, -angle.sin(), none), (none, angle.cos(), none)))


def scale(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Shrinks the scene to 90, 80, 70, 60 or 50 %, with black around it."""
    zoom, none = 1 / level((0.9, 0.8, 0.7, 0.6, 0.5), severity).flatten(), x.new_zeros(len(x))
    return _warp(x, ((zoom, none, none), (none, zoom, none)))


def rotate(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Turns by 0.2 to 1 rad to either side."""
    angle = level((0.2, 0.4, 0.6, 0.8, 1.0), severity).flatten() * _signs(key, 1)[:, 0]
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _warp(x, ((cos, -sin, none), (sin, cos, none)))


def translate(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Moves the scene by 1/28 to 5/28 of its sides, up or down and left or right."""
    share = severity.float()[:, None] / 28
    sides = torch.tensor((x.shape[-1], x.shape[-2]), device=x.device)
    shift = (share * sides).round() * _signs(key, 2)
    one, none = torch.ones_like(shift[:, 0]), torch.zeros_like(shift[:, 0])
    return _warp(x, ((one, none, shift[:, 0]), (none, one, shift[:, 1])))
