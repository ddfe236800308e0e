import pytest
import torch

from saccade.agents.evaluate import evaluate
from saccade.agents.gaze import SCRIPTS, raster_gaze
from saccade.counter import make_key, row_keys
from saccade.network import GazeNetwork
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from tests.test_core import noise

KEYS = row_keys(make_key(0), 2000)


def test_raster_sweeps_in_reading_order():
    places = torch.stack([raster_gaze(t, 6, KEYS[:1])[0] for t in range(6)])
    want = [[-2 / 3, -0.5], [0, -0.5], [2 / 3, -0.5], [-2 / 3, 0.5], [0, 0.5], [2 / 3, 0.5]]
    torch.testing.assert_close(places, torch.tensor(want))


@pytest.mark.parametrize("total", range(1, 20))
def test_raster_covers_all_of_the_scene(total):
    places = torch.stack([raster_gaze(t, total, KEYS[:1])[0] for t in range(total)])
    assert len({tuple(each) for each in places.tolist()}) == total
    assert places.abs().max() < 1
    torch.testing.assert_close(places[:, 1].max(), -places[:, 1].min())
    assert abs(float(places[:, 1].mean())) < 0.4
    assert bool((places[1:, 1] >= places[:-1, 1]).all())


def test_random_is_uniform_and_center_is_the_center():
    places = SCRIPTS["random"](3, 6, KEYS)
    assert places.abs().max() <= 1
    assert places.mean(0).abs().max() < 0.06
    assert (places.std(0) - 3**-0.5).abs().max() < 0.03
    assert not torch.equal(places, SCRIPTS["random"](4, 6, KEYS))
    assert not SCRIPTS["center"](3, 6, KEYS).any()


@pytest.mark.parametrize("gaze", ["learned", *SCRIPTS])
@pytest.mark.parametrize("first", ["center", "random", "learned"])
def test_an_evaluation_does_not_depend_on_its_batches(gaze, first):
    torch.manual_seed(0)
    network = GazeNetwork(Retina(4, 2), 1, 3, hidden=16)
    maker = SceneMaker(noise(), "cluttered", 24, 2, 4)
    one, other = (
        evaluate(network, maker, "test", glimpses=4, first=first, gaze=gaze, batch=size, keep=7)
        for size in (12, 5)
    )
    assert one.accuracy == other.accuracy
    assert len(one.scanpath) == len(other.scanpath) == len(one.labels) == 7
    assert torch.equal(one.scenes, other.scenes)
    torch.testing.assert_close(one.scanpath.locations, other.scanpath.locations)
    locations = one.scanpath.locations
    if gaze in ("learned", "random") and first == "center":
        assert not locations[:, 0].any()
    if gaze == "raster":
        assert torch.equal(locations[0], locations[1])
    validation = evaluate(network, maker, "validation", glimpses=4, first=first, gaze=gaze)
    assert not torch.equal(one.scenes, validation.scenes[:7])


def test_an_evaluation_uses_the_mode_and_repeats_itself():
    torch.manual_seed(0)
    network = GazeNetwork(Retina(4, 2), 1, 3, hidden=16)
    maker = SceneMaker(noise(), "translated", 24)
    one, other = (evaluate(network, maker, "test", glimpses=3, first="center") for _ in range(2))
    assert torch.equal(one.scanpath.locations, other.scanpath.locations)
    first = one.scanpath.locations[:, 0]
    state = network.see(one.scanpath.glimpses[:, 0], first, network.start(12))
    mean = network.policy(state[0], first)
    torch.testing.assert_close(one.scanpath.locations[:, 1], mean.detach())
