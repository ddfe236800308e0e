"""Blur: of glass, motion, focus and zoom, and the Gaussian's that other kinds use."""

import math

import torch
from torch import Tensor

from saccade.corruptions.geometry import grid
from saccade.corruptions.severity import level
from saccade.counter import fold, integers, uniform


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with sigma `(B, 1, 1, 1)` pixels, as products with one matrix a side."""
    for side in (-2, -1):
        place = torch.arange(x.shape[side], device=x.device)
        bell = torch.exp(-0.5 * (place / sigma) ** 2) * (place <= (4 * sigma).ceil())
        weights = bell[:, 0, 0, (place[:, None] - place).abs()][:, None]  # (B, 1, side, side)
        weights = weights / weights.sum(-1, keepdim=True)
        x = weights @ x if side == -2 else x @ weights.mT
    return x


def glass_blur(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Blurs, takes pixels from near by, and blurs again."""
    sigma = level((0.7, 0.9, 1.0, 1.1, 1.5), severity)
    reach = level((1, 2, 2, 3, 4), severity)[:, 0]  # (B, 1, 1)
    times = level((2, 1, 3, 2, 2), severity)[:, 0]
    (height, width), (rows, columns) = x.shape[-2:], grid(x)
    x = gaussian_blur(x, sigma)
    for turn in range(3):
        # A pixel takes part in a swap of its own with 1/2, and in its neighbors' about as often.
        draw = integers(fold(key, turn), 2**30, height, width)
        moved = (draw % 4 > 0) & (turn < times)
        down, right = (
            (2 * reach * part / 2**14).floor() - reach for part in (draw >> 16, (draw >> 2) % 2**14)
        )
        source = (rows + down * moved).clamp(0, height - 1) * width
        source = (source + (columns + right * moved).clamp(0, width - 1)).long()
        source = source.flatten(1)[:, None].expand(-1, x.shape[1], -1)
        x = x.flatten(2).gather(2, source).view_as(x)
    return gaussian_blur(x, sigma)


def _correlate(x: Tensor, kernel: Tensor) -> Tensor:
    """Each scene with its own kernel `(B, 2r + 1, 2r + 1)`, by FFT; the border goes on outside."""
    reach, (height, width) = kernel.shape[-1] // 2, x.shape[-2:]
    rows, columns = (
        torch.arange(-reach, side + reach, device=x.device).clamp(0, side - 1)
        for side in (height, width)
    )
    size = [-(-(side + 2 * reach) // 16) * 16 for side in (height, width)]
    spectrum = torch.fft.rfft2(x[:, :, rows][..., columns], size)
    spectrum = spectrum * torch.fft.rfft2(kernel.flip(1, 2), size)[:, None]
    whole = torch.fft.irfft2(spectrum, size)
    return whole[..., 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]


def motion_blur(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Half a Gaussian along a line within 45 degrees of the horizontal (ImageMagick's)."""
    taps = torch.arange(41, device=x.device)
    sigma, longest = (
        level(each, severity)[:, 0, 0] for each in ((3, 5, 8, 12, 15), (21, 31, 31, 31, 41))
    )
    weights = torch.exp(-0.5 * (taps / sigma) ** 2) * (taps < longest)
    weights = weights / weights.sum(1, keepdim=True)  # (B, 41)
    angle = (uniform(key, 1) - 0.5) * (math.pi / 2)
    across, down = (torch.ceil(taps * part - 0.5).long() for part in (angle.cos(), angle.sin()))
    kernel = x.new_zeros(len(x), 81 * 81)
    kernel.scatter_add_(1, (40 + down) * 81 + 40 + across, weights)
    return _correlate(x, kernel.view(-1, 81, 81))


def defocus_blur(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Means over disks of radius 3, 4, 6, 8 and 10 pixels, softened a little."""
    place = torch.arange(-11, 12, device=x.device)
    distance = (place[:, None] ** 2 + place**2).float()
    disks = (distance <= level((3, 4, 6, 8, 10), severity)[:, 0] ** 2).float()
    disks = disks / disks.sum((1, 2), keepdim=True)
    soft = torch.exp(-0.5 * (torch.arange(-1, 2, device=x.device) / 0.5) ** 2)
    soft = soft / soft.sum() * (severity > 1)[:, None] + (severity <= 1)[:, None] * torch.tensor(
        (0.0, 1.0, 0.0), device=x.device
    )
    kernel = soft[:, :, None] * soft[:, None, :]  # (B, 3, 3)
    return _correlate(x, _correlate(disks[:, None], kernel)[:, 0])


def zoom_blur(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """The mean of the scene and of zooms into its center."""
    step = level((0.01, 0.01, 0.02, 0.02, 0.03), severity)
    count = level((12, 16, 11, 13, 11), severity)  # of np.arange(1, 1.11, 0.01), as there
    total = x
    for number in range(16):
        zoomed = x
        for side in (-2, -1):
            place = torch.arange(x.shape[side], device=x.device, dtype=torch.float32)
            middle = (x.shape[side] - 1) / 2
            source = (place[:, None] - middle) / (1 + number * step) + middle
            weights = (1 - (source - place).abs()).clamp(min=0)
            zoomed = weights @ zoomed if side == -2 else zoomed @ weights.mT
        total = total + zoomed * (number < count)
    return total / (count + 1)
