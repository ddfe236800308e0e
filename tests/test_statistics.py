"""How a gaze moves: by hand, and by slow references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from saccade.fixation_tables import read_fixations
from saccade.statistics import (
    amplitude_histogram,
    amplitudes,
    coverage,
    describe,
    direction_histogram,
    directions,
)
from tests.test_fixations import make

PATHS = [[(10, 10), (40, 50), (40, 50)], [(0, 20), (0, 10)], [(5, 5)]]
NAN = np.nan


def test_amplitudes_by_hand():
    record = make(*PATHS)
    assert_allclose(amplitudes(record), [[50, 0], [10, NAN], [NAN, NAN]])
    assert_allclose(amplitudes(record, 20), [[2.5, 0], [0.5, NAN], [NAN, NAN]])
    for bad in (0, -1, NAN, np.inf):
        with pytest.raises(ValueError, match="pixels_per_degree must be over 0"):
            amplitudes(record, bad)


def test_directions_by_hand():
    record = make(*PATHS, [(50, 50), (60, 50), (50, 50)])
    right, left, up = 0, np.pi, np.pi / 2
    down_right = -np.arctan2(40, 30)
    wanted = [[down_right, NAN], [up, NAN], [NAN, NAN], [right, left]]
    assert_allclose(directions(record), wanted)


def test_histograms_by_hand():
    record = make(*PATHS, [(50, 50), (60, 50), (50, 50), (50, 49)])
    # Amplitudes 50, 0, 10, 10, 10, 1.
    shares = amplitude_histogram(record, np.array([0, 5, 20, 40]))
    assert_allclose(shares, [2 / 6, 3 / 6, 0])
    # Right, up (twice), left, and one down to the right; the one of length 0 has none.
    assert_allclose(direction_histogram(record, 4), [1 / 5, 2 / 5, 1 / 5, 1 / 5])
    assert_allclose(direction_histogram(record, 1), [1])
    for edges in ([1.0], [0, 2, 2]):
        with pytest.raises(ValueError, match="rising"):
            amplitude_histogram(record, np.array(edges))
    with pytest.raises(ValueError, match="1 bin or more"):
        direction_histogram(record, 0)


def test_direction_bins_are_centered():
    angles = np.deg2rad([-44, 44, 46, 134, 136, -136, -134, -46])
    record = make(*[[(50, 50), (50 + 9 * np.cos(a), 50 - 9 * np.sin(a))] for a in angles])
    assert_allclose(direction_histogram(record, 4), [2 / 8] * 4)


def test_describes_by_hand():
    record = make([(0, 0), (30, 0), (30, 40)], [(50, 50), (60, 50)])
    # 30 right, 40 down, 10 right.
    told = describe(record)
    assert told.saccades == 3
    assert_allclose([told.mean, told.median], [80 / 3, 30])
    assert_allclose(told.std, np.std([30, 40, 10]))
    assert_allclose(told.direction, np.arctan2(-1, 2))
    assert_allclose(told.concentration, np.hypot(2, -1) / 3)
    assert_allclose(told.horizontal, 2 / 3)
    assert_allclose(describe(record, 10).mean, 8 / 3)


def test_describes_a_gaze_that_does_not_move():
    told = describe(make([(1, 1), (1, 1)]))
    assert (told.saccades, told.mean, told.median) == (1, 0, 0)
    assert np.isnan([told.direction, told.concentration, told.horizontal]).all()
    told = describe(make([(1, 1)]))
    assert told.saccades == 0
    assert np.isnan(told[1:]).all()
    assert amplitude_histogram(make([(1, 1)]), np.array([0, 1])).tolist() == [0]
    assert direction_histogram(make([(1, 1)]), 2).tolist() == [0, 0]


def test_coverage_by_hand():
    # 200 x 100 pixels. A circle of radius 1.1 around a pixel's center holds it and four others;
    # around a corner of the image one.
    record = make([(50.5, 50.5)], [(50.5, 50.5), (51.5, 50.5)], [(0, 0)])
    assert_allclose(coverage(record, 1.1) * 20_000, [5, 8, 1])
    assert_allclose(coverage(make([(100, 50)]), 500), 1)
    with pytest.raises(ValueError, match="radius must be over 0"):
        coverage(record, 0)


@given(
    st.lists(st.tuples(st.floats(-5, 35), st.floats(-5, 25)), min_size=1, max_size=6),
    st.floats(0.6, 25),
)
def test_coverage_counts_pixels(path, radius):
    record = make(path, [(1, 1)], height=20, width=30)
    xs, ys = np.arange(30) + 0.5, np.arange(20)[:, None] + 0.5
    places = record.pixels[0, : len(path)]
    near = np.min([np.hypot(xs - x, ys - y) for x, y in places], axis=0)
    low, high = (near <= radius - 1e-9).mean(), (near <= radius + 1e-9).mean()
    assert low - 1e-12 <= coverage(record, radius)[0] <= high + 1e-12


def test_directions_as_a_public_one():
    theirs = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    record = make(*rng.random((9, 6, 2)) * (200, 100))
    angles = directions(record).reshape(-1)
    told = describe(record)
    assert_allclose(told.direction, theirs.circmean(angles, high=np.pi, low=-np.pi))
    assert_allclose(1 - told.concentration, theirs.circvar(angles))


def test_people_look_sideways(data_dir):
    table = read_fixations(data_dir / "eyetracking/fixations.csv", height=600, width=800)
    told = describe(table[:1500])
    assert told.horizontal > 0.55
    assert told.concentration < 0.1
    assert 80 < told.median < 120
