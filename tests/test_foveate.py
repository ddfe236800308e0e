"""Eyes for any single environment: timing, what is returned, peers' checkers and wrappers."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from saccade.envs.foveate import FoveatedObservation, FoveateEnv
from saccade.testing import check_foveation
from tests.pixels import PixelEnv, eyed, planar
from tests.reference import slow_glimpse


def test_the_gaze_of_an_action_sees_that_steps_image_and_resets_to_first():
    env = eyed({"motor": "unit"}, first=(-0.5, 0.5), size=5)
    first, info = env.reset(seed=1)
    assert first["gaze"].tolist() == [-0.5, 0.5]
    assert info["gaze_clipped"] is False
    assert info["length"] == env.env.length
    before = env.image
    observation = env.step(np.array([0, 0, 0.2, 0.2], np.float32))[0]
    assert not np.array_equal(env.image, before)
    image = planar(env.image, "HWC")
    wanted = slow_glimpse(image, tuple(env.gaze.tolist()), 5, 1, 2)[0]
    assert np.array_equal(planar(observation["fovea"], "HWC"), wanted)
    assert env.gaze.tolist() == observation["gaze"].tolist()
    assert env.reset()[0]["gaze"].tolist() == [-0.5, 0.5]


def test_other_entries_of_the_observation_stay():
    env = eyed({"others": True}, view="fovea")
    assert set(env.observation_space) == {"fovea", "gaze", "periphery", "speed"}
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert observation["speed"] == 0
    assert np.array_equal(env.image, env.env._observe()["camera"])


def test_what_is_returned_is_the_callers():
    env = eyed({"shape": (50, 50, 3), "motor": "unit"}, size=50)
    observation, _ = env.reset(seed=0)
    kept = env.env.picture.copy()
    for array in (observation["fovea"], observation["gaze"], env.image, env.gaze):
        array[:] = 1
    assert np.array_equal(env.env.picture, kept)
    assert env.gaze.tolist() == [0, 0]
    assert np.array_equal(env.image, kept)


class Cameras(PixelEnv):
    def __init__(self):
        super().__init__()
        image = self.observation_space
        self.observation_space = spaces.Dict({"left": image, "right": image})


def test_what_cannot_be_looked_at_is_named():
    cart = gymnasium.make("CartPole-v1")
    with pytest.raises(ValueError, match="AddRenderObservation"):
        FoveatedObservation(cart)
    with pytest.raises(ValueError, match=r"choose by key= from \['left', 'right'\]"):
        FoveatedObservation(Cameras())
    assert FoveatedObservation(Cameras(), key="right").observation_space["left"].shape
    with pytest.raises(ValueError, match="key='top' names no image"):
        FoveatedObservation(Cameras(), key="top")
    with pytest.raises(ValueError, match="is the image itself"):
        eyed(key="camera")
    with pytest.raises(ValueError, match="layout='HWC' or layout='CHW'"):
        eyed({"shape": (3, 9, 3)})
    with pytest.raises(ValueError, match="layout 'HW' does not fit"):
        eyed(layout="HW")
    with pytest.raises(ValueError, match=r"entries \['gaze'\] already"):
        eyed().__class__(eyed({"others": True}, view="crop"))
    with pytest.raises(RuntimeError, match="call reset"):
        _ = eyed().image


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"view": "log-polar"}, "view is crop, retina, fovea, mask"),
        ({"size": 0}, "size"),
        ({"periphery": 2.5}, "periphery"),
        ({"memory": 0}, "memory"),
        ({"scales": 0, "view": "retina"}, "scales"),
        ({"gaze_mode": "circular"}, "gaze_mode"),
        ({"grid": 1}, "grid"),
        ({"grid": 4, "gaze_mode": "relative"}, "odd"),
        ({"reach": 0}, "reach"),
        ({"action_layout": "tuple"}, "action_layout"),
        ({"first": (0, 2)}, "first"),
        ({"first": (0,)}, "first"),
    ],
)
def test_impossible_options_are_named(option, message):
    with pytest.raises(ValueError, match=message):
        eyed(**option)
    with pytest.raises(TypeError, match="colour"):
        eyed(colour=1)


WAYS = [
    {"view": "crop"},
    {"view": "retina", "scales": 2},
    {"view": "fovea", "env_kwargs": {"others": True, "shape": [40, 60]}},
    {"view": "mask", "memory": 3, "env_kwargs": {"motor": "unit", "shape": [3, 40, 60]}},
    {"env_kwargs": {"motor": "unit", "dtype": "float32"}, "gaze_mode": "relative"},
]


def make(**options):
    return gymnasium.make("saccade/Foveate-v0", env_id="tests.pixels:tests/Pixels-v0", **options)


@pytest.mark.parametrize("way", WAYS)
def test_passes_gymnasiums_checker(way):
    check_env(make(**way, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("layout", ["flat", "dict"])
@pytest.mark.parametrize("way", WAYS)
def test_keeps_the_contract(way, layout):
    foveation = {name: each for name, each in way.items() if name != "env_kwargs"}
    inner = gymnasium.make("tests.pixels:tests/Pixels-v0", **way.get("env_kwargs", {}))
    env = FoveatedObservation(inner, action_layout=layout, first=[0.5, -1], **foveation)
    check_foveation(env, steps=20)


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
def test_the_wrapper_passes_gymnasiums_checker():
    check_env(eyed({"motor": "unit"}))


@pytest.mark.filterwarnings("ignore:Your observation fovea has an unconventional shape")
@pytest.mark.parametrize("way", WAYS)
def test_passes_the_checker_of_stable_baselines(way):
    from stable_baselines3.common.env_checker import check_env as check_for_sb3

    check_for_sb3(make(**way).unwrapped)


def test_ppo_learns_on_it():
    from stable_baselines3 import PPO

    model = PPO("MultiInputPolicy", make(view="fovea"), n_steps=16, batch_size=8, n_epochs=1)
    model.learn(16)
    model.predict(make(view="fovea").reset(seed=0)[0])


def same(one, other):
    assert one.keys() == other.keys()
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_spec_json_and_pickles_make_the_same_eyes_again():
    wrapped = FoveatedObservation(
        gymnasium.make("tests.pixels:tests/Pixels-v0", motor="unit"), size=9, first=[1, 0]
    )
    for env in (wrapped, make(size=9, first=(1, 0), grid=3)):
        reset = env.reset(seed=5)[0]
        action = np.ones(env.action_space.shape, env.action_space.dtype)
        step = env.step(action)[0]
        spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
        for again in (gymnasium.make(env.spec), gymnasium.make(spec)):
            assert same(again.reset(seed=5)[0], reset)
            assert same(again.step(action)[0], step)
        again = pickle.loads(pickle.dumps(env))
        assert same(again.step(action)[0], env.step(action)[0])


def test_gymnasiums_wrappers_go_around_it(tmp_path):
    env = gymnasium.wrappers.RecordEpisodeStatistics(make(render_mode="rgb_array"))
    env.reset(seed=0)
    ended = False
    while not ended:
        *_, terminated, truncated, info = env.step(np.array([0, 1, 1]))
        ended = terminated or truncated
    assert info["episode"]["l"] == env.unwrapped._eyed.env.unwrapped.length
    assert env.render().shape == (8, 8, 3)
    assert make().render is not None
    assert make().unwrapped.render() is None
    pytest.importorskip("moviepy")
    video = gymnasium.wrappers.RecordVideo(
        make(render_mode="rgb_array"), str(tmp_path / "videos"), disable_logger=True
    )
    video.reset(seed=0)
    video.step(np.array([0, 1, 1]))
    video.close()
    assert list(tmp_path.glob("videos/*.mp4"))


def test_it_looks_at_what_an_environment_renders():
    env = make(from_render=True, size=5, env_kwargs={"motor": "unit"})
    observation, _ = env.reset(seed=0)
    assert observation["fovea"].shape == (5, 5, 3)
    observation = env.step(np.zeros(4, np.float32))[0]
    assert (observation["fovea"] == 1).all()  # what it renders is its clock
    assert env.unwrapped.image.shape == (8, 8, 3)
    assert env.unwrapped.gaze.tolist() == [0, 0]
    with pytest.raises(ValueError, match="render_mode"):
        FoveateEnv(env_id="tests.pixels:tests/Pixels-v0", render_mode="ansi")
