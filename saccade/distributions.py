"""Where a gaze goes over many episodes: heatmap, amplitudes and directions of saccades.

Each takes an agent's record or people's, draws on the axes it is given or on new ones, and
returns them; none shows or writes anything.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from saccade.figure import INK, QUIET, new_axes, new_chart, new_figure, show_picture, style_chart
from saccade.fixations import Fixations
from saccade.maps import density_map
from saccade.pictures import LONGEST, Gaze, check_size, resize, to_picture
from saccade.scanpath import Scanpath
from saccade.statistics import amplitude_histogram, amplitudes, direction_histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR = "#a23b8f"  # of histograms; color tells time elsewhere, here it tells nothing
FINE = 256  # pixels of a heatmap's longer side
CHUNK = 4096  # fixations put into the heatmap at a time


def draw_heatmap(
    gaze: Gaze,
    scene: Tensor | np.ndarray | None = None,
    sigma: float | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws where fixations lie, over a scene or over nothing.

    Brightness goes with the square root of their density, so that a common first fixation does
    not outshine all others.

    Args:
        gaze: N episodes of an agent, or N scanpaths of people, on scenes of one size.
        scene: `(C, H, W)` uint8 or float in [0, 1], C of 1 or 3, to draw behind in grey: the
            one that all looked at, or the mean of many.
        sigma: Standard deviation in pixels of the Gaussian around each fixation; without it a
            twentieth of the longer side.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes, in the scene's pixels.

    Raises:
        ValueError: If there are no fixations, the scene has another size, or sigma is not over 0.
    """
    from matplotlib import colormaps

    height, width = gaze.height, gaze.width
    heat = np.sqrt(_heat(gaze, max(height, width) / 20 if sigma is None else sigma))
    ax = ax or new_axes(height, width)
    if scene is None:
        picture = (colormaps["inferno"](heat)[..., :3] * 255).astype(np.uint8)
        show_picture(ax, picture, height, width)
        return ax
    picture = to_picture(scene)
    check_size(picture.shape[:2], gaze)
    picture = resize(picture, LONGEST) if max(picture.shape) > LONGEST else picture
    grey = picture.mean(-1, keepdims=True).repeat(3, -1).astype(np.uint8)
    show_picture(ax, grey, height, width)
    layer = colormaps["inferno"](0.25 + 0.75 * heat)
    layer[..., 3] = 0.9 * heat
    ax.imshow(layer, extent=(0, width, height, 0), interpolation="bilinear")
    return ax


def draw_amplitudes(
    gaze: Gaze, pixels_per_degree: float | None = None, bins: int = 24, ax: "Axes | None" = None
) -> "Axes":
    """Draws a histogram of the lengths of saccades, their median marked.

    Args:
        gaze: N episodes of an agent, or N scanpaths of people.
        pixels_per_degree: With it lengths are in degrees of visual angle, else in pixels.
        bins: How many bars from 0 to the longest saccade.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes: x is the length, y the share of saccades in percent.

    Raises:
        ValueError: If no episode has a saccade, or a number is not over 0.
    """
    fixations, scale = _fixations(gaze), pixels_per_degree or 1.0
    lengths = amplitudes(fixations, 1.0 if pixels_per_degree is None else pixels_per_degree)
    lengths = lengths[np.isfinite(lengths)]
    if not len(lengths) or bins < 1:
        raise ValueError("a histogram needs saccades, two fixations in an episode, and a bin")
    edges = np.linspace(0, max(lengths.max(), 1e-9) * (1 + 1e-9), bins + 1)
    shares = amplitude_histogram(fixations, edges, scale) * 100
    ax = ax or new_chart()
    ax.bar(edges[:-1], shares, np.diff(edges) * 0.92, align="edge", color=BAR)
    median, unit = float(np.median(lengths)), "pixels" if pixels_per_degree is None else "degrees"
    ax.axvline(median, color=INK, linewidth=1)
    right = median > 0.6 * edges[-1]  # of the middle: the words stand on the other side
    style: dict[str, Any] = {"color": INK, "fontsize": 8, "va": "top"}
    spot: dict[str, Any] = {"xy": (median, 0.98), "xycoords": ax.get_xaxis_transform()}
    aside: dict[str, Any] = {"xytext": (-4 if right else 4, 0), "textcoords": "offset points"}
    ax.annotate(f"median {median:.3g}", ha="right" if right else "left", **spot, **aside, **style)
    style_chart(ax)
    ax.set(xlim=(0, edges[-1]), xlabel=f"amplitude of saccades, {unit}", ylabel="% of saccades")
    return ax


def draw_directions(gaze: Gaze, bins: int = 16, ax: "Axes | None" = None) -> "Axes":
    """Draws a rose of the directions of saccades, as one sees them on the image.

    Args:
        gaze: N episodes of an agent, or N scanpaths of people.
        bins: How many petals; one points to the right.
        ax: Axes to draw on, no polar ones; without them those of a new figure.

    Returns:
        The axes: a petal's area is its share of saccades, (0, 0) the middle.

    Raises:
        ValueError: If no episode has a saccade, or there is less than one petal.
    """
    from matplotlib.patches import Circle, Wedge
    from matplotlib.patheffects import withStroke

    shares = direction_histogram(_fixations(gaze), bins)
    if not shares.any():
        raise ValueError("a rose needs saccades: two fixations in an episode, not at one place")
    ax = ax or new_figure(2.8, 2.8).add_axes((0.06, 0.06, 0.88, 0.88))
    radii, petal = np.sqrt(shares), 360 / bins
    top = max(radii.max(), 1e-9)
    halo = [withStroke(linewidth=2, foreground="white")]
    for ring in (0.5, 1):  # of the greatest share
        reach = top * np.sqrt(ring)
        circle = Circle((0, 0), reach, fill=False, ec=QUIET, lw=0.6, alpha=0.6, zorder=3)
        ax.add_patch(circle)
        spot, name = reach * np.sqrt(0.5), f"{top**2 * ring:.1%}"
        text = ax.text(spot, -spot, name, fontsize=7, color=INK, ha="center", va="center")
        text.set(path_effects=halo, zorder=4)
    for i, radius in enumerate(radii):
        ends = (i - 0.46) * petal, (i + 0.46) * petal
        ax.add_patch(Wedge((0, 0), radius, *ends, color=BAR, lw=0))
    for x, y, name in ((1, 0, "right"), (0, 1, "up"), (-1, 0, "left"), (0, -1, "down")):
        turn = 90 if y == 0 else 0
        spot = (1.1 * top * x, 1.1 * top * y)
        ax.text(*spot, name, ha="center", va="center", rotation=turn, fontsize=8, color=QUIET)
    ax.set(xlim=(-1.2 * top, 1.2 * top), ylim=(-1.2 * top, 1.2 * top), aspect="equal")
    ax.set_axis_off()
    return ax


def _fixations(gaze: Gaze) -> Fixations:
    return Fixations.from_scanpath(gaze) if isinstance(gaze, Scanpath) else gaze


def _heat(gaze: Gaze, sigma: float) -> np.ndarray:
    """Density of fixations, `(h, w)` with its peak at 1, `FINE` pixels at the longer side."""
    places = _fixations(gaze).locations.reshape(-1, 2)
    places = places[np.isfinite(places).all(1) & (np.abs(places) <= 1).all(1)]
    if not len(places):
        raise ValueError("there are no fixations on the scene to make a heatmap of")
    scale = FINE / max(gaze.height, gaze.width)
    height, width = max(round(gaze.height * scale), 1), max(round(gaze.width * scale), 1)
    total = np.zeros((height, width))
    for start in range(0, len(places), CHUNK):  # so that many episodes take no more memory
        some = places[start : start + CHUNK]
        total += len(some) * density_map(some, height=height, width=width, sigma=sigma * scale)
    return total / total.max()
