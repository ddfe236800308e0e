"""Still pictures of the gaze: the path over the scene, what the agent saw, what it believed.

Every function takes a Scanpath, draws on the axes it is given or on new ones, and returns
them; none shows or writes anything. Figures are made without pyplot, so neither a display nor
global state is touched: `ax.figure.savefig("gaze.png")` writes one.

Convention:
    Axes are in continuous pixel coordinates: pixel i covers [i, i + 1), x to the right, y
    down, as `saccade.geometry.to_pixels` gives them. Color tells time (`saccade.pictures`).
"""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from saccade.geometry import to_pixels, window_starts
from saccade.pictures import (
    check_scenes,
    check_size,
    count_taken,
    get_beliefs,
    grow,
    reconstruct,
    resize,
    shade,
    shorten,
    time_colors,
    to_picture,
    top_classes,
    verdict,
)
from saccade.scanpath import Scanpath

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_beliefs", "draw_episodes", "draw_scanpath", "draw_seen", "reconstruct"]

INK, QUIET, FAINT, SHADE = "#1f2430", "#6b7280", "#d9dde5", "#000000b0"
RIGHT, WRONG = "#157f4f", "#c2410c"
LONGEST = 1024  # pixels; larger scenes are reduced before they are drawn


def draw_scanpath(
    scene: Tensor | np.ndarray,
    scanpath: Scanpath,
    episode: int,
    until: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a scene, its numbered fixations, and the retina's windows at the latest one.

    Args:
        scene: `(C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        scanpath: N episodes.
        episode: Which of them, 0..N-1; it was seen on this scene.
        until: How many glimpses to draw, from 1; without it all that were taken.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the scene has another size than the scanpath's, or cannot be shown.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    taken = count_taken(scanpath, episode, until)
    picture = to_picture(scene)
    check_size(picture.shape[:2], scanpath)
    ax = ax or _new_axes(scanpath)
    _show(ax, picture, scanpath)
    radius = min(max(_inches(ax) * 2.3, 3.6), 10)  # of a fixation's disc, in points
    halo: list[Any] = [withStroke(linewidth=radius / 4 + 1.4, foreground=SHADE)]
    colors = time_colors(scanpath.num_glimpses)
    retina, size = scanpath.retina, (scanpath.height, scanpath.width)
    seen = scanpath.locations[episode, :taken].detach().cpu()  # (t, 2)
    starts = window_starts(seen[-1:], retina.size, retina.scales, retina.factor, *size)
    for s, (start, side) in enumerate(zip(starts[0].tolist(), retina.sides, strict=True)):
        square = Rectangle(start, side, side, fill=False, edgecolor=colors[taken - 1])
        square.set(linewidth=max(1.6 - 0.3 * s, 0.7), alpha=max(1 - 0.2 * s, 0.4))
        ax.add_patch(square).set_path_effects(halo)
    points = to_pixels(seen, *size).tolist()
    for t in range(1, taken):
        arrow = {"arrowstyle": "-|>", "color": colors[t], "linewidth": radius / 4}
        arrow |= {"shrinkA": radius, "shrinkB": radius, "mutation_scale": 1.4 * radius}
        arrow |= {"connectionstyle": "arc3,rad=0.12", "path_effects": halo}
        ax.annotate("", points[t], points[t - 1], arrowprops=arrow)
    for t, (x, y) in enumerate(points):  # a later disc covers an earlier one, number and all
        disc: dict[str, Any] = {"markersize": 2 * radius, "mec": SHADE, "mew": 0.8}
        ax.plot(x, y, "o", color=colors[t], zorder=3, clip_on=False, **disc)
        ink = "white" if colors[t] @ (0.3, 0.6, 0.1) < 0.5 else INK
        text: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 1.25 * radius}
        ax.text(x, y, str(t + 1), color=ink, weight="bold", zorder=3, **text)
    return ax


def draw_seen(
    scanpath: Scanpath, episode: int, until: int | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Draws what the agent had seen, the unseen left dark: see `reconstruct`.

    Args:
        scanpath: N episodes.
        episode: Which of them, 0..N-1.
        until: After how many glimpses, from 1; without it after all that were taken.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the glimpses cannot be shown: neither grey nor RGB.
    """
    taken = count_taken(scanpath, episode, until)
    *_, (image, finest) = islice(grow(scanpath, episode), taken)
    picture = shade(image, finest, scanpath.retina.scales)
    ax = ax or _new_axes(scanpath)
    _show(ax, picture, scanpath)
    return ax


def draw_beliefs(
    scanpath: Scanpath,
    episode: int,
    classes: Sequence[str],
    until: int | None = None,
    ax: "Axes | None" = None,
    *,
    label: int | None = None,
    top: int = 5,
) -> "Axes":
    """Draws one row a class, in it one bar a glimpse: how much the class was believed in.

    Args:
        scanpath: N episodes.
        episode: Which of them, 0..N-1.
        classes: `K` names.
        until: How many glimpses to draw, from 1; without it all that were taken.
        ax: Axes to draw on; without them those of a new figure.
        label: The true class, marked with a check and always shown.
        top: How many classes to draw: the answer, and those that were once most believed in.

    Returns:
        The axes: x is the glimpse, from 1; row r has its foot at y = -r, and belief 1 is as
        high as 0.8.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If there are not as many names as classes.
    """
    taken, total = count_taken(scanpath, episode, until), scanpath.num_glimpses
    beliefs = get_beliefs(scanpath, episode, classes)[:taken]  # (t, K)
    shown = top_classes(beliefs, top, label)
    rows = np.arange(len(shown))
    ax = ax or _new_axes(scanpath)
    ax.set(xlim=(0.4, total + 0.6), ylim=(0.8 - len(rows), 0.95), xticks=range(1, total + 1))
    ax.set_yticks(0.35 - rows, [shorten(classes[k]) for k in shown])
    ax.spines[:].set_visible(False)
    size = min(max(_inches(ax) * 5.5, 5), 9)
    ax.tick_params(length=0, labelsize=size, labelcolor=QUIET)
    ax.hlines(-rows, 0.5, total + 0.5, colors=FAINT, linewidth=0.7)
    xs = np.tile(np.arange(1, taken + 1), len(rows))
    colors = np.tile(time_colors(total)[:taken], (len(rows), 1))
    heights = 0.8 * beliefs[:, shown].T.reshape(-1)
    ax.bar(xs, heights, 0.72, np.repeat(-rows, taken), color=colors)
    for r, k in enumerate(shown):
        text = f"{beliefs[-1, k]:.0%}" + (" ✓" if k == label else "")
        style: dict[str, Any] = {"color": INK, "weight": "bold"} if r == 0 else {"color": QUIET}
        ax.text(total + 0.7, 0.35 - r, text, va="center", fontsize=size, **style)
    return ax


def draw_episodes(
    scenes: Tensor | np.ndarray,
    scanpath: Scanpath,
    classes: Sequence[str],
    labels: Tensor | Sequence[int] | None = None,
    episodes: Sequence[int] | None = None,
) -> "Figure":
    """Draws a gallery, one row an episode: the gaze, what it saw as it went on, its beliefs.

    Args:
        scenes: `(N, C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        scanpath: N episodes, one on each scene.
        classes: `K` names.
        labels: `(N,)` true classes, where they are known.
        episodes: Which to draw, in this order; without it the first six.

    Returns:
        The figure, for the caller to save or show.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the scenes do not fit the scanpath, or there is nothing to draw.
    """
    check_scenes(scenes, scanpath, labels)
    chosen = range(min(6, len(scanpath))) if episodes is None else list(episodes)
    if not chosen:
        raise ValueError("no episodes were chosen to be drawn")
    # All in inches. A row holds four pictures of the scene's shape, then the bars.
    tall, wide = 1.7, 1.7 * scanpath.width / scanpath.height
    tall, wide = tall * min(1, 2.8 / wide), min(wide, 2.8)
    margin, gap, head, title, bars = 0.2, 0.12, 0.32, 0.3, 2.0
    names = 0.3 + 0.07 * max(len(shorten(name)) for name in classes)
    pitch = max(tall, 1.1) + title + 0.22
    step = max(wide, 1.15) + gap  # from a picture to the next: room for the heads
    width = 2 * margin + 4 * step - gap + names + bars + 0.55
    height = head + pitch * len(chosen) + margin / 2
    figure = _new_figure(width, height)

    def place(x: float, y: float, w: float, h: float) -> "Axes":
        """Axes of w x h inches whose upper left corner is x to the right, y down."""
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    lefts = [margin + column * step for column in range(4)]
    lefts.append(lefts[-1] + step - gap + names)
    heads = ["scene and gaze", "seen after 1 glimpse", "halfway", "at the end"]
    heads.append("belief by glimpse" + ("" if labels is None else ", ✓ is true"))
    for x, text in zip(lefts, heads, strict=True):
        figure.text(x / width, 1 - 0.22 / height, text, fontsize=8, color=QUIET)
    for row, n in enumerate(chosen):
        y = head + row * pitch + title
        taken = count_taken(scanpath, n)
        label = None if labels is None else int(labels[n])
        panel = draw_scanpath(scenes[n], scanpath, n, ax=place(lefts[0], y, wide, tall))
        strip = place(lefts[1], y, 2 * step + wide, tall)  # one for three, for speed
        wanted = (1, (taken + 1) // 2, taken)
        for t, seen in enumerate(grow(scanpath, n), 1):
            for column in [column for column, until in enumerate(wanted) if until == t]:
                left = column * step / wide * scanpath.width
                _show(strip, shade(*seen, scanpath.retina.scales), scanpath, left)
        strip.set_xlim(0, (1 + 2 * step / wide) * scanpath.width)
        draw_beliefs(scanpath, n, classes, ax=place(lefts[4], y, bars, max(tall, 1.1)), label=label)
        said, right = verdict(scanpath, n, classes, label)
        color = {None: INK, True: RIGHT, False: WRONG}[right]
        panel.set_title(said, loc="left", fontsize=9, weight="bold", color=color)
    return figure


def _new_figure(width: float, height: float) -> "Figure":
    """A white figure of so many inches that needs neither pyplot nor a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _new_axes(scanpath: Scanpath) -> "Axes":
    """The axes of a new figure, of the scene's shape."""
    scale = 4 / max(scanpath.height, scanpath.width)
    figure = _new_figure(max(scanpath.width * scale, 1), max(scanpath.height * scale, 1))
    return figure.add_axes((0, 0, 1, 1))


def _show(ax: "Axes", picture: np.ndarray, scanpath: Scanpath, left: float = 0) -> None:
    """Lays a picture over the scene's pixel coordinates, or to the right of them."""
    if max(picture.shape) > LONGEST:
        picture = resize(picture, LONGEST)
    extent = (left, left + scanpath.width, scanpath.height, 0)
    ax.imshow(picture, extent=extent, interpolation="antialiased")
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _inches(ax: "Axes") -> float:
    """The shorter side of axes."""
    box = ax.get_window_extent()
    return min(box.width, box.height) / ax.figure.dpi
