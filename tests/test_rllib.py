"""The recipe for RLlib, run by RLlib; it pins a Gymnasium of its own, so it is tested apart."""

import pytest

from saccade.agents.rllib import ppo_config

SMALL = {"num_envs": 16, "hidden": 64, "size": 8, "scales": 2}


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="needs RLlib")
    pytest.importorskip("ray.rllib", reason="needs RLlib")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("default")
def test_rllib_reads_episodes_of_our_vector_environment_as_they_are(cluster):
    config = ppo_config("saccade/ClutteredDigits-v0", glimpses=5, memory=5, **SMALL)
    algorithm = config.build_algo()
    runner = algorithm.env_runner
    assert type(runner.env.unwrapped).__name__ == "ClutteredDigitsVectorEnv"
    for _ in range(3):  # 7 steps do not end where episodes do
        for chunk in runner.sample(num_timesteps=7 * 16):
            # Flattened, an observation is gaze, glimpse, t: the share of the 5 glimpses.
            shares = [float(each[-1]) for each in chunk.get_observations()]
            begun = chunk.t_started
            wanted = [min(5, 1 + begun + k) / 5 for k in range(len(chunk) + 1)]
            assert shares == pytest.approx(wanted)
            assert chunk.is_done == (begun + len(chunk) == 5)
    assert 0 <= algorithm.train()["env_runners"]["episode_return_mean"] <= 1
    algorithm.stop()


@pytest.mark.filterwarnings("default")
def test_learns_to_read_digits(cluster):
    options = {"glimpses": 2, "memory": 2, "action_mode": "multidiscrete", "num_envs": 32}
    algorithm = ppo_config("saccade/Digits-v0", **(SMALL | options | {"size": 14})).build_algo()
    returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(14)]
    algorithm.stop()
    assert max(returns[-4:]) > 0.35  # by chance 0.1


def test_what_rllib_would_misread_is_refused():
    pytest.importorskip("ray.rllib", reason="needs RLlib")
    with pytest.raises(ValueError, match="NEXT_STEP"):
        ppo_config("saccade/Search-v0", autoreset_mode="SameStep")


def test_a_missing_rllib_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray.rllib.algorithms.ppo", None)
    with pytest.raises(ImportError, match=r"saccade-rl\[rllib\]"):
        ppo_config("saccade/Search-v0")
