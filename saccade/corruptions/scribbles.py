"""What is laid over the scene: a square, mud, lines, its own edges."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.corruptions.blur import gaussian_blur
from saccade.corruptions.geometry import grid
from saccade.corruptions.severity import level
from saccade.counter import normal, uniform


def occlusion(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Blackens a square somewhere, of 15 to 55 % of the shorter side."""
    rows, columns = grid(x)
    height, width = x.shape[-2:]
    size = (level((0.15, 0.25, 0.35, 0.45, 0.55), severity)[:, 0] * min(height, width)).round()
    place = uniform(key, 2)[:, :, None, None]
    top = (place[:, 0] * (height - size + 1)).floor()
    left = (place[:, 1] * (width - size + 1)).floor()
    inside = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
    return x * ~inside[:, None]


def spatter(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Throws mud: dark grey drops where blurred noise is high."""
    mean = level((0.65, 0.65, 0.65, 0.65, 0.67), severity)
    spread = level((0.3, 0.3, 0.3, 0.3, 0.4), severity)
    liquid = mean + spread * normal(key, 1, *x.shape[-2:])
    liquid = gaussian_blur(liquid, level((4, 3, 2, 1, 1), severity))
    drops = (liquid > level((0.69, 0.68, 0.68, 0.65, 0.65), severity)).float()
    drops = gaussian_blur(drops, level((0.6, 0.6, 0.5, 1.5, 1.5), severity))
    drops = drops * (drops >= 0.8)
    return x * (1 - drops) + 63 / 255 * drops


def _ink(distance: Tensor) -> Tensor:
    """How bright a line is so many pixels from its middle."""
    return (torch.log(1 - distance.clamp(max=2.3 - 1e-6) / 2.3) + 1).clamp(0, 1)


def dotted_line(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Draws lines from the left to the right, two pixels on and two off."""
    rows, columns = grid(x)
    ends = uniform(key, 5, 2)[..., None, None] * (x.shape[-2] - 1)  # (B, 5, 2, 1, 1)
    dots = (columns // 2) % 2
    for line in range(5):
        first, last = ends[:, line, 0], ends[:, line, 1]
        middle = first + (last - first) * columns / max(x.shape[-1] - 1, 1)
        ink = _ink((rows - middle).abs()) * dots * (line < severity)[:, None, None]
        x = x + ink[:, None]
    return x


def zigzag(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Draws zigzags of 8 pixels a wave, 2 high, from left to right."""
    rows, columns = grid(x)
    height, width = x.shape[-2:]
    draws = uniform(key, 5, 2)[..., None, None]
    start, reach = 2 / 28 * width, 23 / 28 * width
    for line in range(5):
        first = draws[:, line, 0] * (height - 1)
        slope = torch.atan((draws[:, line, 1] * 10 - 5) / 28 * height / reach)
        along = (columns - start) * slope.cos() + (rows - first) * slope.sin()
        beside = (rows - first) * slope.cos() - (columns - start) * slope.sin()
        wave = 2 - ((along + 2) % 8 - 4).abs()  # 0 at the start, 2 at 2 pixels, -2 at 6
        ink = _ink((beside + wave).abs()) * ((along >= 0) & (along <= reach / slope.cos()))
        x = x + (ink * (line < severity)[:, None, None])[:, None]
    return x


def canny_edges(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Fades from the scene to its edges (Canny 1986: sigma 1, thresholds 0.1 and 0.2)."""
    grey = gaussian_blur(
        x.mean(1, keepdim=True), torch.ones_like(severity)[:, None, None, None].float()
    )
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=x.device)
    pad = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx, dy = F.conv2d(pad, torch.stack([-sobel, -sobel.mT])[:, None]).split(1, 1)
    size = torch.hypot(dx, dy)
    around = F.pad(size, (1, 1, 1, 1))
    sector = (torch.atan2(dy, dx) / (math.pi / 4)).round().long() % 4
    thin = torch.zeros_like(size, dtype=torch.bool)
    height, width = x.shape[-2:]
    for number, (down, right) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        one, other = (
            around[..., 1 + s * down : 1 + s * down + height, 1 + s * right : 1 + s * right + width]
            for s in (1, -1)
        )
        thin = thin | ((sector == number) & (size >= one) & (size >= other))
    rows, columns = grid(x)
    border = (rows == 0) | (rows == height - 1) | (columns == 0) | (columns == width - 1)
    weak = thin & (size >= 0.1) & ~border
    edges = weak & (size >= 0.2)
    for _ in range(16):
        wide = edges.clone()
        wide[..., 1:] |= edges[..., :-1]
        wide[..., :-1] |= edges[..., 1:]
        edges = wide.clone()
        edges[..., 1:, :] |= wide[..., :-1, :]
        edges[..., :-1, :] |= wide[..., 1:, :]
        edges &= weak
    return torch.lerp(x, edges.float().expand_as(x), severity[:, None, None, None] / 5)
