"""Still pictures of one episode: the path over the scene, what the agent saw, what it believed.

Every function draws on the axes it is given or on new ones, and returns them; none shows or
writes anything: `ax.figure.savefig("gaze.png")` writes a picture. Color tells time
(`saccade.pictures`); coordinates are the scene's pixels (`saccade.figure`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from saccade.figure import (
    FAINT,
    INK,
    QUIET,
    SHADE,
    inches,
    new_axes,
    new_figure,
    show_picture,
)
from saccade.geometry import to_pixels, window_starts
from saccade.pictures import (
    LONGEST,
    Gaze,
    check_size,
    count_taken,
    get_beliefs,
    grow,
    reconstruct,
    shade,
    shorten,
    time_colors,
    to_picture,
    top_classes,
)
from saccade.scanpath import Scanpath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_beliefs",
    "draw_fixations",
    "draw_growth",
    "draw_scanpath",
    "draw_seen",
    "draw_windows",
    "reconstruct",
]


def draw_fixations(
    scene: Tensor | np.ndarray,
    gaze: Gaze,
    episode: int,
    until: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a scene with an agent's or a person's numbered fixations, arrows between them.

    Args:
        scene: `(C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        gaze: N episodes of an agent, or N scanpaths of people.
        episode: Which of them, 0..N-1; it was seen on this scene.
        until: How many fixations to draw, from 1; without it all there are.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the scene has another size than the one that was seen, or cannot be shown.
    """
    taken, ax = count_taken(gaze, episode, until), _begin(scene, gaze, ax)
    points, colors = _points(gaze, episode)
    _draw_path(ax, points[:taken], colors)
    return ax


def draw_windows(
    scene: Tensor | np.ndarray,
    scanpath: Scanpath,
    episode: int,
    until: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a scene with the nested squares of the retina at each fixation.

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
    taken, ax = count_taken(scanpath, episode, until), _begin(scene, scanpath, ax)
    points, colors = _points(scanpath, episode)
    for t in range(taken):
        _draw_squares(ax, scanpath, episode, t, colors[t])
    size = (1.1 * _radius(ax)) ** 2
    dots: dict[str, Any] = {"edgecolors": SHADE, "linewidths": 0.8, "zorder": 3, "clip_on": False}
    ax.scatter(points[:taken, 0], points[:taken, 1], s=size, c=colors[:taken], **dots)
    return ax


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
    taken, ax = count_taken(scanpath, episode, until), _begin(scene, scanpath, ax)
    points, colors = _points(scanpath, episode)
    _draw_squares(ax, scanpath, episode, taken - 1, colors[taken - 1])
    _draw_path(ax, points[:taken], colors)
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
    return draw_growth(scanpath, episode, [count_taken(scanpath, episode, until)], ax)


def draw_growth(
    scanpath: Scanpath,
    episode: int,
    moments: Sequence[int] | None = None,
    ax: "Axes | None" = None,
    gap: float = 0.06,
) -> "Axes":
    """Draws what the agent had seen as it went on: pictures side by side, on the same axes.

    Args:
        scanpath: N episodes.
        episode: Which of them, 0..N-1.
        moments: After how many glimpses each, from 1, in any order; without it after each that
            was taken.
        ax: Axes to draw on; without them those of a new figure.
        gap: White between two pictures, in widths of the scene.

    Returns:
        The axes: picture i begins at x = i * (1 + gap) * width.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If a moment was not reached, or the glimpses are neither grey nor RGB.
    """
    taken, height, width = count_taken(scanpath, episode), scanpath.height, scanpath.width
    wanted = range(1, taken + 1) if moments is None else list(moments)
    if not wanted or min(wanted) < 1 or max(wanted) > taken:
        raise ValueError(f"moments are from 1 to the {taken} glimpses taken, got {list(wanted)}")
    across = (len(wanted) + gap * (len(wanted) - 1)) * width
    if ax is None:
        ax = new_axes(height, across, min(1.8 * len(wanted), 16) if len(wanted) > 1 else 4)
    for t, seen in enumerate(grow(scanpath, episode, LONGEST), 1):
        if t > max(wanted):
            break
        for place in [place for place, moment in enumerate(wanted) if moment == t]:
            picture = shade(*seen, scanpath.retina.scales)
            show_picture(ax, picture, height, width, place * (1 + gap) * width)
    ax.set_xlim(0, across)
    return ax


def draw_beliefs(
    scanpath: Scanpath,
    episode: int,
    classes: Sequence[str],
    until: int | None = None,
    ax: "Axes | None" = None,
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
    if ax is None:
        figure = new_figure(4.4, 0.5 + 0.36 * len(shown))
        ax = figure.add_axes((0.3, 0.12, 0.54, 0.86))  # room for names and percentages
    ax.set(xlim=(0.4, total + 0.6), ylim=(0.8 - len(rows), 0.95))
    ax.set_xticks(range(1, total + 1, max(1, round(total / 10))))
    ax.set_yticks(0.35 - rows, [shorten(classes[k]) for k in shown])
    ax.spines[:].set_visible(False)
    size = min(max(inches(ax) * 5.5, 5), 9)
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


def _begin(scene: Tensor | np.ndarray, gaze: Gaze, ax: "Axes | None") -> "Axes":
    """The axes given, or new ones, with a scene on them that fits the gaze."""
    picture = to_picture(scene)
    check_size(picture.shape[:2], gaze)
    ax = ax or new_axes(gaze.height, gaze.width)
    show_picture(ax, picture, gaze.height, gaze.width)
    return ax


def _points(gaze: Gaze, episode: int) -> tuple[np.ndarray, np.ndarray]:
    """Fixations in pixels `(t, 2)`, and a color for each: of its number among all there may be."""
    taken = count_taken(gaze, episode)
    if isinstance(gaze, Scanpath):
        where = gaze.locations[episode, :taken].detach().cpu()
        return to_pixels(where, gaze.height, gaze.width).numpy(), time_colors(gaze.num_glimpses)
    return gaze.pixels[episode, :taken], time_colors(taken)


def _draw_squares(ax: "Axes", scanpath: Scanpath, episode: int, t: int, color: np.ndarray) -> None:
    """Draws the retina's windows at one fixation, the finer the stronger."""
    from matplotlib.patches import Rectangle

    retina, size = scanpath.retina, (scanpath.height, scanpath.width)
    where = scanpath.locations[episode, t : t + 1].detach().cpu()
    starts = window_starts(where, retina.size, retina.scales, retina.factor, *size)
    for s, (start, side) in enumerate(zip(starts[0].tolist(), retina.sides, strict=True)):
        square = Rectangle(start, side, side, fill=False, edgecolor=color)
        square.set(linewidth=max(1.6 - 0.3 * s, 0.7), alpha=max(1 - 0.2 * s, 0.4))
        ax.add_patch(square).set_path_effects(_halo(_radius(ax)))


def _draw_path(ax: "Axes", points: np.ndarray, colors: np.ndarray) -> None:
    """Draws numbered discs at fixations `(t, 2)` and an arrow to each but the first."""
    radius = _radius(ax)
    for t in range(1, len(points)):
        arrow = {"arrowstyle": "-|>", "color": colors[t], "linewidth": radius / 4}
        arrow |= {"shrinkA": radius, "shrinkB": radius, "mutation_scale": 1.4 * radius}
        arrow |= {"connectionstyle": "arc3,rad=0.12", "path_effects": _halo(radius)}
        ax.annotate("", points[t], points[t - 1], arrowprops=arrow)
    for t, (x, y) in enumerate(points):  # a later disc covers an earlier one, number and all
        disc: dict[str, Any] = {"markersize": 2 * radius, "mec": SHADE, "mew": 0.8}
        ax.plot(x, y, "o", color=colors[t], zorder=3, clip_on=False, **disc)
        ink = "white" if colors[t] @ (0.3, 0.6, 0.1) < 0.5 else INK
        size = (1.25 if t < 9 else 1) * radius
        text: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": size}
        ax.text(x, y, str(t + 1), color=ink, weight="bold", zorder=3, **text)


def _radius(ax: "Axes") -> float:
    """Of a fixation's disc, in points."""
    return min(max(inches(ax) * 2.3, 3.6), 10)


def _halo(radius: float) -> list[Any]:
    """A dark rim around lines, so that they show on bright and dark."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=radius / 4 + 1.4, foreground=SHADE)]
