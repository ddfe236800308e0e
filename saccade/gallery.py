"""Many episodes at once: galleries, and one scene looked at by several.

None of these shows or writes anything: `figure.savefig("gaze.png")` writes a picture, and so
does `ax.figure.savefig`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor

from saccade.draw import draw_beliefs, draw_fixations, draw_growth, draw_scanpath
from saccade.figure import INK, QUIET, RIGHT, SHADE, WRONG, new_axes, new_figure, place_axes
from saccade.geometry import to_pixels
from saccade.pictures import (
    Gaze,
    check_scenes,
    check_size,
    count_taken,
    last_beliefs,
    resize,
    shorten,
    time_colors,
    to_picture,
    verdict,
)
from saccade.scanpath import Scanpath

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["right", "wrong", "uncertain"]


def choose_episodes(
    scanpath: Scanpath, kind: Kind, labels: Tensor | Sequence[int] | None = None, count: int = 64
) -> list[int]:
    """Chooses episodes for a gallery, by the last belief of each.

    Args:
        scanpath: N episodes.
        kind: "right" or "wrong" answers, the most certain first; or "uncertain", all, the least
            certain first.
        labels: `(N,)` true classes; "uncertain" needs none.
        count: How many, at most.

    Returns:
        Their numbers, from 0; none where there are none of the kind.

    Raises:
        ValueError: If there is no such kind, or labels are wanting or of another number.
    """
    beliefs = last_beliefs(scanpath)
    certainty, answers = beliefs.max(1), beliefs.argmax(1)
    if kind == "uncertain":
        return np.argsort(certainty, kind="stable")[:count].tolist()
    if kind not in ("right", "wrong"):
        raise ValueError(f"episodes are right, wrong or uncertain; got {kind!r}")
    if labels is None or len(labels) != len(scanpath):
        raise ValueError(f"to tell {kind} answers, give a label for each of {len(scanpath)}")
    good = answers == np.asarray(labels)
    order = np.argsort(-certainty, kind="stable")
    return order[good[order] == (kind == "right")][:count].tolist()


def draw_gallery(
    scenes: Tensor | np.ndarray,
    scanpath: Scanpath,
    classes: Sequence[str],
    labels: Tensor | Sequence[int] | None = None,
    episodes: Sequence[int] | None = None,
    columns: int = 8,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws a grid of small scenes, each with its gaze, the answer and how certain it was.

    Args:
        scenes: `(N, C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        scanpath: N episodes, one on each scene.
        classes: `K` names.
        labels: `(N,)` true classes, where they are known: right answers are written in green,
            wrong ones in red with the truth behind them.
        episodes: Which to draw, in this order, such as those of `choose_episodes`; without it
            the first 64.
        columns: How many in a row, at most.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes. A scene is `width` wide and `height` high in them.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If the scenes do not fit the scanpath, or there is nothing to draw.
    """
    from matplotlib.collections import LineCollection

    check_scenes(scenes, scanpath, labels)
    chosen = _chosen(scanpath, episodes, 64)
    if columns < 1:
        raise ValueError(f"a gallery has 1 column or more, got {columns}")
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    height, width = scanpath.height, scanpath.width
    cell = max(width, 0.6 * height)  # room for the words under a tall scene
    tall, wide = 1.3 * height, 1.08 * cell  # from a scene to the next
    size = (rows * tall, columns * wide - 0.08 * cell)
    ax = ax or new_axes(*size, longest=max(1.15 * max(columns, rows * tall / wide), 5))
    edge = 0.04 * cell
    limits = {"xlim": (-edge, size[1] + edge), "ylim": (size[0], -edge)}
    ax.set(**limits, xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set_visible(False)
    box = ax.get_window_extent()
    point = min(box.width / size[1], box.height / size[0]) * 72 / ax.figure.dpi  # a scene's pixel
    side = min(cell, height) * point  # of a scene, in points
    radius = min(max(side * 0.045, 1.2), 5)
    letter = min(max(side * 0.1, 3), 9)
    most = max(int(cell * point / (0.6 * letter)), 4)  # letters that fit
    colors, last = time_colors(scanpath.num_glimpses), last_beliefs(scanpath)
    lines, inks, spots, fills = [], [], [], []
    for place, n in enumerate(chosen):
        left = place % columns * wide + (cell - width) / 2
        top = place // columns * tall
        picture = resize(to_picture(scenes[n]), 300)
        ax.imshow(picture, extent=(left, left + width, top + height, top), aspect="equal")
        taken = count_taken(scanpath, n)
        where = to_pixels(scanpath.locations[n, :taken].detach().cpu(), height, width)
        path = where.numpy() + np.array([left, top])
        lines += list(np.stack([path[:-1], path[1:]], 1))
        inks += list(colors[1:taken])
        spots += list(path)
        fills += list(colors[:taken])
        answer = int(last[n].argmax())
        text, ink = f"{shorten(classes[answer], most)}, {last[n, answer]:.0%}", INK
        if labels is not None:
            label = int(labels[n])
            ink = RIGHT if answer == label else WRONG
            if answer != label:
                text += f"\nis {shorten(classes[label], most)}"
        style: dict[str, Any] = {"fontsize": letter, "color": ink, "linespacing": 1.05}
        middle, below = left + width / 2, top + height + 0.25 * letter / point
        ax.text(middle, below, text, ha="center", va="top", **style)
    for color, extra in ((SHADE, 1.0), (inks, 0.0)):
        kind: dict[str, Any] = {
            "colors": color,
            "linewidths": radius * 0.5 + extra,
            "capstyle": "round",
        }
        ax.add_collection(LineCollection(lines, **kind), autolim=False)
    xs, ys = np.array(spots).T
    ax.scatter(xs, ys, s=(2 * radius) ** 2, c=fills, ec=SHADE, lw=0.5, zorder=3)
    ax.set(**limits)
    return ax


def draw_side_by_side(
    scene: Tensor | np.ndarray,
    gazes: Mapping[str, Gaze],
    until: int | None = None,
    axes: "Sequence[Axes] | None" = None,
) -> "list[Axes]":
    """Draws one scene as several looked at it: two agents, or an agent and a person.

    Args:
        scene: `(C, H, W)` uint8 or float in [0, 1], C of 1 or 3.
        gazes: For each name a record of one episode on this scene, such as `scanpath[3]`: of an
            agent, drawn with the retina's windows at its last fixation, or of a person.
        until: How many fixations to draw, from 1; without it all there are.
        axes: Axes to draw on, as many as gazes; without them those of a new figure.

    Returns:
        The axes, in the order of the gazes, with the names as titles.

    Raises:
        ValueError: If a record holds more than one episode or fits another scene, if there are
            none, or not as many axes as gazes.
    """
    if not gazes:
        raise ValueError("there is nobody's gaze to draw")
    picture = to_picture(scene)
    for name, gaze in gazes.items():
        if len(gaze) != 1:
            raise ValueError(f"{name} has {len(gaze)} episodes; give the one on this scene")
        check_size(picture.shape[:2], gaze)
    height, width = picture.shape[:2]
    if axes is None:
        scale = 3.2 / max(height, width)
        tall, wide, gap, head = height * scale, max(width * scale, 1), 0.14, 0.3
        figure = new_figure(2 * gap + len(gazes) * (wide + gap) - gap, tall + head + gap)
        lefts = [gap + i * (wide + gap) for i in range(len(gazes))]
        axes = [place_axes(figure, left, head, wide, tall) for left in lefts]
    if len(axes) != len(gazes):
        raise ValueError(f"there are {len(gazes)} gazes, but {len(axes)} axes")
    for ax, (name, gaze) in zip(axes, gazes.items(), strict=True):
        if isinstance(gaze, Scanpath):
            draw_scanpath(scene, gaze, 0, until, ax)
        else:
            draw_fixations(scene, gaze, 0, until, ax)
        ax.set_title(name, loc="left", fontsize=9, weight="bold", color=INK)
    return list(axes)


def draw_episodes(
    scenes: Tensor | np.ndarray,
    scanpath: Scanpath,
    classes: Sequence[str],
    labels: Tensor | Sequence[int] | None = None,
    episodes: Sequence[int] | None = None,
) -> "Figure":
    """Draws one row an episode: the gaze, what it saw as it went on, its beliefs.

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
    chosen = _chosen(scanpath, episodes, 6)
    # All in inches. A row holds four pictures of the scene's shape, then the bars.
    tall, wide = 1.7, 1.7 * scanpath.width / scanpath.height
    tall, wide = tall * min(1, 2.8 / wide), min(wide, 2.8)
    margin, gap, head, title, bars = 0.2, 0.12, 0.32, 0.3, 2.0
    names = 0.3 + 0.07 * max(len(shorten(name)) for name in classes)
    pitch = max(tall, 1.1) + title + 0.22
    step = max(wide, 1.15) + gap  # from a picture to the next: room for the heads
    width = 2 * margin + 4 * step - gap + names + bars + 0.55
    height = head + pitch * len(chosen) + margin / 2
    figure = new_figure(width, height)
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
        panel = place_axes(figure, lefts[0], y, wide, tall)
        draw_scanpath(scenes[n], scanpath, n, ax=panel)
        strip = place_axes(figure, lefts[1], y, 2 * step + wide, tall)  # one for three, for speed
        draw_growth(scanpath, n, (1, (taken + 1) // 2, taken), strip, step / wide - 1)
        side = place_axes(figure, lefts[4], y, bars, max(tall, 1.1))
        draw_beliefs(scanpath, n, classes, ax=side, label=label)
        said, right = verdict(scanpath, n, classes, label)
        color = {None: INK, True: RIGHT, False: WRONG}[right]
        panel.set_title(said, loc="left", fontsize=9, weight="bold", color=color)
    return figure


def _chosen(scanpath: Scanpath, episodes: Sequence[int] | None, most: int) -> list[int]:
    """The episodes to draw, each checked, or the first ones."""
    chosen = list(range(min(most, len(scanpath)))) if episodes is None else list(episodes)
    if not chosen:
        raise ValueError("no episodes were chosen to be drawn")
    for n in chosen:
        count_taken(scanpath, n)
    return chosen
