"""Fixations against maps: density and center-bias maps, NSS, AUC, information gain.

A map is `(H, W)`, one number a pixel of an image; rows run down. Any saliency map can be scored by
`nss` and `auc`, which only ask where it is high. `information_gain` scores densities, which
promise how often each place is looked at and must keep it.

The center fools everyone. Cameras and eyes both go there, so a blob in the middle of the image,
which knows nothing of it, outdoes many a model of saliency (Tatler 2007). Score `center_bias`
beside every map, and take it as the baseline of information gain: 0 is then what the center gives.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from saccade.fixations import Fixations

Floats = NDArray[np.float64]


def density_map(
    locations: Floats, *, height: int, width: int, sigma: float, uniform: float = 0.0
) -> Floats:
    """How often a place is looked at, judged from fixations by a Gaussian around each.

    Args:
        locations: `(..., 2)` as (x, y) in [-1, 1]; rows with NaN are passed over, so a record's
            padded `locations` can be given as they are.
        height: Height of the map in pixels; it may be coarser than the image.
        width: Width of the map in pixels.
        sigma: Standard deviation of the Gaussian in pixels of the map. Usual is one degree of
            visual angle, about what the fovea and the tracker's error cover.
        uniform: Share of a uniform density mixed in, 0 to 1, so that no place is impossible.

    Returns:
        `(height, width)`, not negative, of sum 1; what Gaussians have beyond the border is lost
        evenly.

    Raises:
        ValueError: If there is no fixation, or a number is out of its range.
    """
    if not sigma > 0 or min(height, width) < 1 or not 0 <= uniform <= 1:
        raise ValueError(
            f"a density map has pixels, sigma over 0 and a uniform share from 0 to 1; got "
            f"{height} x {width}, {sigma} and {uniform}"
        )
    places = locations.reshape(-1, 2)
    places = places[np.isfinite(places).all(1)]
    if not len(places):
        raise ValueError("there are no fixations to make a density map of")
    columns = _bells(places[:, 0], width, sigma)  # (F, W)
    lines = _bells(places[:, 1], height, sigma)  # (F, H)
    blurred = lines.T @ columns
    total = blurred.sum()
    if not total > 0:
        raise ValueError("all fixations are far outside the map")
    return blurred / total * (1 - uniform) + uniform / (height * width)


def center_bias(
    fixations: Fixations,
    without: Collection[str],
    *,
    height: int,
    width: int,
    sigma: float,
    uniform: float = 0.0,
) -> Floats:
    """Where people look whatever the image shows: the density of fixations on *other* images.

    The baseline that a map must beat to have told anything about its image.

    Args:
        fixations: Scanpaths on many images.
        without: The images that it will be compared on, which must not be in it.
        height: As in `density_map`.
        width: As in `density_map`.
        sigma: As in `density_map`.
        uniform: As in `density_map`.

    Raises:
        ValueError: If there are fixations on none but these images, or as `density_map`.
    """
    others = ~np.isin(fixations.images, sorted(str(name) for name in without))
    if not others.any():
        raise ValueError("a center bias is made of other images, and there are none")
    locations = fixations.locations[others]
    return density_map(locations, height=height, width=width, sigma=sigma, uniform=uniform)


def nss(saliency: Floats, locations: Floats) -> float:
    """Normalized scanpath saliency: how many standard deviations above its mean a map is.

    The mean over fixations of (S - mean S) / std S (Peters, Iyer, Itti & Koch 2005). 0 is
    chance; a map that is the same everywhere says nothing and gets 0.

    Args:
        saliency: `(H, W)`, any scale.
        locations: `(..., 2)` as (x, y) in [-1, 1]; rows with NaN are passed over.

    Raises:
        ValueError: If there is no fixation, one is outside the image, or the map is not finite.
    """
    values = _check_map(saliency)[_cells(saliency.shape, locations)]
    if saliency.min() == saliency.max():
        return 0.0
    return float((values.mean() - saliency.mean()) / saliency.std())


def auc_judd(saliency: Floats, locations: Floats) -> float:
    """Area under the ROC curve of a map, as Judd et al. 2009 define it.

    The chance that the map is higher at a fixation than at a pixel without one, all such pixels
    of the image taken alike; equal values count half (Mann & Whitney 1947). 0.5 is chance, 1 is
    best. The MIT benchmark's AUC_Judd.m joins the curve's points at fixations by straight lines
    instead, which adds up to 1/(2F) for F fixations and makes chance 0.5 + 1/(2F + 2).

    Args:
        saliency: `(H, W)`, any scale.
        locations: `(..., 2)` as (x, y) in [-1, 1]; rows with NaN are passed over.

    Raises:
        ValueError: If there is no fixation, one is outside the image, all pixels have one, or
            the map is not finite.
    """
    cells = _cells(_check_map(saliency).shape, locations)
    values = saliency[cells]
    free = np.ones(saliency.shape, bool)
    free[cells] = False
    if not free.any():
        raise ValueError("every pixel has a fixation; there is nothing to tell them from")
    others = np.sort(saliency[free])
    below = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
    return float(below.mean() / (2 * len(others)))


def information_gain(density: Floats, baseline: Floats, locations: Floats) -> float:
    """What a density tells about fixations beyond a baseline, in bits a fixation.

    The mean over fixations of log2 p - log2 q (Kümmerer, Wallis & Bethge 2015), with
    the center bias as baseline q. Negative where the baseline knew better; minus infinity where
    the density held a fixation for impossible (see `uniform` in `density_map`).

    Args:
        density: `(H, W)`, not negative; scaled to sum 1.
        baseline: `(H, W)`, likewise.
        locations: `(..., 2)` as (x, y) in [-1, 1]; rows with NaN are passed over.

    Raises:
        ValueError: If shapes differ, a map is no density, the baseline holds a fixation for
            impossible, there is no fixation, or one is outside the image.
    """
    if density.shape != baseline.shape:
        raise ValueError(f"maps of {density.shape} and {baseline.shape} pixels do not compare")
    for each in (density, baseline):
        if _check_map(each).min() < 0 or not each.sum() > 0:
            raise ValueError("a density is not negative, and over 0 somewhere")
    cells = _cells(density.shape, locations)
    p, q = density[cells] / density.sum(), baseline[cells] / baseline.sum()
    if not q.min() > 0:
        raise ValueError("the baseline is 0 at a fixation; mix a uniform density into it")
    with np.errstate(divide="ignore"):
        return float((np.log2(p) - np.log2(q)).mean())


def _bells(places: Floats, side: int, sigma: float) -> Floats:
    """Gaussians around places (F,) in [-1, 1] at the centers of a side's pixels: `(F, side)`."""
    apart = np.arange(side) + 0.5 - (places[:, None] + 1) / 2 * side
    return np.exp(-0.5 * (apart / sigma) ** 2)


def _check_map(saliency: Floats) -> Floats:
    """The map, if it is one."""
    if saliency.ndim != 2 or not np.isfinite(saliency).all():
        raise ValueError(f"a map is (height, width) and finite; got one of {saliency.shape}")
    return saliency


def _cells(
    shape: tuple[int, ...], locations: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Line and column of the pixel that holds each location."""
    places = locations.reshape(-1, 2)
    places = places[~np.isnan(places).any(1)]
    if not len(places):
        raise ValueError("there are no fixations to score a map by")
    if np.abs(places).max() > 1:
        raise ValueError("a fixation lies outside the image; leave it out to score a map")
    height, width = shape
    cells = np.minimum((places + 1) / 2 * (width, height), (width - 1, height - 1)).astype(np.int64)
    return cells[:, 1], cells[:, 0]
