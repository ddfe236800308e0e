"""Scanpath against scanpath: MultiMatch, ScanMatch, dynamic time warping, string edit distance.

Each function takes two records of N scanpaths on images of one size, compares scanpath n of one
with scanpath n of the other, and returns N numbers for each measure. Distances are in pixels of
the image. Choose the pairs by indexing: `dtw(people[viewers], people[others])`.

No number means anything alone. People look at the center first and most, so a gaze that never
leaves it scores well: print the same measure of random gaze, center gaze and another viewer beside
it (`scripts/human_gaze.py` does).

All four align two sequences by dynamic programming (Needleman & Wunsch 1970), which runs over the
antidiagonals of all N tables at once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from saccade.fixations import Fixations

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class MultiMatch(NamedTuple):
    """Five similarities of N pairs, `(N,)` each, from 0 to 1 (the same); NaN where undefined."""

    shape: Floats
    direction: Floats
    length: Floats
    position: Floats
    duration: Floats


def multimatch(one: Fixations, other: Fixations) -> MultiMatch:
    """MultiMatch: how alike scanpaths are in shape, direction, length, position and duration.

    Saccades are aligned by the cheapest path through the table of their vector differences (as
    in time warping); a similarity is 1 minus the median difference over the aligned pairs, as a
    share of its largest: twice the image's diagonal for shape, pi for direction, the diagonal for
    length and for position (of the fixations that saccades start from), the longer of both
    fixations for duration.

    Jarodzka, Holmqvist & Nyström 2010; Dewhurst et al. 2012. Deltas from the latter: scanpaths
    are not simplified first; a saccade of no length has no direction and is left out of it.

    Returns:
        Five arrays. NaN for scanpaths of less than three fixations, for directions where there
        are none, for durations where one side has none.

    Raises:
        ValueError: If the records differ in number of scanpaths or in the images' size.
    """
    _check_pairs(one, other)
    lengths = [record.counts - 1 for record in (one, other)]  # saccades, (N,)
    starts = [record.pixels[:, :-1] for record in (one, other)]  # (N, S, 2)
    vectors = [np.diff(record.pixels, axis=1) for record in (one, other)]  # (N, S, 2)
    differences = _distances(*vectors)  # (N, S1, S2)
    pairs = _aligned(_warp(differences), *lengths)
    pairs &= (np.minimum(*lengths) >= 2)[:, None, None]

    sizes = [np.hypot(v[..., 0], v[..., 1]) for v in vectors]
    angles = [
        np.where(size > 0, np.arctan2(v[..., 1], v[..., 0]), np.nan)
        for v, size in zip(vectors, sizes, strict=True)
    ]
    turn = np.abs(angles[0][:, :, None] - angles[1][:, None])
    times = [record.durations[:, :-1] for record in (one, other)]
    longer = np.maximum(times[0][:, :, None], times[1][:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        time = np.abs(times[0][:, :, None] - times[1][:, None]) / longer
    diagonal = np.hypot(one.height, one.width)
    return MultiMatch(
        shape=1 - _median(differences, pairs) / (2 * diagonal),
        direction=1 - _median(np.minimum(turn, 2 * np.pi - turn), pairs) / np.pi,
        length=1 - _median(np.abs(sizes[0][:, :, None] - sizes[1][:, None]), pairs) / diagonal,
        position=1 - _median(_distances(*starts), pairs) / diagonal,
        duration=1 - _median(time, pairs),
    )


def scanmatch(
    one: Fixations,
    other: Fixations,
    *,
    wide: int = 12,
    high: int = 8,
    threshold: float = 3.5,
    gap: float = 0.0,
    bin_ms: float = 0.0,
) -> Floats:
    """ScanMatch: the best alignment of two sequences of regions, near ones counting as alike.

    The image is cut into `wide` x `high` regions. A pair of regions scores `threshold` minus
    their distance in regions, a gap scores `gap`; the best sum (Needleman & Wunsch 1970) is
    divided by that of the longer sequence with itself. Cristino, Mathôt, Theeuwes & Gilchrist
    2010; defaults are those of their toolbox. Unlike there, the first fixation counts in time
    bins too. Fixations outside count to the nearest region.

    Args:
        one: N scanpaths.
        other: N scanpaths.
        wide: Regions side by side.
        high: Regions one above the other.
        threshold: Distance in regions at which two are no longer alike; the paper takes twice
            the standard deviation of saccade amplitudes.
        gap: Score of a fixation without a partner, 0 or less.
        bin_ms: Repeats a fixation once for each so many ms that it lasts (rounded), so that
            duration counts; 0 takes every fixation once. The paper uses 50 or 100.

    Returns:
        `(N,)`: 1 for the same, around 0 (below it with gaps) for unlike ones; NaN where no time
        bin is filled.

    Raises:
        ValueError: If the records do not match, an option is out of range, or durations are
            unknown that are to be binned.
    """
    _check_pairs(one, other)
    if not threshold > 0 or not gap <= 0 or not 0 <= bin_ms < np.inf:
        got = f"{threshold}, {gap} and {bin_ms}"
        raise ValueError(f"threshold is over 0, gap at most 0, bin_ms 0 or more; got {got}")
    sequences = [_repeat(record, _regions(record, wide, high), bin_ms) for record in (one, other)]
    (a, lengths_a), (b, lengths_b) = sequences
    places = [np.stack([each % wide, each // wide], -1).astype(float) for each in (a, b)]
    best = _align(threshold - _distances(*places), gap)[_ends(lengths_a, lengths_b)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(best / (threshold * np.maximum(lengths_a, lengths_b)))


def string_edit(one: Fixations, other: Fixations, *, wide: int = 5, high: int = 5) -> Floats:
    """String edit distance: steps to turn one sequence of regions into the other.

    The image is cut into `wide` x `high` regions, a scanpath becomes the string of those it
    visits, and insertions, deletions and substitutions cost 1 each (Levenshtein 1966; for
    scanpaths Brandt & Stark 1997, Foulsham & Underwood 2008). Fixations outside count to the
    nearest region.

    Returns:
        `(N,)` steps divided by the longer string's length: 0 for the same string, 1 at most.

    Raises:
        ValueError: If the records do not match, or there is less than one region.
    """
    _check_pairs(one, other)
    a, b = (_regions(record, wide, high) for record in (one, other))
    same = np.equal(a[:, :, None], b[:, None]).astype(float)
    steps = -_align(same - 1, -1.0)[_ends(one.counts, other.counts)]
    return np.asarray(steps / np.maximum(one.counts, other.counts))


def dtw(one: Fixations, other: Fixations) -> Floats:
    """Dynamic time warping: how far apart the fixations are, in order, at the best pairing.

    Every fixation is paired with one or more of the other scanpath without going back, so that
    the sum of distances is smallest (Sakoe & Chiba 1978, without window or weights).

    Returns:
        `(N,)` in pixels: that sum divided by the number of fixations of the longer scanpath.

    Raises:
        ValueError: If the records differ in number of scanpaths or in the images' size.
    """
    _check_pairs(one, other)
    total = _warp(_distances(one.pixels, other.pixels))[_ends(one.counts, other.counts)]
    return np.asarray(total / np.maximum(one.counts, other.counts))


def _check_pairs(one: Fixations, other: Fixations) -> None:
    """Refuses records that are no pairs."""
    if len(one) != len(other):
        raise ValueError(f"{len(one)} scanpaths cannot be paired with {len(other)}")
    if (one.height, one.width) != (other.height, other.width):
        raise ValueError(
            f"scanpaths on images of {one.height} x {one.width} and {other.height} x {other.width} "
            "pixels cannot be compared"
        )


def _distances(a: Floats, b: Floats) -> Floats:
    """`(N, A, 2)` and `(N, B, 2)` to `(N, A, B)`."""
    apart = a[:, :, None] - b[:, None]
    return np.hypot(apart[..., 0], apart[..., 1])


def _regions(record: Fixations, wide: int, high: int) -> Integers:
    """`(N, T)` number of the region of each fixation, in reading order; 0 where there is none."""
    if min(wide, high) < 1:
        raise ValueError(f"an image has 1 region or more a side, got {wide} x {high}")
    share = np.nan_to_num((record.locations + 1) / 2)
    places = np.clip(np.floor(share * (wide, high)), 0, (wide - 1, high - 1)).astype(np.int64)
    return places[..., 0] + wide * places[..., 1]


def _repeat(record: Fixations, regions: Integers, bin_ms: float) -> tuple[Integers, Integers]:
    """Repeats fixations by their durations: sequences `(N, L)` and their lengths `(N,)`."""
    if not bin_ms:
        return regions, record.counts
    if np.isnan(record.durations[record.taken]).any():
        raise ValueError("some durations are unknown; take bin_ms=0, which leaves time out")
    times = np.floor(np.nan_to_num(record.durations) / bin_ms + 0.5).astype(np.int64)
    ends = np.cumsum(times, 1)  # (N, T)
    steps = np.arange(max(int(ends.max(initial=0)), 1))  # (L,)
    which = (steps >= ends[:, :, None]).sum(1)  # (N, L): the fixation that lasts at a step
    which = np.minimum(which, regions.shape[1] - 1)
    return np.take_along_axis(regions, which, 1), ends[:, -1]


def _ends(a: Integers, b: Integers) -> tuple[Integers, Integers, Integers]:
    """Index of the cell in which each pair's table ends."""
    return np.arange(len(a)), a, b


def _antidiagonals(a: int, b: int) -> list[tuple[Integers, Integers]]:
    """The cells of an a x b table, from (1, 1) on, in an order in which none needs a later one."""
    rows = [np.arange(max(1, k - b), min(a, k - 1) + 1) for k in range(2, a + b + 1)]
    return [(row, k - row) for k, row in enumerate(rows, 2)]


def _align(scores: Floats, gap: float) -> Floats:
    """Needleman & Wunsch: `(N, A, B)` scores to `(N, A+1, B+1)` best sums of all prefixes."""
    count, a, b = scores.shape
    table = np.empty((count, a + 1, b + 1))
    table[:, :, 0], table[:, 0, :] = gap * np.arange(a + 1), gap * np.arange(b + 1)
    for i, j in _antidiagonals(a, b):
        skip = np.maximum(table[:, i - 1, j], table[:, i, j - 1]) + gap
        table[:, i, j] = np.maximum(table[:, i - 1, j - 1] + scores[:, i - 1, j - 1], skip)
    return table


def _warp(costs: Floats) -> Floats:
    """Time warping: `(N, A, B)` costs to `(N, A+1, B+1)` least sums of all prefixes."""
    count, a, b = costs.shape
    table = np.full((count, a + 1, b + 1), np.inf)
    table[:, 0, 0] = 0
    for i, j in _antidiagonals(a, b):
        before = np.minimum(table[:, i - 1, j], table[:, i, j - 1])
        before = np.minimum(before, table[:, i - 1, j - 1])
        table[:, i, j] = before + costs[:, i - 1, j - 1]
    return table


def _aligned(table: Floats, a: Integers, b: Integers) -> NDArray[np.bool_]:
    """`(N, A, B)` bool, the pairs on the cheapest path of a warped table, found from its end.

    Of equally cheap ways both going on comes first, then one alone.
    """
    n = np.arange(len(table))
    path = np.zeros((len(table), table.shape[1] - 1, table.shape[2] - 1), bool)
    i, j = a.copy(), b.copy()
    for _ in range(table.shape[1] + table.shape[2]):
        left = (i > 0) & (j > 0)
        path[n[left], i[left] - 1, j[left] - 1] = True
        both, first, second = table[n, i - 1, j - 1], table[n, i - 1, j], table[n, i, j - 1]
        diagonal = (both <= first) & (both <= second)
        i, j = (
            np.where(left & (diagonal | (first <= second)), i - 1, i),
            np.where(left & (diagonal | (first > second)), j - 1, j),
        )
    return path


def _median(differences: Floats, pairs: NDArray[np.bool_]) -> Floats:
    """`(N,)` medians over the chosen pairs that are numbers; NaN where there are none."""
    chosen = np.where(pairs, differences, np.nan).reshape(len(differences), -1)
    result = np.full(len(chosen), np.nan)
    some = np.isfinite(chosen).any(1)
    if some.any():
        result[some] = np.nanmedian(chosen[some], axis=1)
    return result
