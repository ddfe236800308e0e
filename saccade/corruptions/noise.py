"""Noise of cameras, pixel by pixel: electrons, photons, broken pixels."""

from functools import lru_cache

import torch
from torch import Tensor

from saccade.corruptions.severity import level
from saccade.counter import integers, normal, uniform

QUANTILES = 4096  # of the Poisson distribution, for every one of the 256 grey levels


def gaussian_noise(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Adds normal noise to every pixel."""
    return x + level((0.08, 0.12, 0.18, 0.26, 0.38), severity) * normal(key, *x.shape[1:])


def shot_noise(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Counts photons: Poisson numbers of 60, 25, 12, 5 or 3 for full light."""
    table = _poisson(x.device)
    row = (severity - 1)[:, None, None, None] * 256 + (x * 255).round().long()
    return table[row * QUANTILES + integers(key, QUANTILES, *x.shape[1:])]


@lru_cache(maxsize=4)
def _poisson(device: torch.device) -> Tensor:
    """`(5 * 256 * QUANTILES,)` quantiles of Poisson(level / 255 * c) / c by severity and level."""
    parts = []
    middle = (torch.arange(QUANTILES, device=device, dtype=torch.float64) + 0.5) / QUANTILES
    for c in (60, 25, 12, 5, 3):
        count = torch.arange(2 * c + 32, device=device, dtype=torch.float64)
        rate = torch.arange(256, device=device, dtype=torch.float64)[:, None] * c / 255
        mass = torch.exp(torch.xlogy(count, rate) - rate - torch.lgamma(count + 1))
        found = torch.searchsorted(mass.cumsum(1), middle.expand(256, -1).contiguous())
        parts.append((found / c).float().flatten())
    return torch.cat(parts)


def impulse_noise(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Salt and pepper, as much of one as of the other."""
    half = level((0.03, 0.06, 0.09, 0.17, 0.27), severity) / 2
    draw = uniform(key, *x.shape[1:])
    return torch.where(draw < half, 0, torch.where(draw >= 1 - half, 1, x))
