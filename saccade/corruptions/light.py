"""More or less light: of the whole scene, of stripes of it, in fog."""

import torch
from torch import Tensor

from saccade.corruptions.geometry import grid
from saccade.corruptions.severity import level
from saccade.counter import fold, uniform


def contrast(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Draws every channel towards its mean."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) * level((0.4, 0.3, 0.2, 0.1, 0.05), severity) + mean


def brightness(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Adds light: to the value of hue, saturation and value."""
    value = x.amax(1, keepdim=True)
    lighter = (value + level((0.1, 0.2, 0.3, 0.4, 0.5), severity)).clamp(max=1)
    return torch.where(value > 0, x * (lighter / value.clamp(min=1e-6)), lighter)


def stripe(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Inverts a stripe at the left and one at the right."""
    _, columns = grid(x)
    width = (level((3, 5, 7, 9, 11), severity) / 28 * x.shape[-1]).round()
    return torch.where((columns < width) | (columns >= x.shape[-1] - width), 1 - x, x)


def fog(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Adds clouds by the diamond-square algorithm, then dims all to the old brightness."""
    thick = level((1.5, 2, 2.5, 2.5, 3), severity)
    decay = level((2, 2, 1.7, 1.5, 1.4), severity)[:, 0]
    height, width = x.shape[-2:]
    side = step = 1 << max(max(height, width) - 1, 1).bit_length()
    cloud, wibble = x.new_zeros(len(x), side, side), torch.full_like(decay, 100)

    def jitter(total: Tensor, name: str) -> Tensor:
        draw = uniform(fold(fold(key, name), step), *total.shape[1:]) * 2 - 1
        return total / 4 + wibble**2 * draw

    while step >= 2:
        half = step // 2
        corner = cloud[:, ::step, ::step]
        square = corner + corner.roll(-1, 1)
        cloud[:, half::step, half::step] = jitter(square + square.roll(-1, 2), "square")
        middle, corner = cloud[:, half::step, half::step], cloud[:, ::step, ::step]
        above = middle + middle.roll(1, 1) + corner + corner.roll(-1, 2)
        beside = middle + middle.roll(1, 2) + corner + corner.roll(-1, 1)
        cloud[:, ::step, half::step] = jitter(above, "above")
        cloud[:, half::step, ::step] = jitter(beside, "beside")
        step, wibble = half, wibble / decay
    cloud = cloud - cloud.amin((1, 2), keepdim=True)
    cloud = (cloud / cloud.amax((1, 2), keepdim=True))[:, None, :height, :width]
    light = x.amax((1, 2, 3), keepdim=True)
    return (x + thick * cloud) * light / (light + thick)
