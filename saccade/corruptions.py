"""Corruptions of scenes at five severities, by formula: noise, blur, light, geometry, scribbles.

The fifteen kinds of MNIST-C (Mu & Gilmer 2019, "MNIST-C: A Robustness Benchmark for Computer
Vision") and the usual others of ImageNet-C (Hendrycks & Dietterich 2019), batched, on the device,
with their published constants. A result is a pure function of the scene, the kind, the severity
and a random key (`saccade.counter`). Deltas from the published programs:

- scenes have any size: blurs, noise, line widths and dots stay in pixels; stripes, shifts, the
  ends of lines and the center of turns go with the side (MNIST's is 28)
- kinds that have no severity there get five: `stripe` 3 is theirs, wider and narrower around it;
  `dotted_line` and `zigzag` have as many lines as the severity; `canny_edges` fade in up to 5
- glass blur draws each pixel from near ones at once, instead of swapping one after another; fog
  is made on the smallest map that covers the scene; edges follow weak pixels 16 steps far and are
  thinned in four directions; Gaussian blur is normalized where it meets the border
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.counter import fold, integers, normal, uniform

QUANTILES = 4096  # of the Poisson distribution, for every one of the 256 grey levels


def _level(table: Sequence[float], severity: Tensor) -> Tensor:
    """The number of each row's severity, `(B, 1, 1, 1)`."""
    values = torch.tensor(table, dtype=torch.float32, device=severity.device)
    return values[severity - 1][:, None, None, None]


def _grid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `(H, 1)` and columns `(1, W)` of scenes, counted from 0."""
    height, width = x.shape[-2:]
    rows = torch.arange(height, device=x.device, dtype=torch.float32)
    columns = torch.arange(width, device=x.device, dtype=torch.float32)
    return rows[:, None], columns[None, :]


def gaussian_noise(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Adds normal noise to every pixel."""
    return x + _level((0.08, 0.12, 0.18, 0.26, 0.38), severity) * normal(key, *x.shape[1:])


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
    half = _level((0.03, 0.06, 0.09, 0.17, 0.27), severity) / 2
    draw = uniform(key, *x.shape[1:])
    return torch.where(draw < half, 0, torch.where(draw >= 1 - half, 1, x))


def _blur(x: Tensor, sigma: Tensor) -> Tensor:
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
    sigma = _level((0.7, 0.9, 1.0, 1.1, 1.5), severity)
    reach = _level((1, 2, 2, 3, 4), severity)[:, 0]  # (B, 1, 1)
    times = _level((2, 1, 3, 2, 2), severity)[:, 0]
    (height, width), (rows, columns) = x.shape[-2:], _grid(x)
    x = _blur(x, sigma)
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
    return _blur(x, sigma)


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
        _level(each, severity)[:, 0, 0] for each in ((3, 5, 8, 12, 15), (21, 31, 31, 31, 41))
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
    disks = (distance <= _level((3, 4, 6, 8, 10), severity)[:, 0] ** 2).float()
    disks = disks / disks.sum((1, 2), keepdim=True)
    soft = torch.exp(-0.5 * (torch.arange(-1, 2, device=x.device) / 0.5) ** 2)
    soft = soft / soft.sum() * (severity > 1)[:, None] + (severity <= 1)[:, None] * torch.tensor(
        (0.0, 1.0, 0.0), device=x.device
    )
    kernel = soft[:, :, None] * soft[:, None, :]  # (B, 3, 3)
    return _correlate(x, _correlate(disks[:, None], kernel)[:, 0])


def zoom_blur(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """The mean of the scene and of zooms into its center."""
    step = _level((0.01, 0.01, 0.02, 0.02, 0.03), severity)
    count = _level((11, 16, 11, 13, 11), severity)
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


def contrast(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Draws every channel towards its mean."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) * _level((0.4, 0.3, 0.2, 0.1, 0.05), severity) + mean


def brightness(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Adds light: to the value of hue, saturation and value."""
    value = x.amax(1, keepdim=True)
    lighter = (value + _level((0.1, 0.2, 0.3, 0.4, 0.5), severity)).clamp(max=1)
    return torch.where(value > 0, x * (lighter / value.clamp(min=1e-6)), lighter)


def occlusion(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Blackens a square somewhere, of 15 to 55 % of the shorter side."""
    rows, columns = _grid(x)
    height, width = x.shape[-2:]
    size = (_level((0.15, 0.25, 0.35, 0.45, 0.55), severity)[:, 0] * min(height, width)).round()
    place = uniform(key, 2)[:, :, None, None]
    top = (place[:, 0] * (height - size + 1)).floor()
    left = (place[:, 1] * (width - size + 1)).floor()
    inside = (rows >= top) & (rows < top + size) & (columns >= left) & (columns < left + size)
    return x * ~inside[:, None]


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
    angle = _level((0.2, 0.4, 0.6, 0.8, 1.0), severity).flatten() * _signs(key, 1)[:, 0]
    none = torch.zeros_like(angle)
    return _warp(x, ((none + 1, -angle.sin(), none), (none, angle.cos(), none)))


def scale(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Shrinks the scene to 90, 80, 70, 60 or 50 %, with black around it."""
    zoom, none = 1 / _level((0.9, 0.8, 0.7, 0.6, 0.5), severity).flatten(), x.new_zeros(len(x))
    return _warp(x, ((zoom, none, none), (none, zoom, none)))


def rotate(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Turns by 0.2 to 1 rad to either side."""
    angle = _level((0.2, 0.4, 0.6, 0.8, 1.0), severity).flatten() * _signs(key, 1)[:, 0]
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _warp(x, ((cos, -sin, none), (sin, cos, none)))


def translate(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Moves the scene by 1/28 to 5/28 of its sides, up or down and left or right."""
    share = severity.float()[:, None] / 28
    sides = torch.tensor((x.shape[-1], x.shape[-2]), device=x.device)
    shift = (share * sides).round() * _signs(key, 2)
    one, none = torch.ones_like(shift[:, 0]), torch.zeros_like(shift[:, 0])
    return _warp(x, ((one, none, shift[:, 0]), (none, one, shift[:, 1])))


def stripe(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Inverts a stripe at the left and one at the right."""
    _, columns = _grid(x)
    width = (_level((3, 5, 7, 9, 11), severity) / 28 * x.shape[-1]).round()
    return torch.where((columns < width) | (columns >= x.shape[-1] - width), 1 - x, x)


def fog(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Adds clouds by the diamond-square algorithm, then dims all to the old brightness."""
    thick = _level((1.5, 2, 2.5, 2.5, 3), severity)
    decay = _level((2, 2, 1.7, 1.5, 1.4), severity)[:, 0]
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


def spatter(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Throws mud: dark grey drops where blurred noise is high."""
    mean = _level((0.65, 0.65, 0.65, 0.65, 0.67), severity)
    spread = _level((0.3, 0.3, 0.3, 0.3, 0.4), severity)
    liquid = mean + spread * normal(key, 1, *x.shape[-2:])
    liquid = _blur(liquid, _level((4, 3, 2, 1, 1), severity))
    drops = (liquid > _level((0.69, 0.68, 0.68, 0.65, 0.65), severity)).float()
    drops = _blur(drops, _level((0.6, 0.6, 0.5, 1.5, 1.5), severity))
    drops = drops * (drops >= 0.8)
    return x * (1 - drops) + 63 / 255 * drops


def _ink(distance: Tensor) -> Tensor:
    """How bright a line is so many pixels from its middle."""
    return (torch.log(1 - distance.clamp(max=2.3 - 1e-6) / 2.3) + 1).clamp(0, 1)


def dotted_line(x: Tensor, severity: Tensor, key: Tensor) -> Tensor:
    """Draws lines from the left to the right, two pixels on and two off."""
    rows, columns = _grid(x)
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
    rows, columns = _grid(x)
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
    grey = _blur(x.mean(1, keepdim=True), torch.ones_like(severity)[:, None, None, None].float())
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
    rows, columns = _grid(x)
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


Corruption = Callable[[Tensor, Tensor, Tensor], Tensor]
KINDS: dict[str, Corruption] = {
    each.__name__: each
    for each in (
        gaussian_noise, shot_noise, impulse_noise, glass_blur, motion_blur, zoom_blur,
        defocus_blur, contrast, brightness, occlusion, shear, scale, rotate, translate, stripe,
        fog, spatter, dotted_line, zigzag, canny_edges,
    )
}  # fmt: skip

# The kinds of MNIST-C, at the severity that its published images have.
MNIST_C = {
    "shot_noise": 5, "impulse_noise": 4, "glass_blur": 1, "motion_blur": 1, "shear": 2, "scale": 3,
    "rotate": 2, "brightness": 5, "translate": 3, "stripe": 3, "fog": 5, "spatter": 4,
    "dotted_line": 1, "zigzag": 1, "canny_edges": 5,
}  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: Tensor, kind: str, severity: int | Tensor, key: Tensor) -> Tensor:
    """Corrupts scenes.

    Args:
        images: `(B, C, H, W)` uint8, or float in [0, 1].
        kind: A name in `KINDS`.
        severity: 1 to 5, for all scenes or `(B,)` int64 for each.
        key: `(B,)` int64 random keys, on the images' device.

    Returns:
        Images of the same shape and type, others than those that came in.

    Raises:
        ValueError: If there is no such kind or severity, or shapes do not fit.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no corruption {kind!r}; choose from {', '.join(KINDS)}")
    if images.ndim != 4 or key.shape != images.shape[:1]:
        raise ValueError(f"images (B, C, H, W) and keys (B,), got {images.shape}, {key.shape}")
    if isinstance(severity, int):
        if severity not in SEVERITIES:
            raise ValueError(f"severity is 1 to 5, got {severity}")
        severity = torch.full_like(key, severity)
    whole = images.dtype == torch.uint8
    x = images.float() / 255 if whole else images.float()
    x = KINDS[kind](x, severity, fold(key, kind)).clamp(0, 1)
    return (x * 255).round().to(torch.uint8) if whole else x.to(images.dtype)


def corrupt_mixed(
    images: Tensor,
    key: Tensor,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    severities: Sequence[int] = SEVERITIES,
    share: float = 1.0,
) -> Tensor:
    """Corrupts each scene by a kind and at a severity of its own, drawn from its key.

    Waits for the device once, to learn which rows go together.

    Args:
        images: `(B, C, H, W)` uint8, or float in [0, 1].
        key: `(B,)` int64 random keys, on the images' device.
        kinds: Names in `KINDS` to draw from.
        severities: Numbers from 1 to 5 to draw from.
        share: Of the scenes that are corrupted at all, 0 to 1; the others stay as they are.

    Returns:
        Images of the same shape and type.
    """
    own = fold(key, "mixed")
    which = integers(fold(own, "kind"), len(kinds), 1)[:, 0]
    which = torch.where(uniform(fold(own, "share"), 1)[:, 0] < share, which, -1)
    levels = torch.tensor(severities, device=images.device)
    severity = levels[integers(fold(own, "severity"), len(severities), 1)[:, 0]]
    mixed, host = images.clone(), which.cpu()
    for number, kind in enumerate(kinds):
        rows = (host == number).nonzero()[:, 0].to(images.device)
        if len(rows):
            mixed[rows] = corrupt(images[rows], kind, severity[rows], key[rows])
    return mixed
