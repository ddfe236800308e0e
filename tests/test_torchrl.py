"""The bridge to TorchRL, by its own checker and against Gymnasium's face, step for step."""

import gymnasium
import numpy as np
import pytest
import torch

import saccade

pytest.importorskip("torchrl", reason="needs TorchRL")

from torchrl.envs.utils import check_env_specs

from saccade.agents.torchrl import TorchRLEnv

SMALL = {"size": 4, "scales": 2, "glimpses": 4}
TORCH = {"output": "torch", "autoreset_mode": "Disabled"}
OTHERS = ("saccade/ImageClassify-v0", "saccade/Foveate-v0")  # want arguments of their own
IDS = [name for name in saccade.ENVIRONMENTS if name not in OTHERS]
MODES = ["box", "multidiscrete", "discrete", "dict"]


def make(name="saccade/ClutteredDigits-v0", rows=5, **options):
    return TorchRLEnv(gymnasium.make_vec(name, rows, **(TORCH | SMALL | options)))


@pytest.mark.parametrize("name", IDS)
def test_passes_torchrls_checker(name):
    check_env_specs(make(name), break_when_any_done="both", seed=0)


@pytest.mark.parametrize("action_mode", MODES)
def test_passes_it_with_all_kinds_of_actions(action_mode):
    for options in ({}, {"stop": "decide"}):
        check_env_specs(make(action_mode=action_mode, **options), break_when_any_done="both")


@pytest.mark.gpu
def test_passes_it_on_a_gpu():
    env = make(device="cuda", stop="decide")
    check_env_specs(env, break_when_any_done="both")
    assert env.rollout(3)["glimpse"].device.type == "cuda"


@pytest.mark.parametrize("action_mode", MODES)
def test_rollout_equals_gymnasiums_face_over_ends_that_stagger(action_mode):
    # Answers end episodes early, at other times in other rows, so most resets are of some rows.
    options = {"stop": "decide", "action_mode": action_mode}
    env = make(**options)
    torch.manual_seed(0)
    env.set_seed(7)
    played = env.rollout(30, break_when_any_done=False)
    venv = gymnasium.make_vec(
        "saccade/ClutteredDigits-v0", 5, autoreset_mode="SameStep", **SMALL, **options
    )
    observation, _ = venv.reset(seed=7)
    staggered = 0
    for t in range(30):
        step = played[:, t]
        for key, value in observation.items():
            assert np.array_equal(step[key].numpy(), value)
        if action_mode == "dict":
            action = {key: value.numpy() for key, value in step["action"].items()}
        else:
            action = step["action"].numpy()
        observation, reward, terminated, truncated, info = venv.step(action)
        staggered += terminated.any() and not terminated.all()
        assert np.array_equal(step["next", "reward"][:, 0].numpy(), reward)
        assert np.array_equal(step["next", "terminated"][:, 0].numpy(), terminated)
        assert np.array_equal(step["next", "done"][:, 0].numpy(), terminated | truncated)
        for key, value in observation.items():
            last = value.copy()
            if terminated.any():
                last[terminated] = info["final_obs"][key][terminated]
            assert np.array_equal(step["next", key].numpy(), last)
    assert staggered > 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own import
def test_a_collector_gathers_batches():
    from torchrl.collectors import Collector

    env = make()
    collector = Collector(env, env.rand_action, frames_per_batch=30, total_frames=60)
    shapes = [batch["next", "glimpse"].shape for batch in collector]
    collector.shutdown()
    assert shapes == [(5, 6, 2, 1, 4, 4)] * 2


def test_what_it_cannot_take_is_named():
    with pytest.raises(ValueError, match='autoreset_mode="Disabled"'):
        make(autoreset_mode="NextStep")
    with pytest.raises(TypeError, match='output="torch"'):
        make(output="numpy")
    with pytest.raises(NotImplementedError, match="break_when_any_done=False"):
        make(rows=64, stop="decide").rollout(20, break_when_all_done=True)
