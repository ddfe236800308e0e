"""Fixations against maps: by hand, by slow references, and by others' implementations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from saccade.fixation_tables import read_fixations
from saccade.fixations import Fixations
from saccade.maps import auc_judd, center_bias, density_map, information_gain, nss

CENTERS = np.stack(np.meshgrid([-2 / 3, 0, 2 / 3], [-0.5, 0.5]), -1)  # of 2 x 3 pixels, (2, 3, 2)
MAP = np.array([[1.0, 2, 3], [4, 5, 6]])  # mean 3.5, variance 35 / 12


def at(*cells):
    """Locations of cells (line, column) of the 2 x 3 map."""
    return np.array([CENTERS[cell] for cell in cells])


def test_density_of_one_fixation_by_hand():
    # One fixation in the center of pixel (line 1, column 2) of 3 x 4; weights e^(-d^2 / 2).
    result = density_map(np.array([[0.25, 0.0]]), height=3, width=4, sigma=1.0)
    across, down = np.exp([-2, -0.5, 0, -0.5]), np.exp([-0.5, 0, -0.5])
    assert_allclose(result, np.outer(down, across) / down.sum() / across.sum())
    assert_allclose(result.sum(), 1)


def test_density_of_several_is_their_mean_up_to_what_the_border_takes():
    one, other = np.array([[0.1, 0.2]]), np.array([[-0.3, 0.0]])
    size = {"height": 60, "width": 80, "sigma": 2.0}  # far from the border
    both = density_map(np.concatenate([one, other]), **size)
    assert_allclose(both, (density_map(one, **size) + density_map(other, **size)) / 2, atol=1e-12)
    padded = np.array([[[0.1, 0.2], [-0.3, 0.0], [np.nan, np.nan]]])
    assert_allclose(density_map(padded, **size), both)


def test_density_with_a_uniform_share():
    plain = density_map(np.zeros((1, 2)), height=5, width=5, sigma=0.5)
    mixed = density_map(np.zeros((1, 2)), height=5, width=5, sigma=0.5, uniform=0.25)
    assert_allclose(mixed, 0.75 * plain + 0.01)
    flat = density_map(np.zeros((1, 2)), height=5, width=5, sigma=0.5, uniform=1)
    assert (flat == 0.04).all()


def test_density_as_a_blur():
    scipy = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(0)
    cells = rng.integers(20, 40, (30, 2))  # far from the border, where ways to treat it differ
    counts = np.zeros((60, 60))
    np.add.at(counts, (cells[:, 1], cells[:, 0]), 1)
    wanted = scipy.gaussian_filter(counts, 3.0, truncate=10) / 30
    result = density_map((cells + 0.5) / 30 - 1, height=60, width=60, sigma=3.0)
    assert_allclose(result, wanted, atol=1e-9)


def test_center_bias_leaves_the_images_out():
    table = Fixations(
        images=np.array(["a", "b", "c"]),
        subjects=np.array(["1", "1", "1"]),
        locations=np.array([[[-0.5, 0.0]], [[0.0, 0.5]], [[0.5, 0.0]]]),
        durations=np.full((3, 1), np.nan),
        counts=np.ones(3, np.int64),
        height=30,
        width=40,
    )
    size = {"height": 30, "width": 40, "sigma": 2.0}
    assert_allclose(
        center_bias(table, ["b", "c"], **size), density_map(table.locations[:1], **size)
    )
    assert_allclose(
        center_bias(table, {"a"}, uniform=0.1, **size),
        density_map(table.locations[1:], uniform=0.1, **size),
    )
    with pytest.raises(ValueError, match="made of other images"):
        center_bias(table, ["a", "b", "c"], **size)


def test_nss_by_hand():
    std = np.sqrt(35 / 12)
    assert_allclose(nss(MAP, at((1, 2))), 2.5 / std)
    assert_allclose(nss(MAP, at((1, 2), (0, 0), (0, 0))), (2.5 - 2.5 - 2.5) / 3 / std)
    assert_allclose(nss(7 - 100 * MAP, at((1, 2))), -2.5 / std)
    assert nss(np.full((2, 3), 0.1), at((0, 0))) == 0


def test_auc_by_hand():
    assert auc_judd(MAP, at((1, 2))) == 1
    assert auc_judd(MAP, at((0, 0))) == 0
    # The 4 is above 1, 2, 3 of the other four; the 5 above the same.
    assert auc_judd(MAP, at((1, 0), (1, 1))) == 3 / 4
    # Two in one pixel count twice, as fixations; 3 is above two of four, 6 above all.
    assert_allclose(auc_judd(MAP, at((0, 2), (1, 2), (1, 2))), (0.5 + 1 + 1) / 3)
    # Equal ones count half: 1 of {1, 1, 2, 2, 2} is level with two.
    assert auc_judd(np.array([[1.0, 1, 1], [2, 2, 2]]), at((0, 0))) == 1 / 5
    assert auc_judd(np.zeros((2, 3)), at((0, 0), (1, 1))) == 0.5


def test_auc_is_half_by_chance_and_judds_own_a_little_more():
    rng = np.random.default_rng(0)
    ours, judds = [], []
    for _ in range(400):
        saliency, where = rng.random((20, 20)), rng.random((4, 2)) * 2 - 1
        ours.append(auc_judd(saliency, where))
        x, y = ((where + 1) * 10).astype(int).T
        levels = np.sort(saliency[y, x])[::-1]
        hits = np.array([0, 0.25, 0.5, 0.75, 1, 1])
        alarms = [((saliency >= level).sum() - k - 1) / 396 for k, level in enumerate(levels)]
        judds.append(np.trapezoid(hits, [0, *alarms, 1]))
    assert_allclose(np.mean(ours), 0.5, atol=0.02)
    assert_allclose(np.mean(judds), 0.5 + 1 / 10, atol=0.02)  # 1 / (2F + 2) for F = 4


def test_information_gain_by_hand():
    flat = np.ones((2, 3))
    # 5 and 6 of 21 against 1 of 6.
    wanted = (np.log2(5 / 21 * 6) + np.log2(6 / 21 * 6)) / 2
    assert_allclose(information_gain(MAP, flat, at((1, 1), (1, 2))), wanted)
    assert_allclose(information_gain(flat, MAP, at((1, 1), (1, 2))), -wanted)
    assert information_gain(MAP, 3 * MAP, at((0, 0))) == pytest.approx(0, abs=1e-12)
    half = np.array([[2.0, 0, 0], [2, 0, 0]])
    assert_allclose(information_gain(half, flat, at((0, 0))), np.log2(3))
    assert information_gain(half, flat, at((0, 0), (0, 1))) == -np.inf


@given(st.integers(0, 10_000))
def test_nothing_gains_more_than_the_truth(seed):
    # Gibbs: where fixations follow q, no p does better than q on average.
    rng = np.random.default_rng(seed)
    q = rng.integers(1, 6, (2, 3))
    p = rng.random((2, 3)) + 0.01
    where = np.repeat(CENTERS.reshape(-1, 2), q.reshape(-1), axis=0)
    assert information_gain(p, q.astype(float), where) <= 1e-12


def test_cells_of_locations_at_the_border():
    corners = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    values = [nss(MAP, corner[None]) * MAP.std() + 3.5 for corner in corners]
    assert_allclose(values, [1, 3, 4, 6])
    between = np.array([[-1 / 3, 0.0]])  # the edge between pixels belongs to the later one
    assert_allclose(nss(MAP, between) * MAP.std() + 3.5, 5)


@pytest.mark.parametrize("measure", [nss, auc_judd, lambda m, f: information_gain(m, m, f)])
def test_refuses_what_cannot_be_scored(measure):
    with pytest.raises(ValueError, match="no fixations"):
        measure(MAP, np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match="outside the image"):
        measure(MAP, np.array([[0.0, 1.1]]))
    with pytest.raises(ValueError, match="finite"):
        measure(np.array([[np.nan, 1.0]]), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="finite"):
        measure(np.zeros((1, 2, 2)), np.zeros((1, 2)))


def test_refuses_maps_that_are_none():
    with pytest.raises(ValueError, match="do not compare"):
        information_gain(MAP, MAP.T, at((0, 0)))
    for bad in (-MAP, np.zeros((2, 3))):
        with pytest.raises(ValueError, match="not negative, and over 0"):
            information_gain(bad, MAP, at((0, 0)))
    with pytest.raises(ValueError, match="baseline is 0"):
        information_gain(MAP, MAP - 1, at((0, 0)))
    with pytest.raises(ValueError, match="every pixel has a fixation"):
        auc_judd(np.ones((1, 1)), np.zeros((1, 2)))
    for options in ({"sigma": 0}, {"height": 0}, {"uniform": 2}):
        with pytest.raises(ValueError, match="a density map has pixels"):
            density_map(np.zeros((1, 2)), **({"height": 2, "width": 2, "sigma": 1} | options))
    with pytest.raises(ValueError, match="no fixations to make"):
        density_map(np.full((1, 2), np.nan), height=2, width=2, sigma=1)
    with pytest.raises(ValueError, match="far outside"):
        density_map(np.full((1, 2), 1e6), height=2, width=2, sigma=1)


def test_auc_as_a_public_one():
    theirs = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    for levels in (5, 10_000):  # with many ties, and with few
        saliency = rng.integers(0, levels, (12, 16)).astype(float)
        where = rng.random((9, 2)) * 2 - 1
        x, y = ((where + 1) / 2 * (16, 12)).astype(int).T
        free = np.ones((12, 16), bool)
        free[y, x] = False
        values = np.concatenate([saliency[y, x], saliency[free]])
        wanted = theirs.roc_auc_score(np.arange(len(values)) < 9, values)
        assert_allclose(auc_judd(saliency, where), wanted)


@pytest.mark.filterwarnings("default")  # of its imports
def test_nss_and_information_gain_as_a_public_one():
    theirs = pytest.importorskip("pysaliency")
    rng = np.random.default_rng(2)
    density, baseline, where = (
        rng.random((12, 16)),
        rng.random((12, 16)),
        rng.random((9, 2)) * 2 - 1,
    )
    x, y = (where + 1).T / 2 * [[16], [12]]
    fixations = theirs.Fixations.create_without_history(x, y, np.zeros(9, int))
    stimuli = theirs.Stimuli([np.zeros((12, 16, 3), np.uint8)])

    class Known(theirs.Model):
        def __init__(self, density):
            super().__init__()
            self.density = density

        def _log_density(self, stimulus):
            return np.log(self.density / self.density.sum())

    wanted = theirs.metrics.NSS(density, x, y).mean()
    assert_allclose(nss(density, where), wanted)
    wanted = Known(density).information_gain(stimuli, fixations, baseline_model=Known(baseline))
    assert_allclose(information_gain(density, baseline, where), wanted)


def test_people_foretell_each_other(data_dir):
    """The two figures of the data's own description: 0.93 by 14 viewers, 0.63 by the center."""
    table = read_fixations(data_dir / "eyetracking/fixations.csv", height=600, width=800)
    images = np.unique(table.images)[::70]
    size = {"height": 150, "width": 200, "sigma": 6}
    own, other = [], []
    for image, elsewhere in zip(images, np.roll(images, 1), strict=True):
        here, there = table[table.images == image], table[table.images == elsewhere]
        viewer, rest = here[0], here[1:]
        own.append(auc_judd(density_map(rest.locations, **size), viewer.locations))
        other.append(auc_judd(density_map(there.locations, **size), viewer.locations))
    assert_allclose(np.mean(own), 0.93, atol=0.03)
    assert_allclose(np.mean(other), 0.63, atol=0.1)
