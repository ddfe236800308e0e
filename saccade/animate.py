"""Moving pictures of the gaze, drawn frame by frame with OpenCV; `saccade.video` writes them.

Convention:
    Frames are `(height, width, 3)` uint8 RGB. Color tells time (`saccade.pictures`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from saccade.geometry import to_pixels, window_starts
from saccade.pictures import (
    LONGEST,
    check_scenes,
    check_size,
    count_taken,
    get_beliefs,
    grow,
    resize,
    shade,
    shorten,
    time_colors,
    to_picture,
    top_classes,
    verdict,
)
from saccade.scanpath import Scanpath

PAPER, INK, QUIET, FAINT = (255, 255, 255), (31, 36, 48), (107, 114, 128), (232, 235, 240)
RIGHT, WRONG, SHADOW = (21, 127, 79), (194, 65, 12), (18, 18, 24)
FLY, HOLD, LINGER = 3, 5, 14  # frames: of a saccade, of a fixation, of the end of an episode
PAD, HEAD, ROW = 16, 34, 22  # pixels: between parts, above the panels, a row of the bars
NARROW = 120  # pixels: room for a headline over the narrowest panel


@dataclass(frozen=True, eq=False)
class Animation:
    """What `animate` returns: frames, each drawn when it is asked for, as often as they are.

    `len(animation)` is their number, `np.stack(list(animation))` holds them all at once.
    """

    scenes: Tensor | np.ndarray
    scanpath: Scanpath
    classes: Sequence[str]
    labels: Tensor | Sequence[int] | None
    episodes: Sequence[int]
    side: int

    def __len__(self) -> int:
        taken = [count_taken(self.scanpath, n) for n in self.episodes]
        return sum(count * (HOLD + FLY) - FLY + LINGER for count in taken)

    def __iter__(self) -> Iterator[np.ndarray]:
        for n in self.episodes:
            label = None if self.labels is None else int(self.labels[n])
            picture = to_picture(self.scenes[n])
            yield from _play(picture, self.scanpath, n, self.classes, label, self.side)


def animate(
    scenes: Tensor | np.ndarray,
    scanpath: Scanpath,
    classes: Sequence[str],
    labels: Tensor | Sequence[int] | None = None,
    episodes: Sequence[int] | None = None,
    side: int = 280,
) -> Animation:
    """Plays episodes one after the other: the gaze on the scene, what it saw, its beliefs.

    Args:
        scenes: `(N, C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        scanpath: N episodes, one on each scene.
        classes: `K` names.
        labels: `(N,)` true classes, where they are known.
        episodes: Which to play, in this order; without it the first four.
        side: Longer side of a panel in pixels, about: small scenes are enlarged by a whole
            factor, so that their pixels stay square and sharp.

    Returns:
        Frames `(h, w, 3)` uint8 RGB, to be played at about 12 a second: 5 for a fixation, 3 for
        the saccade between two, 14 more at the end of an episode. One is in memory at a time.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the scenes do not fit the scanpath, or there is nothing to draw.
    """
    check_scenes(scenes, scanpath, labels)
    chosen = range(min(4, len(scanpath))) if episodes is None else list(episodes)
    if not chosen:
        raise ValueError("no episodes were chosen to be drawn")
    for n in chosen:
        get_beliefs(scanpath, n, classes)  # refuses what does not fit before anything is drawn
    return Animation(scenes, scanpath, classes, labels, chosen, side)


def draw_frame(
    scene: Tensor | np.ndarray, scanpath: Scanpath, episode: int, side: int = 280
) -> np.ndarray:
    """Draws one moment: the scene with the gaze so far, and beside it what has been seen.

    Args:
        scene: `(C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        scanpath: N episodes.
        episode: Which of them, 0..N-1; drawn after the last glimpse taken.
        side: Longer side of a panel in pixels, about, as in `animate`.

    Returns:
        `(h, w, 3)` uint8, RGB: two panels with a white gap of 16 pixels.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the scene does not fit the scanpath, or cannot be shown.
    """
    picture = to_picture(scene)
    check_size(picture.shape[:2], scanpath)
    panel = resize(picture, side)
    spots, windows = _in_panel(panel, scanpath, episode)
    *_, (image, finest) = grow(scanpath, episode, max(side, LONGEST))
    seen = resize(shade(image, finest, scanpath.retina.scales), side)
    gap = np.full((len(panel), PAD, 3), PAPER, np.uint8)
    gaze = _draw_gaze(panel, spots, len(spots), windows[-1], _colors(scanpath))
    return np.concatenate([gaze, gap, seen], 1)


def _play(
    picture: np.ndarray,
    scanpath: Scanpath,
    episode: int,
    classes: Sequence[str],
    label: int | None,
    side: int,
) -> Iterator[np.ndarray]:
    """Yields the frames of one episode, `(h, w, 3)` uint8."""
    scene = resize(picture, side)
    height, width = scene.shape[:2]
    taken, colors = count_taken(scanpath, episode), _colors(scanpath)
    spots, windows = _in_panel(scene, scanpath, episode)
    beliefs = get_beliefs(scanpath, episode, classes)  # (t, K)
    shown = top_classes(beliefs, 5, label)
    names = [shorten(classes[k]) + (" (true)" if k == label else "") for k in shown]
    beliefs = np.concatenate([np.zeros((1, len(shown))), beliefs[:, shown]])  # from nothing
    said, good = verdict(scanpath, episode, classes, label)
    column = max(width, NARROW)
    size = (HEAD + height + PAD + len(shown) * ROW + PAD, max(2 * column + 3 * PAD, 400), 3)
    frame = np.full(size, PAPER, np.uint8)
    left = (frame.shape[1] - 2 * column - PAD) // 2
    right = left + column + PAD

    def paint(gaze: np.ndarray, seen: np.ndarray, bars: np.ndarray, t: int, head: str) -> None:
        """Lays the two panels and the bars into the frame, and a headline over them."""
        frame[:HEAD] = frame[HEAD + height :] = PAPER
        frame[HEAD : HEAD + height, left : left + width] = gaze
        frame[HEAD : HEAD + height, right : right + width] = seen
        _write(frame, head, (left, HEAD - 11), QUIET)
        _write(frame, "what it has seen", (right, HEAD - 11), QUIET)
        _draw_bars(frame, HEAD + height + PAD, names, bars, colors[t])

    seen = np.empty_like(scene)
    for t, (image, finest) in enumerate(grow(scanpath, episode, max(side, LONGEST))):
        head = f"glimpse {t + 1} of {taken}"
        for share in np.linspace(0, 1, FLY + 2)[1:-1] if t else []:
            ease = share * share * (3 - 2 * share)
            flying = spots[t - 1] * (1 - ease) + spots[t] * ease
            squares = windows[t - 1] * (1 - ease) + windows[t] * ease
            path = np.concatenate([spots[:t], flying[None]])
            paint(_draw_gaze(scene, path, t, squares, colors), seen, beliefs[t], t - 1, head)
            yield frame.copy()
        seen = resize(shade(image, finest, scanpath.retina.scales), side)
        gaze = _draw_gaze(scene, spots[: t + 1], t + 1, windows[t], colors)
        for share in np.minimum(np.arange(1, HOLD + 1) / 3, 1):
            bars = beliefs[t] * (1 - share) + beliefs[t + 1] * share
            paint(gaze, seen, bars, t, head)
            yield frame.copy()
    color = {None: INK, True: RIGHT, False: WRONG}[good]
    frame[: HEAD - 2] = PAPER
    _write(frame, said, (left, HEAD - 11), color, bold=True)
    yield from [frame] * LINGER


def _colors(scanpath: Scanpath) -> list[tuple]:
    """RGB of every glimpse, 0..255."""
    return [tuple(map(int, color * 255)) for color in time_colors(scanpath.num_glimpses)]


def _in_panel(panel: np.ndarray, scanpath: Scanpath, episode: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixations `(t, 2)` and windows `(t, S, 4)`, as left, top, right, bottom, in its pixels."""
    shape, retina = (scanpath.height, scanpath.width), scanpath.retina
    where = scanpath.locations[episode, : count_taken(scanpath, episode)].detach().cpu()
    zoom = np.array(panel.shape[1::-1]) / shape[::-1]
    starts = window_starts(where, retina.size, retina.scales, retina.factor, *shape).numpy()
    ends = starts + np.array(retina.sides)[:, None]
    return to_pixels(where, *shape).numpy() * zoom, np.concatenate([starts * zoom, ends * zoom], -1)


def _draw_gaze(
    scene: np.ndarray, path: np.ndarray, landed: int, windows: np.ndarray, colors: list[tuple]
) -> np.ndarray:
    """A copy of the scene with a gaze on it: the path `(t, 2)`, windows `(S, 4)`, in pixels."""
    import cv2

    panel, now = scene.copy(), colors[len(path) - 1]
    radius = min(max(round(min(panel.shape[:2]) * 0.035), 7), 11)

    def fixed(point: np.ndarray) -> tuple[int, int]:
        """Sixteenths of a pixel, from the middle of pixel 0: OpenCV's `shift=4`."""
        x, y = ((point - 0.5) * 16).round().astype(int).clip(-(2**18), 2**18)
        return int(x), int(y)

    for s, (x, y, right, bottom) in enumerate(windows):
        corners = fixed(np.array([x, y]) + 0.5), fixed(np.array([right, bottom]) - 0.5)
        for color, thick in ((SHADOW, 2 if s else 3), (now, 1 if s else 2)):
            cv2.rectangle(panel, *corners, color, thick, cv2.LINE_AA, 4)
    for t in range(1, len(path)):
        way = path[t] - path[t - 1]
        length = np.hypot(*way)
        tip = path[t] - way / max(length, 1e-9) * min(radius if t < landed else 0, length)
        for color, extra in ((SHADOW, 2), (colors[t], 0)):
            cv2.line(panel, fixed(path[t - 1]), fixed(tip), color, 2 + extra, cv2.LINE_AA, 4)
    for t in range(landed):
        cv2.circle(panel, fixed(path[t]), (radius + 1) * 16, SHADOW, -1, cv2.LINE_AA, 4)
        cv2.circle(panel, fixed(path[t]), radius * 16, colors[t], -1, cv2.LINE_AA, 4)
        ink = PAPER if colors[t] @ np.array([0.3, 0.6, 0.1]) < 128 else INK
        _write(panel, str(t + 1), tuple(path[t]), ink, bold=True, center=True)
    return panel


def _draw_bars(
    frame: np.ndarray, top: int, names: list[str], beliefs: np.ndarray, color: tuple
) -> None:
    """Draws a row for each name into a frame: the name, a bar of its belief, the percentage."""
    import cv2

    first = PAD + max(_text_width(name) for name in names) + 10
    last = frame.shape[1] - PAD - 44
    most = int(beliefs.argmax())
    for r, (name, belief) in enumerate(zip(names, beliefs, strict=True)):
        y = top + r * ROW
        bold = r == most and belief > 0
        ink = INK if bold else QUIET
        _write(frame, name, (first - 10 - _text_width(name), y + 14), ink)
        _write(frame, f"{belief:.0%}", (last + 10, y + 14), ink, bold=bold)
        cv2.rectangle(frame, (first, y + 4), (last, y + 15), FAINT, -1)
        if belief * (last - first) >= 1:
            full = first + round(float(belief) * (last - first))
            cv2.rectangle(frame, (first, y + 4), (full, y + 15), color, -1)


def _write(
    image: np.ndarray,
    text: str,
    spot: tuple[float, float],
    color: tuple,
    bold: bool = False,
    center: bool = False,
) -> None:
    """Writes into an image, from the left end of the baseline or around a center."""
    import cv2

    face = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
    size = 0.4 if center else 0.48
    x, y = spot
    if center:
        x, y = x - cv2.getTextSize(text, face, size, 1)[0][0] / 2, y + 10.5 * size
    cv2.putText(image, text, (round(x), round(y)), face, size, color, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    """Width in pixels of a text written by `_write`."""
    import cv2

    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.48, 1)[0][0]
