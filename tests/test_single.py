"""The Gymnasium face, by Gymnasium's own checker and as a user steps it."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import saccade
import saccade.envs

IDS = list(saccade.ENVIRONMENTS)


@pytest.mark.parametrize("name", IDS)
def test_passes_gymnasiums_checker(name):
    check_env(gymnasium.make(name, render_mode="rgb_array").unwrapped)


@pytest.mark.filterwarnings("ignore:Your observation glimpse has an unconventional shape")
@pytest.mark.parametrize("name", IDS)
def test_passes_the_checker_of_stable_baselines(name):
    from stable_baselines3.common.env_checker import check_env as check_for_sb3

    check_for_sb3(gymnasium.make(name).unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_the_spec_makes_the_same_environment_again(name):
    env = gymnasium.make(name, glimpses=3, size=6)
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    one, other = env.reset(seed=4), again.reset(seed=4)
    assert np.array_equal(one[0]["glimpse"], other[0]["glimpse"])
    assert one[1] == other[1]


def play(env, decision, seed=None):
    observation, info = env.reset(seed=seed)
    seen, rewards, ended = [observation], [], False
    rng = np.random.default_rng(0)
    while not ended:
        action = np.zeros(env.action_space.shape, np.float32)
        action[:2] = rng.uniform(-1, 1, 2)
        action[2 + decision(info["label"])] = 1
        observation, reward, ended, truncated, info = env.step(action)
        assert not truncated
        seen.append(observation)
        rewards.append(reward)
    return seen, rewards, info


def test_an_episode_pays_for_the_right_class_at_its_end():
    env = gymnasium.make("saccade/ClutteredDigits-v0", glimpses=4)
    seen, rewards, info = play(env, lambda label: label, seed=0)
    assert rewards == [0, 0, 0, 1]
    assert info["is_success"] is True
    assert [float(each["t"][0]) for each in seen] == [0.25, 0.5, 0.75, 1, 1]
    _, rewards, info = play(env, lambda label: (label + 1) % 10)
    assert rewards == [0, 0, 0, 0]
    assert info["is_success"] is False
    assert info["reward_decision"] == 0


def test_seeds_decide_series_of_episodes():
    env = gymnasium.make("saccade/ClutteredDigits-v0")
    series = [[env.reset(seed=s)[0], *(env.reset()[0] for _ in range(2))] for s in (1, 1, 2)]
    glimpses = [[each["glimpse"] for each in episodes] for episodes in series]
    assert all(np.array_equal(*pair) for pair in zip(*glimpses[:2], strict=True))
    assert not np.array_equal(glimpses[0][0], glimpses[0][1])
    assert not np.array_equal(glimpses[0][0], glimpses[2][0])


def test_renders_scene_and_gaze_only_when_asked():
    env = gymnasium.make("saccade/ClutteredDigits-v0", render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(env.action_space.sample())
    second = env.render()
    assert first.dtype == np.uint8
    assert first.shape == second.shape
    assert first.shape[2] == 3
    assert not np.array_equal(first, second)
    assert gymnasium.make("saccade/ClutteredDigits-v0").unwrapped.render() is None


def test_bad_actions_and_options_are_named():
    env = gymnasium.make("saccade/ClutteredDigits-v0").unwrapped
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(12, np.float32))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="finite numbers"):
        env.step(np.full(12, np.nan, np.float32))
    with pytest.raises(ValueError, match=r"\(12,\)"):
        env.step(np.zeros(3, np.float32))
    _, _, _, _, info = env.step(np.full(12, 3, np.float32))
    assert info["gaze_clipped"] is True
    for options in ({"split": "holdout"}, {"first": "left"}, {"render_mode": "human!"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            saccade.envs.ClutteredDigitsEnv(**options)
