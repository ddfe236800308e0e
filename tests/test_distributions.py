import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from saccade.distributions import CHUNK, draw_amplitudes, draw_directions, draw_heatmap
from saccade.fixations import Fixations
from saccade.retina import Retina
from tests.episodes import episodes, look, render

# On 100 x 200 pixels: 50 to the right, 30 down, 40 to the left; then one of 100 to the right.
PATHS = torch.tensor(
    [
        [[-0.5, -0.5], [0.0, -0.5], [0.0, 0.1], [-0.4, 0.1]],
        [[-0.5, 0.0], [0.5, 0.0], [9.0, 9.0], [9.0, 9.0]],
    ]
)


@pytest.fixture
def gaze():
    return look(torch.zeros(2, 1, 100, 200), PATHS, Retina(8, 1), stop=[4, 2])


def test_heatmap_is_brightest_where_most_was_looked_at():
    locations = torch.tensor([[[0.5, -0.5], [0.5, -0.5], [-0.5, 0.5]]])
    gaze = look(torch.zeros(1, 1, 100, 200), locations, Retina(8, 1))
    ax = Figure().add_subplot()
    assert draw_heatmap(gaze, ax=ax) is ax
    picture = np.asarray(ax.images[0].get_array()).sum(-1)
    assert ax.images[0].get_extent() == [0, 200, 100, 0]
    assert picture.shape == (128, 256)
    y, x = np.unravel_index(picture.argmax(), picture.shape)
    assert max(abs(x - 192), abs(y - 32)) <= 3
    at = picture[32, 192], picture[96, 64], picture[96, 192]
    assert at[0] > at[1] > at[2]


def test_heatmap_over_a_scene_leaves_the_rest_of_it_as_it_is():
    scene = torch.zeros(3, 40, 60)
    scene[0] = 0.6
    gaze = look(scene[None], torch.tensor([[[-0.9, -0.9]]]), Retina(4, 1))
    ax = draw_heatmap(gaze, scene, sigma=2)
    assert (ax.images[0].get_array() == 51).all()  # the mean of 153, 0 and 0
    layer = ax.images[1].get_array()
    assert layer[..., 3].max() == pytest.approx(0.9)
    assert layer[-1, -1, 3] < 1e-3
    assert render(ax.figure)[-20, -20].tolist() == [51] * 3
    with pytest.raises(ValueError, match="the scene has 60x40"):
        draw_heatmap(gaze, scene.transpose(1, 2))
    with pytest.raises(ValueError, match="sigma over 0"):
        draw_heatmap(gaze, sigma=0.0)


def test_heatmap_takes_many_episodes_a_part_at_a_time():
    locations = torch.rand(CHUNK // 2, 3, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    gaze = Fixations.from_scanpath(look(torch.zeros(CHUNK // 2, 1, 8, 8), locations, Retina(2, 1)))
    once = draw_heatmap(gaze[: CHUNK // 4]).images[0].get_array()
    twice = draw_heatmap(gaze[[*range(CHUNK // 4)] * 2]).images[0].get_array()
    assert np.abs(np.asarray(once, int) - np.asarray(twice, int)).max() <= 1


def test_heatmap_refuses_where_nothing_was_looked_at():
    gaze = look(torch.zeros(1, 1, 8, 8), torch.full((1, 2, 2), 3.0), Retina(2, 1))
    with pytest.raises(ValueError, match="no fixations on the scene"):
        draw_heatmap(gaze)


def test_amplitudes_by_hand(gaze):
    ax = Figure().add_subplot()
    assert draw_amplitudes(gaze, bins=7, ax=ax) is ax
    # Lengths 50, 30, 40 and 100 in bins of 100 / 7, the longest in the last.
    assert [round(bar.get_height()) for bar in ax.patches] == [0, 0, 50, 25, 0, 0, 25]
    assert ax.texts[0].get_text() == "median 45"
    assert ax.get_xlabel() == "amplitude of saccades, pixels"
    ax = draw_amplitudes(Fixations.from_scanpath(gaze), pixels_per_degree=10, bins=10)
    assert ax.texts[0].get_text() == "median 4.5"
    assert ax.get_xlabel() == "amplitude of saccades, degrees"
    assert ax.get_xlim()[1] == pytest.approx(10)


def test_directions_by_hand(gaze):
    ax = Figure().add_subplot()
    assert draw_directions(gaze, bins=4, ax=ax) is ax
    petals = [patch for patch in ax.patches if isinstance(patch, Wedge)]
    # Right twice, down and left once of four; areas go with shares.
    np.testing.assert_allclose([petal.r**2 for petal in petals], [0.5, 0, 0.25, 0.25])
    assert [round((petal.theta1 + petal.theta2) / 2) for petal in petals] == [0, 90, 180, 270]
    assert [text.get_text() for text in ax.texts][2:] == ["right", "up", "left", "down"]


def test_without_saccades_there_is_nothing_to_draw():
    still = look(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 2), Retina(2, 1))
    with pytest.raises(ValueError, match="needs saccades"):
        draw_amplitudes(still)
    with pytest.raises(ValueError, match="needs saccades"):
        draw_directions(still)
    with pytest.raises(ValueError, match="1 bin or more"):
        draw_directions(episodes()[1], bins=0)
    with pytest.raises(ValueError, match="a bin"):
        draw_amplitudes(episodes()[1], bins=0)
