"""What the viewer in a report draws its episodes from, small enough to be sent by mail."""

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from saccade.geometry import to_pixels, window_starts
from saccade.pictures import (
    UNSEEN,
    count_taken,
    get_beliefs,
    resize,
    time_colors,
    to_picture,
    top_classes,
    verdict,
)
from saccade.scanpath import Scanpath

EPISODES = 64  # in the viewer, at most
SHOWN = 10  # classes of an episode, at most
BYTES = 2_000_000  # of all scenes, and again of all glimpses, as they stand in the page
LOSSLESS = 6_000_000  # pixels times channels that may still fit without loss; more are not tried


def viewer_data(
    scenes: Tensor,
    scanpath: Scanpath,
    labels: Tensor,
    classes: Sequence[str],
    without: Tensor | None = None,
) -> dict[str, Any]:
    """What the page's script draws the episodes from; lengths are in pixels of the scene.

    Pictures are PNG where that fits; otherwise JPEG, reduced as far as they must be.

    Args:
        scenes: `(N, C, H, W)` uint8, C of 1 or 3.
        scanpath: N episodes, one on each scene; the first 64 are taken.
        labels: `(N,)` true classes.
        classes: `K` names.
        without: `(N, T, K)`, what `saccade.explain.leave_out` gave.
    """
    count = min(len(scanpath), EPISODES)
    channels, height, width = scenes.shape[1:]
    scanpath, size = scanpath[:count].cpu(), (height, width)
    retina, colors = scanpath.retina, time_colors(scanpath.num_glimpses)
    tile = _tile_side(scanpath)
    pictures = pack(scenes[:count], channels)
    sprites = pack([_sprite(scanpath, n, tile) for n in range(count)], channels, shrink=False)
    episodes = []
    for n in range(count):
        taken, label = count_taken(scanpath, n), int(labels[n])
        where = scanpath.locations[n, :taken]
        starts = window_starts(where, retina.size, retina.scales, retina.factor, *size)
        beliefs = get_beliefs(scanpath, n, classes)
        shown = top_classes(beliefs, SHOWN, label)
        said, right = verdict(scanpath, n, classes, label)
        episodes.append(
            {
                "scene": pictures[n],
                "sprite": sprites[n],
                "spots": to_pixels(where, *size).round(decimals=2).tolist(),
                "starts": starts.tolist(),
                "shown": shown,
                "beliefs": _rounded(beliefs[:, shown]),
                "without": None if without is None else _rounded(without[n, :taken, shown]),
                "certainty": round(float(beliefs[-1].max()), 4),
                "label": label,
                "answer": shown[0],
                "said": said,
                "right": right,
            }
        )
    return {
        "height": height,
        "width": width,
        "size": tile,
        "sides": retina.sides,
        "unseen": f"rgb{UNSEEN}",
        "colors": [to_hex(color) for color in colors],
        "inks": ["#fff" if color @ (0.3, 0.6, 0.1) < 0.5 else "#1f2430" for color in colors],
        "prior": 1 / len(classes),
        "classes": list(classes),
        "episodes": episodes,
    }


def pack(
    pictures: Sequence[np.ndarray] | Tensor, channels: int, budget: int = BYTES, shrink: bool = True
) -> list[str]:
    """Codes pictures as data addresses that together keep to a budget.

    Args:
        pictures: Scenes `(N, C, H, W)`, or arrays `(h, w, 3)` uint8.
        channels: 1 stores them grey.
        budget: Letters of all addresses together, about.
        shrink: Whether their size may be reduced, or only their quality.
    """
    pixels = sum(int(np.prod(picture.shape)) for picture in pictures)
    start = min(1.0, math.sqrt(4 * LOSSLESS / max(pixels, 1))) if shrink else 1.0
    ready = [_at_scale(_as_picture(picture), start) for picture in pictures]
    if start == 1 and pixels <= LOSSLESS:
        coded = [encode(picture, channels) for picture in ready]
        if sum(map(len, coded)) <= budget:
            return coded
    scale, quality = 1.0, 92
    while True:
        coded = [encode(_at_scale(picture, scale), channels, quality) for picture in ready]
        total = sum(map(len, coded))
        if total <= budget or (quality <= 20 and not shrink) or scale < 0.02:
            return coded
        if shrink and quality <= 85:
            scale *= min(0.95 * math.sqrt(budget / total), 0.9)
        else:
            quality -= 9


def encode(picture: np.ndarray, channels: int, quality: int | None = None) -> str:
    """A picture as a data address: PNG, or JPEG of a quality of 1 to 100."""
    import cv2

    stored = np.ascontiguousarray(picture[..., 0] if channels == 1 else picture[..., ::-1])
    if quality is None:
        kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 9]
    else:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, code = cv2.imencode("." + kind, stored, options)
    return f"data:image/{kind};base64," + base64.b64encode(code.tobytes()).decode()


def to_hex(color: np.ndarray) -> str:
    """A color `(3,)` in [0, 1] as CSS has it."""
    return "#" + "".join(f"{round(float(part) * 255):02x}" for part in color)


def _as_picture(picture: np.ndarray | Tensor) -> np.ndarray:
    return to_picture(picture) if isinstance(picture, Tensor) else picture


def _at_scale(picture: np.ndarray, scale: float) -> np.ndarray:
    longest = max(picture.shape[:2])
    return picture if scale >= 1 else resize(picture, max(1, int(longest * scale)))


def _tile_side(scanpath: Scanpath) -> int:
    """Side in pixels of a glimpse in the page: its own, or less where there are very many."""
    numbers, g = scanpath.glimpses.numel(), scanpath.retina.size
    return max(1, min(g, int(g * math.sqrt(4 * LOSSLESS / max(numbers, 1)))))


def _sprite(scanpath: Scanpath, episode: int, tile: int) -> np.ndarray:
    """All glimpses of an episode in one picture: a row a glimpse, a column a scale."""
    import cv2

    glimpses = scanpath.glimpses[episode, : count_taken(scanpath, episode)]  # (t, S, C, g, g)
    taken, scales, channels, g, _ = glimpses.shape
    sheet = to_picture(glimpses.permute(2, 0, 3, 1, 4).reshape(channels, taken * g, scales * g))
    if tile == g:
        return sheet
    return cv2.resize(sheet, (scales * tile, taken * tile), interpolation=cv2.INTER_AREA)


def _rounded(shares: np.ndarray | Tensor) -> list[list[float]]:
    return np.nan_to_num(np.asarray(shares)).astype(float).round(4).tolist()
