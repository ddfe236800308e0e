"""Eyes for real environments: MiniGrid, Atari, and classic control through rendered pixels."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import AddRenderObservation, ResizeObservation

from saccade.envs.foveate import FoveatedObservation
from saccade.envs.foveate_vector import VectorFoveatedObservation
from tests.reference import slow_glimpse

VIEWS = ["crop", "retina", "fovea", "mask"]


@pytest.fixture
def headless(monkeypatch):
    """Pygame without a screen or a sound card."""
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp")


def play(env, steps=12):
    """Random play; every observation fits and its crop is the image's, where it looks."""
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        assert observation in env.observation_space
        if observation["fovea"].ndim == 3 and observation["fovea"].shape[:2] == (9, 9):
            image = env.image.transpose(2, 0, 1)
            seen = observation["fovea"].transpose(2, 0, 1)
            assert np.array_equal(seen, slow_glimpse(image, tuple(env.gaze.tolist()), 9, 1, 2)[0])
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset()
    return env


@pytest.mark.parametrize("view", VIEWS)
def test_minigrid(view):
    wrappers = pytest.importorskip("minigrid.wrappers")
    grid = wrappers.RGBImgObsWrapper(gymnasium.make("MiniGrid-DoorKey-5x5-v0"), tile_size=8)
    env = play(FoveatedObservation(grid, key="image", view=view, size=9))
    assert env.action_space == gymnasium.spaces.MultiDiscrete([7, 5, 5])
    assert env.image.shape == (40, 40, 3)
    observation, _ = env.reset(seed=0)
    assert observation["mission"] == "use the key to open the door and then get to the goal"
    assert observation["direction"] in (0, 1, 2, 3)


def test_minigrid_by_id_in_vectors(headless):
    pytest.importorskip("minigrid")
    options = {"env_id": "minigrid:MiniGrid-Empty-5x5-v0", "from_render": True, "size": 36}
    env = gymnasium.make_vec("saccade/Foveate-v0", num_envs=2, gaze_mode="relative", **options)
    single = play(gymnasium.make("saccade/Foveate-v0", gaze_mode="relative", **options).unwrapped)
    assert set(single.observation_space) == {"fovea", "gaze"}
    observations, _ = env.reset(seed=3)
    assert np.array_equal(observations["fovea"][1], single.reset(seed=4)[0]["fovea"])
    assert observations in env.observation_space


@pytest.mark.parametrize("view", VIEWS)
def test_atari(view):
    pytest.importorskip("ale_py")
    env = gymnasium.make(
        "saccade/Foveate-v0", env_id="ale_py:ALE/Pong-v5", view=view, size=9, memory=1
    )
    play(env.unwrapped)
    assert env.action_space == gymnasium.spaces.MultiDiscrete([6, 5, 5])
    assert env.unwrapped.image.shape == (210, 160, 3)


def test_atari_grey_and_in_vectors_of_its_own():
    ale_py = pytest.importorskip("ale_py")
    gymnasium.register_envs(ale_py)
    grey = gymnasium.make("ALE/Breakout-v5", obs_type="grayscale")
    env = play(FoveatedObservation(grey, view="mask", size=40, memory=3))
    assert env.observation_space["fovea"].shape == (210, 160, 1)
    vector = pytest.importorskip("ale_py.vector_env")
    stacked = vector.AtariVectorEnv("pong", num_envs=2)  # (4, 84, 84): four frames as channels
    env = VectorFoveatedObservation(stacked, view="retina", size=12)
    observations, _ = env.reset(seed=0)
    assert observations["fovea"].shape == (2, 3, 4, 12, 12)
    for _ in range(5):
        observations, *_ = env.step(env.action_space.sample())
        assert observations in env.observation_space
    env.close()


@pytest.mark.parametrize("view", VIEWS)
def test_cartpole_through_its_pixels(headless, view):
    env = gymnasium.make("saccade/Foveate-v0", env_id="CartPole-v1", view=view, size=9)
    play(env.unwrapped)
    assert env.action_space == gymnasium.spaces.MultiDiscrete([2, 5, 5])
    assert env.unwrapped.image.shape == (400, 600, 3)
    env.close()


def test_pendulum_and_a_short_ppo(headless):
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_checker import check_env

    def one():
        env = gymnasium.make("Pendulum-v1", render_mode="rgb_array")
        return ResizeObservation(AddRenderObservation(env), (64, 64))

    env = FoveatedObservation(one(), view="fovea", gaze_mode="relative")
    assert env.action_space.low.tolist() == [-2, -1, -1]
    play(env)
    check_env(gymnasium.make("saccade/Foveate-v0", env_id="CartPole-v1", view="fovea").unwrapped)
    PPO("MultiInputPolicy", env, n_steps=16, batch_size=8, n_epochs=1).learn(16)
    rows = VectorFoveatedObservation(SyncVectorEnv([one] * 2), view="fovea")
    rows.reset(seed=0)
    assert rows.step(rows.action_space.sample())[0] in rows.observation_space
