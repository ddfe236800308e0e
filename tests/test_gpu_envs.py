"""Environments on a GPU: the episodes of the CPU, without ever waiting for the device."""

import pytest
import torch

from tests.rows import MODES, ROWS, leaves, on, vector
from tests.test_single import IDS
from tests.waiting import never_waiting

pytestmark = pytest.mark.gpu
SEARCH = "saccade/Search-v0"


def assert_close(here, there):
    """Integers and flags equal, floats within 1e-5; `there` on the GPU."""
    for one, other in zip(leaves(here), leaves(there), strict=True):
        assert other.is_cuda
        if one.is_floating_point():
            torch.testing.assert_close(one, other.cpu(), atol=1e-5, rtol=0)
        else:
            assert torch.equal(one, other.cpu())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action_mode", ["box", "discrete"])
@pytest.mark.parametrize("name", [*IDS, "staggered"])
def test_an_episode_is_that_of_the_cpu(name, action_mode, mode):
    options = {"autoreset_mode": mode, "action_mode": action_mode, "output": "torch"}
    if name == "staggered":
        name, options = SEARCH, options | {"size": 20, "glimpses": 9}
    here, there = (vector(name, **options, device=device) for device in ("cpu", "cuda"))
    assert_close(here.reset(seed=1), there.reset(seed=1))
    here.action_space.seed(0)
    ended = torch.zeros(ROWS, dtype=torch.bool)
    for _ in range(16):
        if mode == "Disabled" and ended.any():
            masks = [{"reset_mask": mask} for mask in (ended, ended.cuda())]
            assert_close(here.reset(options=masks[0]), there.reset(options=masks[1]))
        action = here.action_space.sample()
        one, other = here.step(on(here, action)), there.step(on(there, action))
        assert_close(one, other)
        ended = one[2]


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("action_mode", ["box", "multidiscrete", "discrete", "dict"])
@pytest.mark.parametrize("name", IDS)
def test_episodes_of_a_budget_never_wait_for_the_device(name, action_mode, mode):
    options = {"stop": "budget", "output": "torch", "device": "cuda", "price": 0.1}
    env = vector(name, autoreset_mode=mode, action_mode=action_mode, first="random", **options)
    env.action_space.seed(0)
    actions = [on(env, env.action_space.sample()) for _ in range(12)]
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    with never_waiting():
        for action in actions:
            env.step(action)


def test_numpy_goes_in_and_comes_out_where_the_work_is_done_there():
    here, there = (vector(SEARCH, device=device) for device in ("cpu", "cuda"))
    here.action_space.seed(0)
    action = here.action_space.sample()
    results = [(each.reset(seed=0)[0], each.step(action)[0]) for each in (here, there)]
    for one, other in zip(*results, strict=True):
        for name in one:
            torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=0)


def test_a_number_that_is_none_sees_nothing():
    env = vector("saccade/Search-v0", output="torch", device="cuda")
    env.reset(seed=0)
    seen = env.step(torch.full((ROWS, 2), torch.nan, device="cuda"))[0]
    assert not seen["glimpse"].any()
