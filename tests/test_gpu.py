"""What can only be shown on a GPU: the same numbers as on the CPU, without ever waiting for it."""

from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.reinforce import Reinforce
from saccade.counter import integers, make_key, normal, row_keys, uniform
from saccade.data import Splits
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from tests.test_core import noise

pytestmark = pytest.mark.gpu
CONFIG = TrainConfig(
    scene="cluttered", side=24, clutter_size=4, size=4, scales=2, glimpses=4, batch=16,
    augment=True, reward="dense", early=0.3, rollouts=2, baseline="leave-one-out", warmup=1,
)  # fmt: skip


def learner(device, **changes):
    pool = noise().to(device)
    return Reinforce(
        replace(CONFIG, **changes), Splits(pool, pool, pool, "x"), torch.device(device)
    )


def test_random_numbers_are_those_of_the_cpu():
    here, there = (row_keys(make_key(3, device), 1000) for device in ("cpu", "cuda"))
    assert torch.equal(uniform(here, 5), uniform(there, 5).cpu())
    assert torch.equal(integers(here, 10**6, 5), integers(there, 10**6, 5).cpu())
    torch.testing.assert_close(normal(here, 5), normal(there, 5).cpu(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", ["centered", "translated", "cluttered"])
def test_scenes_and_glimpses_are_those_of_the_cpu(layout):
    index, places = torch.arange(12), torch.rand(12, 2) * 3 - 1.5
    seen = []
    for device in ("cpu", "cuda"):
        maker = SceneMaker(noise().to(device), layout, 24, 3, 4)
        scenes = maker(index.to(device), row_keys(make_key(1, device), 12))
        seen.append([scenes.cpu()])
        for retina in (Retina(5, 1), Retina(6, 4), Retina(4, 2, 3)):
            seen[-1].append(retina.look(scenes, places.to(device)).cpu())
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


@pytest.mark.parametrize("gaze", ["learned", "random", "raster"])
@pytest.mark.parametrize("core", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("first", ["center", "random", "learned"])
def test_an_update_never_waits_for_the_device(gaze, core, first):
    one = learner("cuda", gaze=gaze, core=core, first=first)
    for _ in range(3):
        one.update()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            one.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_first_update_is_that_of_the_cpu():
    here, there = learner("cpu"), learner("cuda")
    one, other = here.update(), there.update()
    for name in one:
        torch.testing.assert_close(one[name], other[name].cpu(), atol=1e-4, rtol=1e-3)
