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

`spatter` does not rise evenly: by the published constants 3 changes more of a scene than 4.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from saccade.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from saccade.corruptions.geometry import rotate, scale, shear, translate
from saccade.corruptions.light import brightness, contrast, fog, stripe
from saccade.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from saccade.corruptions.scribbles import canny_edges, dotted_line, occlusion, spatter, zigzag
from saccade.corruptions.severity import SEVERITIES
from saccade.counter import fold, integers, uniform

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
    with torch.autocast(images.device.type, enabled=False):  # exact in a caller's too
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
