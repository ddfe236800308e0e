"""The vector face as other tools handle it: NumPy and torch, spaces, pictures, wrappers, specs."""

import copy
import pickle

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics
from torch.utils._python_dispatch import TorchDispatchMode

import saccade
from saccade.envs import DigitsVectorEnv
from saccade.imageset import ImageSet
from saccade.retina import Retina
from tests.rows import MODES, ROWS, assert_equal, leaves, lists, on, vector
from tests.test_single import IDS, OPTIONS


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*IDS, "staggered"])
def test_torch_gives_what_numpy_gives(name, mode):
    options = {"autoreset_mode": mode, "action_mode": "dict"}
    if name == "staggered":
        name, options = "saccade/Search-v0", options | {"size": 20, "glimpses": 9}
    env, other = vector(name, **options), vector(name, output="torch", **options)

    def check(one, two):
        for leaf in leaves(two):
            assert isinstance(leaf, torch.Tensor)
        assert all(isinstance(leaf, np.ndarray) for leaf in leaves(one))
        assert_equal(one, lists(two))

    check(env.reset(seed=1), other.reset(seed=1))
    env.action_space.seed(0)
    ended = np.zeros(ROWS, bool)
    for _ in range(16):
        if mode == "Disabled" and ended.any():
            check(*(each.reset(options={"reset_mask": ended}) for each in (env, other)))
        action = env.action_space.sample()
        one, two = env.step(action), other.step(on(other, action))
        check(one, two)
        assert two[1].dtype == torch.float32
        assert one[1].dtype == np.float64
        assert two[2].dtype == two[3].dtype == torch.bool
        ended = one[2]


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", IDS)
def test_what_is_returned_is_yours_to_write_into(name, mode, output):
    options = {"autoreset_mode": mode, "output": output, "render_mode": "rgb_array"}
    env, twin = vector(name, **options), vector(name, **options)
    given, ended = [env.reset(seed=0)], np.zeros(ROWS, bool)
    expected = [copy.deepcopy(lists(twin.reset(seed=0)))]
    env.action_space.seed(0)
    for _ in range(12):
        for leaf in leaves(given[-1]):
            leaf[:] = True if leaf.dtype in (bool, torch.bool) else 77
        # Each is written into on its own: no two may be one.
        assert len(places := [address(leaf) for leaf in leaves(given[-1])]) == len(set(places))
        if mode == "Disabled" and ended.any():
            given.append(env.reset(options={"reset_mask": ended.copy()}))
            expected.append(lists(twin.reset(options={"reset_mask": ended.copy()})))
        else:
            action = env.action_space.sample()
            if output == "torch":
                action = on(env, action)
            given.append(env.step(action))
            expected.append(lists(twin.step(action)))
            ended = expected[-1][2].copy()
        assert_equal(lists(given[-1]), expected[-1])
        # The record is kept apart from what was given away.
        for one, other in zip(leaves(given[-1]), leaves(expected[-1]), strict=True):
            assert np.array_equal(lists(one), other)
        paths = [each.scanpath(1) for each in (env, twin)]
        assert torch.equal(paths[0].glimpses, paths[1].glimpses)
        assert torch.equal(paths[0].locations, paths[1].locations)


def address(leaf):
    return leaf.data_ptr() if isinstance(leaf, torch.Tensor) else leaf.ctypes.data


def test_a_reset_step_pays_nothing_even_after_the_zeros_were_written_into():
    env = vector("saccade/Catch-v0", 2, glimpses=2, output="torch")
    env.reset(seed=0)
    action = torch.zeros(2, 5)
    for _ in range(3):
        env.step(action)
        reward = env.step(action)[1]
        assert reward.tolist() == [0, 0]
        reward += 5


@pytest.mark.parametrize("name", IDS)
def test_spaces_are_those_of_the_single_batched(name):
    env, single = vector(name, 3), gymnasium.make(name, **OPTIONS[name])
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    assert env.observation_space == batch_space(single.observation_space, 3)
    assert env.action_space == batch_space(single.action_space, 3)
    env.action_space.seed(0)
    results = [env.reset(seed=0)[0]]
    results += [env.step(env.action_space.sample())[0] for _ in range(6)]
    assert all(seen in env.observation_space for seen in results)


def test_renders_every_row_only_when_asked():
    name = "saccade/Search-v0"
    env, still = vector(name, 3, render_mode="rgb_array", action_mode="dict"), vector(name, 3)
    env.reset(seed=0), still.reset(seed=0)
    assert still.render() is None
    with pytest.raises(RuntimeError, match='kept with render_mode="rgb_array"'):
        still.scanpath(0)
    first = env.render()
    assert isinstance(first, tuple)
    assert len(first) == 3
    assert all(each.dtype == np.uint8 for each in first)
    assert all(each.ndim == 3 and each.shape[2] == 3 for each in first)
    gaze = np.array([[0.0, 0.0], [0.5, 0.5], [-0.5, 0.5]], np.float32)
    env.step({"gaze": gaze})
    second = env.render()
    assert not np.array_equal(first[1], second[1])
    single = gymnasium.make(name, **OPTIONS[name], render_mode="rgb_array", action_mode="dict")
    single.reset(seed=1)
    single.step({"gaze": gaze[1]})
    assert np.array_equal(single.render(), second[1])


@pytest.mark.parametrize("rollouts", [1, 2])
def test_scanpaths_are_those_of_the_singles(rollouts):
    name, steps = "saccade/Digits-v0", 7
    env = vector(name, 4, render_mode="rgb_array", rollouts=rollouts)
    alone = [gymnasium.make(name, **OPTIONS[name]) for _ in range(4)]
    env.reset(seed=0)
    for row, each in enumerate(alone):
        each.reset(seed=row // rollouts)
    env.action_space.seed(0)
    over = False
    for _ in range(steps):
        action = env.action_space.sample()
        over_before, over = over, env.step(action)[2][0]
        for row, each in enumerate(alone):
            each.reset() if over_before else each.step(action[row])
            mine, other = env.scanpath(row), each.unwrapped.scanpath()
            assert torch.equal(mine.locations, other.locations)
            assert torch.equal(mine.glimpses, other.glimpses)


@pytest.mark.parametrize("name", IDS)
def test_an_option_misspelled_is_named(name):
    with pytest.raises(TypeError, match=r"no option 'glimpse_size'; it has .*\bsize\b"):
        gymnasium.make_vec(name, num_envs=2, glimpse_size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a multiple of rollouts, both 1 or more, got 0"),
        ({"num_envs": 4, "rollouts": 3}, "got 4 and 3"),
        ({"num_envs": 4, "rollouts": 0}, "got 4 and 0"),
        ({"output": "jax"}, "output is numpy or torch, got 'jax'"),
        ({"render_mode": "human"}, "render_mode is None or rgb_array, got 'human'"),
        ({"autoreset_mode": "Never"}, "Never"),
        ({"glimpses": 0}, "glimpses must be 1 or more"),
        ({"size": 0}, "size"),
        ({"layout": "cluttered"}, "layout is centered or translated"),
        ({"stop": "late"}, "stop is budget or decide or correct"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DigitsVectorEnv(**options)


def test_actions_that_do_not_fit_change_nothing():
    env, twin = vector("saccade/Digits-v0", 2), vector("saccade/Digits-v0", 2)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros((2, 12), np.float32))
    env.reset(seed=0), twin.reset(seed=0)
    for bad in (np.zeros((2, 11)), np.zeros((3, 12)), np.full((2, 12), np.nan), None):
        with pytest.raises(ValueError, match="action"):
            env.step(bad)
    action = np.full((2, 12), 0.5, np.float32)
    assert_equal(env.step(action), twin.step(action))


def test_a_gaze_outside_is_clipped_and_said_so():
    env = vector("saccade/Search-v0", 3, glimpses=5)
    env.reset(seed=0)
    action = np.array([[1.5, 0.0], [1.0, -1.0], [0.0, -7.0]], np.float32)
    seen, *_, info = env.step(action)
    assert info["gaze_clipped"].tolist() == [True, False, True]
    assert seen["gaze"].tolist() == [[1, 0], [1, -1], [0, -1]]


@pytest.mark.parametrize("name", IDS)
def test_the_spec_makes_the_same_environment_again(name):
    env = vector(name, 2, autoreset_mode="SameStep")
    spec = EnvSpec.from_json(env.spec.to_json())
    seen = env.reset(seed=4)
    for again in (gymnasium.make_vec(spec), pickle.loads(pickle.dumps(env))):
        assert again.num_envs == 2
        assert again.autoreset_mode == AutoresetMode.SAME_STEP
        assert_equal(seen, again.reset(seed=4))


def test_the_modes_of_two_environments_are_their_own():
    one, other = vector("saccade/Digits-v0", 1, autoreset_mode="Disabled"), vector(IDS[0], 1)
    assert one.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    assert other.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert DigitsVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_closing_twice_does_no_harm():
    env = vector("saccade/Digits-v0", 1)
    env.close()
    env.close()


def test_gymnasiums_wrapper_counts_returns():
    env = RecordEpisodeStatistics(vector("saccade/Track-v0", 2, speed=0.0, action_mode="dict"))
    _, info = env.reset(seed=0)
    for _ in range(3):
        *_, info = env.step({"gaze": info["target"]})
    assert info["episode"]["r"].tolist() == [3, 3]
    assert info["episode"]["l"].tolist() == [3, 3]


@pytest.mark.parametrize("mode", MODES)
def test_gymnasiums_wrapper_lists_infos(mode):
    if mode == "SameStep" and gymnasium.__version__.startswith("1.1."):
        pytest.skip("the wrapper of Gymnasium 1.1 wants masks in final_obs, an observation")
    env = DictInfoToList(vector("saccade/Track-v0", 2, action_mode="dict", autoreset_mode=mode))
    env.reset(seed=0)
    for _ in range(3):
        *_, told = env.step({"gaze": np.zeros((2, 2), np.float32)})
    assert len(told) == 2
    last = told[0]["final_info"] if mode == "SameStep" else told[0]
    assert not last["is_success"]


def test_gymnasiums_wrapper_records_video(tmp_path):
    pytest.importorskip("moviepy", reason="Gymnasium writes videos with moviepy")
    if not hasattr(gymnasium.wrappers.vector, "RecordVideo"):
        pytest.skip("Gymnasium 1.1 records no videos of vector environments")
    env = gymnasium.wrappers.vector.RecordVideo(
        vector("saccade/Catch-v0", 2, render_mode="rgb_array"),
        str(tmp_path / "videos"),
        episode_trigger=lambda episode: True,
    )
    env.reset(seed=0)
    for _ in range(8):
        env.step(env.action_space.sample())
    env.close()
    assert list(tmp_path.glob("videos/*.mp4"))


def make_search():
    return gymnasium.make("saccade:saccade/Search-v0", **OPTIONS["saccade/Search-v0"])


def test_singles_live_in_processes_of_their_own():
    env, here = AsyncVectorEnv([make_search], context="spawn"), vector("saccade/Search-v0", 1)
    try:
        here.action_space.seed(0)
        action = here.action_space.sample()
        assert_equal(env.reset(seed=3)[0], here.reset(seed=3)[0])
        assert_equal(env.step(action)[0], here.step(action)[0])
    finally:
        env.close()


def test_singles_do_not_hang_in_a_fork_of_a_process_that_has_used_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1_000_000).exp().sum()  # starts the threads that a fork loses
    images = np.random.default_rng(0).integers(0, 256, (4, 1200, 1200), np.uint8)

    def one():
        options = {"images": images, "labels": np.arange(4), "size": 64, "scales": 4}
        return gymnasium.make("saccade/ImageClassify-v0", **options)

    env = AsyncVectorEnv([one], context="fork")
    try:
        env.reset_async(seed=0)
        env.reset_wait(timeout=20)
        env.step_async(env.action_space.sample())
        env.step_wait(timeout=20)
    finally:
        env.close(terminate=True)
        torch.set_num_threads(threads)


def test_making_one_by_one_is_left_to_gymnasium():
    env = gymnasium.make_vec("saccade/Digits-v0", num_envs=2, vectorization_mode="sync")
    assert isinstance(env, SyncVectorEnv)
    assert set(saccade.ENVIRONMENTS) >= {env.spec.id}


class Waits(TorchDispatchMode):
    """Refuses what would wait for a GPU: reading a number back, or copying one there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, devices = str(func), {each.device for each in args if isinstance(each, torch.Tensor)}
        assert not name.startswith(("aten._local_scalar", "aten.nonzero", "aten.masked_select"))
        if "_copy" in name and "index" not in name:
            assert len(devices | {kwargs.get("device") or next(iter(devices))}) == 1, name
        return func(*args, **kwargs)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
@pytest.mark.parametrize("action_mode", ["box", "multidiscrete", "discrete", "dict"])
@pytest.mark.parametrize("name", IDS)
def test_episodes_of_a_budget_never_wait_for_the_device(name, action_mode, mode, monkeypatch):
    """As if on a GPU: tensors of the device "meta" hold no numbers. Kernels are tested on one."""
    monkeypatch.setattr(ImageSet, "__post_init__", lambda self: None)
    monkeypatch.setattr(Retina, "prepare", lambda self, images, looks: Pixels(images))
    monkeypatch.setattr(Retina, "look", Pixels.look)
    options = {"stop": "budget", "price": 0.1, "first": "random", "action_mode": action_mode}
    env = vector(name, autoreset_mode=mode, output="torch", device="meta", **options)
    env.action_space.seed(0)
    actions = [on(env, env.action_space.sample()) for _ in range(12)]
    env.reset(seed=0)
    with Waits():
        seen = [env.step(action)[0]["glimpse"] for action in actions]
    assert seen[-1].shape == env.observation_space["glimpse"].shape


class Pixels:
    """Stands in for a scene that is ready for the retina."""

    def __init__(self, images):
        self.images = images

    def replace(self, images, which):
        self.images = images

    def look(self, scene, locations, image_index):
        shape = (len(locations), self.scales, scene.images.shape[1], self.size, self.size)
        return torch.empty(shape, device=locations.device)
