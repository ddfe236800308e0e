"""Figures and axes to draw on, made without pyplot: neither a display nor global state is touched.

Convention:
    Axes of a scene are in continuous pixel coordinates: pixel i covers [i, i + 1), x to the
    right, y down, as `saccade.geometry.to_pixels` gives them.
"""

from typing import TYPE_CHECKING

import numpy as np

from saccade.pictures import LONGEST, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, FAINT, SHADE = "#1f2430", "#6b7280", "#d9dde5", "#000000b0"
RIGHT, WRONG = "#157f4f", "#c2410c"


def new_figure(width: float, height: float) -> "Figure":
    """A white figure of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_axes(height: float, width: float, longest: float = 4) -> "Axes":
    """Axes that fill a new figure, of this shape, `longest` inches at the longer side."""
    scale = longest / max(height, width)
    figure = new_figure(max(width * scale, 1), max(height * scale, 1))
    return figure.add_axes((0, 0, 1, 1))


def new_chart(width: float = 4.4, height: float = 2.8) -> "Axes":
    """Axes of a new figure of so many inches, with room around them for labels."""
    figure = new_figure(width, height)
    left, bottom, right, top = 0.62 / width, 0.5 / height, 1 - 0.16 / width, 1 - 0.34 / height
    return figure.add_axes((left, bottom, right - left, top - bottom))


def place_axes(figure: "Figure", x: float, y: float, width: float, height: float) -> "Axes":
    """Axes of so many inches whose upper left corner lies x to the right, y down."""
    wide, tall = figure.get_size_inches()
    return figure.add_axes((x / wide, 1 - (y + height) / tall, width / wide, height / tall))


def show_picture(
    ax: "Axes", picture: np.ndarray, height: float, width: float, left: float = 0
) -> None:
    """Lays a picture over a scene's pixel coordinates, or `left` pixels to the right of them."""
    if max(picture.shape) > LONGEST:
        picture = resize(picture, LONGEST)
    extent = (left, left + width, height, 0)
    ax.imshow(picture, extent=extent, interpolation="antialiased")
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def style_chart(ax: "Axes", size: float = 8) -> None:
    """Leaves of axes with numbers on them only what is needed to read them."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(length=0, labelsize=size, labelcolor=QUIET)
    ax.xaxis.label.set(color=QUIET, fontsize=size)
    ax.yaxis.label.set(color=QUIET, fontsize=size)
    ax.set_axisbelow(True)


def inches(ax: "Axes") -> float:
    """The shorter side of axes."""
    box = ax.get_window_extent()
    return min(box.width, box.height) / ax.figure.dpi
