"""How a gaze moves: coverage of the image, amplitudes and directions of saccades.

Lengths are in pixels of the image; with `pixels_per_degree` amplitudes are in degrees of visual
angle (taken as small angles). Directions are in radians, counterclockwise as one sees the image:
0 is to the right, pi/2 up, -pi/2 down.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.fixations import Fixations

Floats = NDArray[np.float64]


class SaccadeStatistics(NamedTuple):
    """The saccades of all scanpaths of a record, taken together.

    Attributes:
        saccades: How many.
        mean: Mean amplitude.
        std: Standard deviation of amplitudes.
        median: Median amplitude.
        direction: Mean direction in radians, from -pi to pi.
        concentration: Length of the mean of unit vectors in the saccades' directions, 0 (all
            ways alike, or as often one way as its opposite) to 1 (all one way).
        horizontal: Share of saccades that are within 45 degrees of the horizontal; people make
            more of these.
    """

    saccades: int
    mean: float
    std: float
    median: float
    direction: float
    concentration: float
    horizontal: float


def amplitudes(fixations: Fixations, pixels_per_degree: float = 1.0) -> Floats:
    """`(N, T-1)` lengths of saccades in pixels, or in degrees; NaN after a scanpath's last.

    Raises:
        ValueError: If pixels_per_degree is not over 0.
    """
    if not 0 < pixels_per_degree < np.inf:
        raise ValueError(f"pixels_per_degree must be over 0, got {pixels_per_degree}")
    moves = np.diff(fixations.pixels, axis=1)
    return np.hypot(moves[..., 0], moves[..., 1]) / pixels_per_degree


def directions(fixations: Fixations) -> Floats:
    """`(N, T-1)` directions in radians; NaN after a scanpath's last and where nothing moved."""
    moves = np.diff(fixations.pixels, axis=1)
    angles = np.arctan2(0 - moves[..., 1], moves[..., 0])  # 0 - y: never minus zero
    return np.where((moves == 0).all(-1), np.nan, angles)


def amplitude_histogram(
    fixations: Fixations, edges: Floats, pixels_per_degree: float = 1.0
) -> Floats:
    """`(len(edges) - 1,)` shares of saccades by amplitude; those beyond the edges count to none.

    Raises:
        ValueError: If edges do not rise, or pixels_per_degree is not over 0.
    """
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError("edges are two or more rising numbers")
    lengths = amplitudes(fixations, pixels_per_degree)
    lengths = lengths[np.isfinite(lengths)]
    return np.histogram(lengths, edges)[0] / max(len(lengths), 1)


def direction_histogram(fixations: Fixations, bins: int = 16) -> Floats:
    """`(bins,)` shares of saccades by direction; bin 0 is centered on the right, 1 is next up.

    Raises:
        ValueError: If there is less than one bin.
    """
    if bins < 1:
        raise ValueError(f"a histogram has 1 bin or more, got {bins}")
    angles = directions(fixations)
    angles = angles[np.isfinite(angles)]
    which = np.floor(angles / (2 * np.pi) * bins + 0.5).astype(int) % bins
    return np.bincount(which, minlength=bins) / max(len(angles), 1)


def describe(fixations: Fixations, pixels_per_degree: float = 1.0) -> SaccadeStatistics:
    """What the saccades of all scanpaths are like; NaN where there are none.

    Raises:
        ValueError: If pixels_per_degree is not over 0.
    """
    lengths, angles = amplitudes(fixations, pixels_per_degree), directions(fixations)
    lengths, angles = lengths[np.isfinite(lengths)], angles[np.isfinite(angles)]
    nothing = float("nan")
    mean, std, median = (
        (float(each(lengths)) if len(lengths) else nothing) for each in (np.mean, np.std, np.median)
    )
    direction = concentration = horizontal = nothing
    if len(angles):
        x, y = np.cos(angles).mean(), np.sin(angles).mean()
        direction, concentration = float(np.arctan2(y, x)), float(np.hypot(x, y))
        horizontal = float((np.abs(np.cos(angles)) >= np.sqrt(0.5) - 1e-12).mean())
    return SaccadeStatistics(len(lengths), mean, std, median, direction, concentration, horizontal)


def coverage(fixations: Fixations, radius: float) -> Floats:
    """Share of the image that is no further than `radius` pixels from a fixation.

    Judged at the centers of the image's pixels. The radius stands for what is seen sharply, such
    as one degree for people or half the finest window for an agent.

    Returns:
        `(N,)` from 0 to 1.

    Raises:
        ValueError: If the radius is not over 0.
    """
    if not 0 < radius < np.inf:
        raise ValueError(f"radius must be over 0, got {radius}")
    columns, lines = fixations.width, np.arange(fixations.height) + 0.5
    x, y = fixations.pixels[..., 0], fixations.pixels[..., 1]  # (N, T)
    squares = radius**2 - (lines[:, None] - y[:, None]) ** 2  # (N, H, T)
    near = squares >= 0  # false for NaN
    half = np.sqrt(np.where(near, squares, 0))
    # On a line a fixation covers the pixels from start to stop; their union, from left to right.
    x = np.where(np.isfinite(x), x, 0)[:, None]
    start = np.where(near, np.ceil(x - half - 0.5).clip(0, columns), 0)
    stop = np.where(near, (np.floor(x + half - 0.5) + 1).clip(0, columns), 0)
    order = np.argsort(start, -1)
    start, stop = (np.take_along_axis(each, order, -1) for each in (start, stop))
    reached = np.maximum.accumulate(stop, -1)
    reached = np.concatenate([np.zeros_like(reached[..., :1]), reached[..., :-1]], -1)
    new = np.maximum(stop - np.maximum(start, reached), 0)
    return new.sum((1, 2)) / (fixations.height * columns)
