"""Episodes to draw: a real retina's glimpses at given places, with beliefs from a fixed seed."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from saccade.retina import Retina
from saccade.scanpath import Scanpath

CLASSES = ["ant", "bee", "cat"]


def look(
    scenes: Tensor,
    locations: Tensor,
    retina: Retina,
    stop: list[int] | None = None,
    classes: int = 3,
) -> Scanpath:
    """A scanpath of the real retina at these `(N, T, 2)` locations, with random beliefs."""
    n, total = locations.shape[:2]
    glimpses = torch.stack([retina.look(scenes, locations[:, t]) for t in range(total)], 1)
    beliefs = torch.randn(n, total, classes, generator=torch.Generator().manual_seed(3))
    return Scanpath(
        locations=locations,
        glimpses=glimpses,
        beliefs=beliefs.softmax(-1),
        values=torch.full((n, total), float("nan")),
        rewards=torch.zeros(n, total),
        stop=torch.full((n,), total) if stop is None else torch.tensor(stop),
        retina=retina,
        height=scenes.shape[-2],
        width=scenes.shape[-1],
    )


def episodes(
    count: int = 3,
    channels: int = 3,
    height: int = 20,
    width: int = 30,
    total: int = 4,
    size: int = 4,
    stop: list[int] | None = None,
) -> tuple[Tensor, Scanpath]:
    """Noise `(count, channels, height, width)` and a gaze on it."""
    generator = torch.Generator().manual_seed(count)
    scenes = torch.randint(
        0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator
    )
    locations = torch.rand(count, total, 2, generator=generator) * 2 - 1
    return scenes, look(scenes, locations, Retina(size, 3), stop=stop)


def two_episodes() -> tuple[Tensor, Scanpath]:
    """Two episodes of four glimpses, the second stopped after two, on 24x36 RGB scenes."""
    return episodes(2, height=24, width=36, stop=[4, 2])


def render(figure: Any) -> np.ndarray:
    """The pixels of a figure, RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]
