"""The Gymnasium face, by Gymnasium's own checker and as a user steps it."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordEpisodeStatistics

import saccade
import saccade.envs

# Of every id, enough to make it small; those of the foveating wrapper have tests of their own.
OPTIONS = {
    "saccade/Digits-v0": {"glimpses": 3, "size": 5},
    "saccade/ClutteredDigits-v0": {"glimpses": 3, "size": 4},
    "saccade/ImageClassify-v0": {"glimpses": 3, "size": 4, "data": "digits"},
    "saccade/Search-v0": {"glimpses": 3, "size": 9, "side": 40},
    "saccade/Track-v0": {"glimpses": 4, "side": 31, "size": 7},
    "saccade/Catch-v0": {"glimpses": 5, "side": 8, "size": 4},
}
IDS = list(OPTIONS)
CLUTTERED = "saccade/ClutteredDigits-v0"


def test_no_id_is_forgotten():
    assert set(IDS) == set(saccade.ENVIRONMENTS) - {"saccade/Foveate-v0"}


def defaults(name):
    """An environment as the id alone gives it."""
    needed = {"data": "digits"} if name == "saccade/ImageClassify-v0" else {}
    return gymnasium.make(name, **needed, render_mode="rgb_array")


@pytest.mark.parametrize("name", IDS)
def test_passes_gymnasiums_checker(name):
    check_env(defaults(name).unwrapped)


@pytest.mark.parametrize("mode", ["multidiscrete", "discrete", "dict"])
@pytest.mark.parametrize("name", IDS)
def test_passes_it_however_one_acts(name, mode):
    check_env(gymnasium.make(name, **OPTIONS[name], action_mode=mode).unwrapped)


@pytest.mark.filterwarnings("ignore:Your observation glimpse has an unconventional shape")
@pytest.mark.parametrize("mode", ["box", "multidiscrete", "discrete"])
@pytest.mark.parametrize("name", IDS)
def test_passes_the_checker_of_stable_baselines(name, mode):
    from stable_baselines3.common.env_checker import check_env as check_for_sb3

    check_for_sb3(gymnasium.make(name, **OPTIONS[name], action_mode=mode).unwrapped)


@pytest.mark.parametrize("name", IDS)
def test_the_spec_makes_the_same_environment_again(name):
    env = gymnasium.make(name, **OPTIONS[name], first="random")
    by_json = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    by_module = gymnasium.make(f"saccade:{name}", **OPTIONS[name], first="random")
    seen, info = env.reset(seed=4)
    for again in (by_json, by_module, gymnasium.make(env.spec), pickle.loads(pickle.dumps(env))):
        other, told = again.reset(seed=4)
        assert np.array_equal(seen["glimpse"], other["glimpse"])
        assert same(info, told)


def same(one, other):
    """Whether two infos agree, arrays and all."""
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", IDS)
def test_a_pickled_episode_goes_on(name):
    env = gymnasium.make(name, **OPTIONS[name])
    env.reset(seed=1)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(2)]
    env.step(actions[0])
    copy = pickle.loads(pickle.dumps(env))
    one, other = env.step(actions[1]), copy.step(actions[1])
    assert np.array_equal(one[0]["glimpse"], other[0]["glimpse"])
    assert one[1:4] == other[1:4]
    assert same(one[4], other[4])


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
    env = gymnasium.make(CLUTTERED, glimpses=4)
    seen, rewards, info = play(env, lambda label: label, seed=0)
    assert rewards == [0, 0, 0, 1]
    assert info["is_success"] is True
    assert [float(each["t"][0]) for each in seen] == [0.25, 0.5, 0.75, 1, 1]
    _, rewards, info = play(env, lambda label: (label + 1) % 10)
    assert rewards == [0, 0, 0, 0]
    assert info["is_success"] is False
    assert info["reward_decision"] == 0


def test_who_looks_at_the_target_finds_it():
    env = gymnasium.make("saccade/Search-v0", price=0.25)
    _, info = env.reset(seed=0)
    _, reward, ended, _, info = env.step(-np.sign(info["target"]))
    assert (reward, ended) == (-0.25, False)
    _, reward, ended, _, info = env.step(info["target"])
    assert (reward, ended) == (0.75, True)
    assert info["reward_fixation"] == 1
    assert info["reward_price"] == -0.25
    assert info["is_success"] is True


def test_who_follows_the_target_keeps_it():
    """Nobody can know the next place; with the target at rest its place is the next one."""
    env = gymnasium.make("saccade/Track-v0", speed=0.0, glimpses=5)
    _, info = env.reset(seed=0)
    rewards, ended = [], False
    while not ended:
        _, reward, ended, _, info = env.step(info["target"])
        rewards.append(reward)
    assert rewards == [1, 1, 1, 1]
    assert info["is_success"] is True


def test_who_runs_under_the_ball_catches_it():
    env, caught = gymnasium.make("saccade/Catch-v0", action_mode="dict", drift=0.4), []
    for seed in range(10):
        _, info = env.reset(seed=seed)
        paddle, ended = 12, False
        while not ended:
            ball = int((info["ball"][0] + 1) * 12)
            move = int(np.sign(ball - paddle))
            paddle += move
            _, reward, ended, _, info = env.step({"gaze": info["ball"], "decision": move + 1})
        caught.append(reward)
    assert caught == [1] * 10


def test_your_own_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 13, 21, 3), dtype=np.uint8)
    labels = np.array(["cat", "dog", "cat", "emu", "dog", "cat"])
    env = gymnasium.make("saccade/ImageClassify-v0", images=images, labels=labels, size=4)
    check_env(env.unwrapped)
    assert env.observation_space["glimpse"].shape == (3, 3, 4, 4)
    assert env.action_space.shape == (2 + 3,)
    # The finest window around the center, 4 x 4 pixels, of one of the images.
    glimpse = env.reset(seed=0)[0]["glimpse"][0]
    crops = images[:, 5:9, 9:13].transpose(0, 3, 1, 2) / 255
    assert np.abs(crops - glimpse).max((1, 2, 3)).min() < 1e-6


@pytest.mark.parametrize(
    "options", [{}, {"images": np.zeros((2, 5, 5))}, {"labels": [0], "data": "digits"}]
)
def test_your_own_images_come_one_way(options):
    with pytest.raises(ValueError, match="give images and labels, two arrays, or data, a path"):
        saccade.envs.ImageClassifyEnv(**options)


def test_seeds_decide_series_of_episodes():
    env = gymnasium.make(CLUTTERED)
    series = [[env.reset(seed=s)[0], *(env.reset()[0] for _ in range(2))] for s in (1, 1, 2)]
    glimpses = [[each["glimpse"] for each in episodes] for episodes in series]
    assert all(np.array_equal(*pair) for pair in zip(*glimpses[:2], strict=True))
    assert not np.array_equal(glimpses[0][0], glimpses[0][1])
    assert not np.array_equal(glimpses[0][0], glimpses[2][0])


def test_without_a_seed_episodes_are_new():
    first = [gymnasium.make(CLUTTERED).reset()[0]["glimpse"] for _ in range(3)]
    assert not all(np.array_equal(first[0], other) for other in first[1:])


def test_renders_scene_and_gaze_only_when_asked():
    env = gymnasium.make(CLUTTERED, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(np.full(env.action_space.shape, 0.5, np.float32))
    second = env.render()
    assert first.dtype == np.uint8
    assert first.shape == second.shape
    assert first.shape[2] == 3
    assert not np.array_equal(first, second)
    assert gymnasium.make(CLUTTERED).unwrapped.render() is None


@pytest.mark.parametrize("name", IDS)
def test_remembers_the_scanpath_of_the_episode(name):
    env = gymnasium.make(name, **OPTIONS[name], first="random").unwrapped
    with pytest.raises(RuntimeError, match="no episode has begun"):
        env.scanpath()
    for _ in range(2):
        seen, ended = [env.reset(seed=2)[0]], False
        while not ended:
            observation, _, ended, _, _ = env.step(env.action_space.sample())
            if observation["t"] > seen[-1]["t"]:
                seen.append(observation)
        path = env.scanpath()
        assert np.array_equal(path.locations[0], [each["gaze"] for each in seen])
        assert np.array_equal(path.glimpses[0], [each["glimpse"] for each in seen])


def test_gymnasiums_wrappers_record_episodes(tmp_path):
    env = RecordEpisodeStatistics(gymnasium.make("saccade/Track-v0", speed=0.0, glimpses=4))
    _, info = env.reset(seed=0)
    for _ in range(3):
        *_, info = env.step(info["target"])
    assert info["episode"]["r"] == 3
    assert info["episode"]["l"] == 3


def test_gymnasiums_wrapper_records_video(tmp_path):
    pytest.importorskip("moviepy", reason="Gymnasium writes videos with moviepy")
    from gymnasium.wrappers import RecordVideo

    env = RecordVideo(
        gymnasium.make("saccade/Catch-v0", **OPTIONS["saccade/Catch-v0"], render_mode="rgb_array"),
        str(tmp_path / "videos"),
        episode_trigger=lambda episode: True,
    )
    env.reset(seed=0)
    while not env.step(env.action_space.sample())[2]:
        pass
    env.close()
    assert list(tmp_path.glob("videos/*.mp4"))


def test_bad_actions_and_options_are_named():
    env = gymnasium.make(CLUTTERED).unwrapped
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


def test_an_ended_episode_takes_no_step():
    env = gymnasium.make("saccade/Digits-v0", glimpses=1).unwrapped
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[2] is True
    with pytest.raises(RuntimeError, match="the episode has ended or not begun; call reset"):
        env.step(env.action_space.sample())


@pytest.mark.parametrize("name", IDS)
def test_an_option_misspelled_is_named(name):
    with pytest.raises(TypeError, match=r"no option 'glimpse_size'; it has .*\bsize\b"):
        gymnasium.make(name, glimpse_size=8)
