"""Reference gazes: the scripts that a learned gaze has to beat.

A script gives glimpse t of `total` (t counts from 0) for rows with random keys `(N,)`.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from saccade.counter import fold, uniform

Gaze = Literal["learned", "random", "center", "raster"]
Script = Callable[[int, int, Tensor], Tensor]


def random_gaze(t: int, total: int, key: Tensor) -> Tensor:
    """Uniform over the scene, `(N, 2)`."""
    return uniform(fold(key, t), 2) * 2 - 1


def center_gaze(t: int, total: int, key: Tensor) -> Tensor:
    """Always the center, `(N, 2)`."""
    return torch.zeros(len(key), 2, device=key.device)


def raster_gaze(t: int, total: int, key: Tensor) -> Tensor:
    """A sweep in reading order over a grid that covers the scene, `(N, 2)`.

    The grid has round(sqrt(total)) rows of as equal length as can be.
    """
    rows = max(1, round(total**0.5))
    lengths = [total // rows + (row < total % rows) for row in range(rows)]
    row = 0
    while t >= lengths[row]:
        t, row = t - lengths[row], row + 1
    x, y = (2 * t + 1) / lengths[row] - 1, (2 * row + 1) / rows - 1
    return torch.stack([torch.full(key.shape, each, device=key.device) for each in (x, y)], -1)


SCRIPTS: dict[Gaze, Script] = {
    "random": random_gaze,
    "center": center_gaze,
    "raster": raster_gaze,
}
