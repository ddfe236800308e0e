"""Scanpath against scanpath: by hand, by slow references, and by others' implementations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from saccade.compare import dtw, multimatch, scanmatch, string_edit
from tests.test_fixations import make

SIDE = st.floats(0, 1, exclude_max=True)
PATH = st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=7)


def random_pairs(count=40, most=12, seed=0):
    """Two records of scanpaths of 3 to `most` fixations on 300 x 400 pixels, with durations."""
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(2):
        lengths = rng.integers(3, most + 1, count)
        paths = [rng.random((length, 2)) * (400, 300) for length in lengths]
        times = [rng.integers(50, 600, length).astype(float) for length in lengths]
        records.append(make(*paths, durations=times, height=300, width=400))
    return records


def test_multimatch_by_hand():
    # Diagonal 500. Saccades (30, 0), (0, 40) against (0, 40), (0, 40): differences are 50, 50 in
    # the first row and 0, 0 in the second, so the path is (0, 0), (1, 1) or with (1, 0) between;
    # the diagonal is taken. Medians of 50 and 0.
    one = make([(0, 0), (30, 0), (30, 40)], durations=[[100, 200, 7]], height=300, width=400)
    other = make([(0, 0), (0, 40), (0, 80)], durations=[[50, 200, 9]], height=300, width=400)
    result = multimatch(one, other)
    assert_allclose(result.shape, 1 - 25 / 1000)
    assert_allclose(result.direction, 1 - 0.25)  # a right angle and none: pi/4 of pi
    assert_allclose(result.length, 1 - 5 / 500)  # 30 and 40, 40 and 40
    assert_allclose(result.position, 1 - (0 + 50) / 2 / 500)  # of (0, 0), and (30, 0) to (0, 40)
    assert_allclose(result.duration, 1 - (0.5 + 0) / 2)


def test_multimatch_directions_wrap_and_need_a_movement():
    left = make([(200, 0), (100, 1), (0, 2)], height=300, width=400)
    right = make([(200, 2), (100, 1), (0, 0)], height=300, width=400)
    angle = 2 * np.arctan(0.01)  # a little above and a little below the left
    assert_allclose(multimatch(left, right).direction, 1 - angle / np.pi)
    still = make([(9, 9)] * 3, height=300, width=400)
    result = multimatch(left, still)
    assert np.isnan(result.direction)
    assert_allclose(result.length, 1 - np.hypot(100, 1) / 500)


def test_multimatch_of_short_scanpaths_is_undefined():
    long = make([(1, 1), (2, 2), (3, 5)], [(1, 1), (2, 2), (3, 5)], durations=[[1, 2, 3]] * 2)
    short = make([(1, 1), (2, 2)], [(1, 1), (2, 2), (3, 5)])
    result = np.array(multimatch(long, short))
    assert np.isnan(result[:, 0]).all()
    assert_allclose(result[:4, 1], 1)
    assert np.isnan(result[4, 1])  # no durations on one side
    assert np.isnan(multimatch(make([(1, 1)]), make([(1, 1)]))).all()


def test_scanmatch_by_hand():
    # 4 x 2 regions of 50 x 50 pixels.
    one = make([(10, 10), (60, 10), (110, 10)])  # regions 0, 1, 2
    other = make([(10, 10), (110, 60)])  # regions 0 and 6, a step down from 2
    # With threshold 2: 0-0 scores 2, 2-6 scores 2 - 1, a gap -0.5; the longer has 3.
    options = {"wide": 4, "high": 2, "threshold": 2.0}
    assert_allclose(scanmatch(one, other, gap=-0.5, **options), (2 + 1 - 0.5) / 6)
    assert_allclose(scanmatch(one, other, **options), 3 / 6)
    assert_allclose(scanmatch(one, one, **options), 1)


def test_scanmatch_bins_time():
    one = make([(10, 10), (60, 10)], durations=[[100, 149]])  # 0 0 1 1 1 in bins of 50 ms
    other = make([(10, 10), (60, 10)], durations=[[24, 100]])  # 1 1
    options = {"wide": 4, "high": 2, "threshold": 1.0}
    assert_allclose(scanmatch(one, other, bin_ms=50, **options), 2 / 5)
    brief = make([(10, 10)], durations=[[1]])
    assert np.isnan(scanmatch(brief, brief, bin_ms=50))
    with pytest.raises(ValueError, match="take bin_ms=0"):
        scanmatch(one, make([(1, 1)]), bin_ms=50)


def test_string_edit_by_hand():
    # Regions of 40 x 20 pixels in reading order: A B C, then A X C, and A.
    path = [(10, 10), (50, 10), (90, 10)]
    one = make(path, path, path)
    other = make(path, [(10, 10), (50, 30), (90, 10)], [(10, 10)])
    assert_allclose(string_edit(one, other), [0, 1 / 3, 2 / 3])
    assert_allclose(string_edit(make([(10, 10)]), make([(30, 5)])), 0)  # the same region
    assert_allclose(string_edit(make([(10, 10)]), make([(30, 5)]), wide=10), 1)


def test_regions_of_fixations_at_and_beyond_the_border():
    edge = make([(200, 100), (0, 0)], [(250, 130), (-5, -5)])
    inner = make([(199, 99), (1, 1)], [(199, 99), (1, 1)])
    assert_allclose(string_edit(edge, inner), 0)


def test_dtw_by_hand():
    # Costs: 0 and 30 to the first, 3 and 27 to the second, 30 and 0 to the third.
    one, other = make([(0, 0), (3, 0), (30, 0)]), make([(0, 0), (30, 0)])
    assert_allclose(dtw(one, other), (0 + 3 + 0) / 3)
    assert_allclose(dtw(other, one), 1)
    assert_allclose(dtw(make([(0, 0)]), make([(3, 4), (6, 8)])), (5 + 10) / 2)


@given(PATH, PATH)
def test_dtw_is_the_least_of_all_warpings(a, b):
    one, other = (make(np.array(path) * (200, 100)) for path in (a, b))
    costs = np.hypot(*(one.pixels[0][:, None] - other.pixels[0][None]).transpose(2, 0, 1))

    def least(i, j):
        before = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
        ways = [least(*cell) for cell in before if min(cell) >= 0]
        return costs[i, j] + (min(ways) if ways else 0)

    wanted = least(len(a) - 1, len(b) - 1) / max(len(a), len(b))
    assert_allclose(dtw(one, other), wanted, atol=1e-9)


@given(PATH, PATH)
def test_measures_are_symmetric_and_best_for_the_same(a, b):
    one, other = (
        make(np.array(path) * (200, 100), durations=[np.arange(1.0, len(path) + 1)])
        for path in (a, b)
    )
    for measure, best in ((dtw, 0), (string_edit, 0), (scanmatch, 1)):
        assert_allclose(measure(one, other), measure(other, one), atol=1e-9)
        assert_allclose(measure(one, one), best, atol=1e-9)
    assert 0 <= string_edit(one, other) <= 1
    assert 0 <= scanmatch(one, other) <= 1 + 1e-9
    same = np.array(multimatch(one, one))
    assert_allclose(same[np.isfinite(same)], 1, atol=1e-9)


def test_a_batch_equals_its_pairs():
    one, other = random_pairs()
    for measure in (dtw, string_edit, scanmatch, lambda a, b: scanmatch(a, b, bin_ms=50)):
        singles = [measure(one[n], other[n])[0] for n in range(len(one))]
        assert_allclose(measure(one, other), singles)
    singles = [np.array(multimatch(one[n], other[n]))[:, 0] for n in range(len(one))]
    assert_allclose(np.array(multimatch(one, other)).T, singles)


def test_padding_does_not_count():
    one, other = random_pairs(3, 5)
    more = make(*[[(1, 1)] * 9] * 3, height=300, width=400)
    for name in ("locations", "durations"):
        getattr(more, name)[:] = np.nan
        wide = getattr(one, name).shape[1]
        getattr(more, name)[:, :wide] = getattr(one, name)
    more = type(one)(**(vars(more) | {"counts": one.counts}))
    for measure in (dtw, string_edit, scanmatch, multimatch):
        assert_array_equal(measure(one, other), measure(more, other))


def test_refuses_what_is_no_pair():
    one = make([(1, 1)])
    for measure in (dtw, string_edit, scanmatch, multimatch):
        with pytest.raises(ValueError, match="1 scanpaths cannot be paired with 2"):
            measure(one, make([(1, 1)], [(2, 2)]))
        with pytest.raises(ValueError, match="100 x 200 and 100 x 300 pixels"):
            measure(one, make([(1, 1)], width=300))
    with pytest.raises(ValueError, match="1 region or more"):
        string_edit(one, one, wide=0)
    for options in ({"threshold": 0}, {"gap": 1}, {"bin_ms": -1}):
        with pytest.raises(ValueError, match="threshold is over 0"):
            scanmatch(one, one, **options)


def test_multimatch_as_the_public_one():
    theirs = pytest.importorskip("multimatch_gaze")
    one, other = random_pairs()

    def vectors(record, n):
        x, y = record.pixels[n, : record.counts[n]].T
        durations = record.durations[n, : record.counts[n]]
        return np.rec.fromarrays([x, y, durations], names="start_x,start_y,duration")

    wanted = [
        theirs.docomparison(vectors(one, n), vectors(other, n), [400, 300]) for n in range(len(one))
    ]
    assert_allclose(np.array(multimatch(one, other)).T, wanted, atol=1e-12)


@pytest.mark.filterwarnings("default")  # of its imports
def test_scanmatch_as_a_public_one():
    theirs = pytest.importorskip("GazeParser.ScanMatch")
    one, other = random_pairs()
    for bin_ms in (0, 47):  # no half bins, which it rounds to even numbers
        matcher = theirs.ScanMatch(
            Xres=400, Yres=300, Xbin=8, Ybin=6, Threshold=3.5, TempBin=bin_ms
        )
        wanted = []
        for n in range(len(one)):
            sequences = [
                matcher.fixationToSequence(
                    np.column_stack([record.pixels[n], record.durations[n]])[: record.counts[n]]
                ).astype(int)
                for record in (one, other)
            ]
            wanted.append(matcher.match(*sequences)[0])
        assert_allclose(scanmatch(one, other, wide=8, high=6, bin_ms=bin_ms), wanted)


@pytest.mark.parametrize("gap", [0.0, -0.7])
def test_scanmatch_as_an_aligner_of_sequences(gap):
    align = pytest.importorskip("Bio.Align")
    one, other = random_pairs()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWX"  # 6 x 4 regions
    places = [(n % 6, n // 6) for n in range(24)]
    table = align.substitution_matrices.Array(letters, dims=2)
    for (a, p), (b, q) in itertools.product(zip(letters, places, strict=True), repeat=2):
        table[a, b] = 2.5 - np.hypot(p[0] - q[0], p[1] - q[1])
    aligner = align.PairwiseAligner(mode="global", substitution_matrix=table)
    aligner.gap_score = gap
    strings = []
    for record in (one, other):
        cells = np.floor(record.pixels / (400 / 6, 300 / 4))
        strings.append(
            ["".join(letters[int(x + 6 * y)] for x, y in cells[n, : record.counts[n]])
             for n in range(len(record))]
        )  # fmt: skip
    wanted = [
        aligner.score(a, b) / (2.5 * max(len(a), len(b))) for a, b in zip(*strings, strict=True)
    ]
    result = scanmatch(one, other, wide=6, high=4, threshold=2.5, gap=gap)
    assert_allclose(result, wanted, atol=1e-9)


def test_string_edit_as_a_public_one():
    theirs = pytest.importorskip("rapidfuzz.distance").Levenshtein
    one, other = random_pairs()
    wanted = []
    for n in range(len(one)):
        strings = [
            [(int(x // 80), int(y // 60)) for x, y in record.pixels[n, : record.counts[n]]]
            for record in (one, other)
        ]
        wanted.append(theirs.normalized_distance(*strings))
    assert_allclose(string_edit(one, other), wanted)


def test_dtw_as_a_public_one():
    theirs = pytest.importorskip("dtaidistance.dtw_ndim")
    one, other = random_pairs()
    wanted = []
    for n in range(len(one)):
        a, b = (record.pixels[n, : record.counts[n]] for record in (one, other))
        wanted.append(theirs.distance(a, b, inner_dist="euclidean") / max(len(a), len(b)))
    assert_allclose(dtw(one, other), wanted)
