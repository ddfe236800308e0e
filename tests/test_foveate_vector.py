"""Eyes for vector environments: every row equals a single one, in every autoreset mode."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from saccade.envs.foveate import FoveatedObservation
from saccade.envs.foveate_vector import VectorFoveatedObservation
from saccade.testing import check_foveation, check_vector_env
from tests.pixels import PixelEnv

MODES = list(AutoresetMode)
SHORT = {"shape": (12, 16, 3)}
WAYS = [
    (SHORT, {"view": "crop", "size": 5}),
    ({**SHORT, "motor": "unit", "others": True}, {"view": "fovea", "size": 5, "periphery": 4}),
    ({**SHORT, "motor": "unit"}, {"view": "mask", "size": 5, "memory": 3, "first": (0.5, 0)}),
    (
        {**SHORT, "motor": "box", "dtype": "float32", "others": True},
        {"view": "retina", "size": 4, "gaze_mode": "relative", "reach": 1.0},
    ),
    (
        {**SHORT, "motor": "multidiscrete"},
        {"view": "crop", "size": 36, "gaze_mode": "relative", "grid": 3, "reach": 2},
    ),
    ({**SHORT, "motor": "dict"}, {"action_layout": "dict", "view": "mask", "size": 6}),
]


def sync(count, options, mode=AutoresetMode.NEXT_STEP, foveation=None):
    def one():
        env = PixelEnv(**options)
        return env if foveation is None else FoveatedObservation(env, **foveation)

    return SyncVectorEnv([one] * count, autoreset_mode=mode)


def stack(final, mask):
    """The rows of Gymnasium's object array that end, stacked."""
    rows = [each for each, is_final in zip(final, mask, strict=True) if is_final]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def check_same(one, other):
    """Arrays, dicts of arrays and types, entry by entry."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            check_same(one[name], other[name])
    else:
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def act(space, step):
    """Some actions, with a gaze that now and then asks for too much."""
    actions = space.sample()
    if isinstance(actions, np.ndarray) and actions.dtype == np.float32:
        actions[step % len(actions), -1] = 1.5
    return actions


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("options", "foveation"), WAYS)
def test_rows_equal_single_environments(options, foveation, mode):
    singles = sync(4, options, mode, foveation)
    env = VectorFoveatedObservation(sync(4, options, mode), **foveation)
    assert env.autoreset_mode is mode
    assert env.metadata["autoreset_mode"] is mode
    assert env.observation_space == singles.observation_space
    assert env.action_space == singles.action_space
    assert env.single_action_space == singles.single_action_space
    check_same(env.reset(seed=3)[0], singles.reset(seed=3)[0])
    env.action_space.seed(0)
    finished = clipped = 0
    for step in range(25):
        actions = act(env.action_space, step)
        given, wanted = env.step(actions), singles.step(actions)
        for one, other in zip(given[:4], wanted[:4], strict=True):
            check_same(one, other)
        infos, others = given[4], wanted[4]
        clipped += infos["gaze_clipped"].sum()
        ended = given[2] | given[3]
        if mode is AutoresetMode.SAME_STEP and ended.any():
            finished += 1
            final, mask = infos.pop("final_obs"), infos.pop("_final_obs")
            assert np.array_equal(mask, others.pop("_final_obs"))
            check_same(
                {name: each[mask] for name, each in final.items()},
                stack(others.pop("final_obs"), mask),
            )
            assert (infos["final_info"]["_gaze_clipped"] == mask).all()
        check_same(infos, others)
        assert given[0] in env.observation_space
        assert np.array_equal(env.gaze, given[0]["gaze"])
        if mode is AutoresetMode.DISABLED and ended.any():
            finished += 1
            masks = [{"reset_mask": ended.copy()} for _ in range(2)]
            seed = [7, 8, 9, 10]
            again = env.reset(seed=seed, options=masks[0])
            assert np.array_equal(masks[0]["reset_mask"], ended)  # the caller's stays whole
            for one, other in zip(again, singles.reset(seed=seed, options=masks[1]), strict=True):
                check_same(one, other)
    assert finished > 3 or mode is AutoresetMode.NEXT_STEP
    continuous = options.get("motor") in ("unit", "box")
    assert clipped > 0 or not continuous


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("options", "foveation"), WAYS)
def test_keeps_the_contract(options, foveation, mode):
    env = VectorFoveatedObservation(sync(4, options, mode), **foveation)
    check_foveation(env, steps=20)
    if foveation["view"] == "retina":
        check_vector_env(env, steps=40)


@pytest.mark.parametrize("mode", MODES[:2])
def test_keeps_the_contract_in_torch(mode):
    inner = Torch(sync(3, {**SHORT, "motor": "unit", "others": True}, mode))
    check_foveation(VectorFoveatedObservation(inner, size=5), steps=20)


def test_final_observations_are_seen_with_the_old_gaze():
    options = {"shape": (12, 16, 1), "motor": "unit"}
    env = VectorFoveatedObservation(
        sync(3, options, AutoresetMode.SAME_STEP), view="mask", size=4, first=(-1, -1)
    )
    env.reset(seed=0)
    for _ in range(10):
        here = np.random.default_rng(0).uniform(-1, 1, (3, 2)).astype(np.float32)
        observations, _, terminated, truncated, infos = env.step(
            np.concatenate([np.zeros((3, 2), np.float32), here], 1)
        )
        ended = terminated | truncated
        assert np.array_equal(observations["gaze"][~ended], here[~ended])
        assert (observations["gaze"][ended] == -1).all()
        if ended.any():
            assert np.array_equal(infos["final_obs"]["gaze"], here)
            assert infos["final_obs"]["fovea"].dtype == np.uint8
            for row in np.flatnonzero(ended):  # nothing but what that gaze could see
                x, y = (here[row] + 1) / 2 * (16, 12)
                rows, columns = np.nonzero(infos["final_obs"]["fovea"][row, ..., 0])
                assert abs(columns + 0.5 - x).max() <= 2.5
                assert abs(rows + 0.5 - y).max() <= 2.5


def test_in_next_step_the_gaze_of_the_reset_step_is_ignored():
    env = VectorFoveatedObservation(sync(4, {**SHORT, "motor": "unit"}), size=5)
    env.reset(seed=0)
    ended, resets = np.zeros(4, bool), 0
    for _ in range(12):
        observations, _, terminated, truncated, infos = env.step(np.full((4, 4), 2, np.float32))
        assert (observations["gaze"][ended] == 0).all()
        assert (observations["gaze"][~ended] == 1).all()
        assert np.array_equal(infos["gaze_clipped"], ~ended)
        resets += ended.sum()
        ended = terminated | truncated
    assert resets > 4


class Torch(VectorWrapper):
    """A vector environment that speaks torch, with batched final observations."""

    def __init__(self, env, device="cpu"):
        super().__init__(env)
        self.received, self.device = None, device

    def _tensors(self, values):
        if isinstance(values, dict):
            return {name: self._tensors(each) for name, each in values.items()}
        return torch.from_numpy(values.copy()).to(self.device)

    def reset(self, *, seed=None, options=None):
        return tuple(self._tensors(each) for each in self.env.reset(seed=seed, options=options))

    def step(self, actions):
        self.received = actions
        observations, *rest, infos = self.env.step(actions.cpu().numpy())
        if "final_obs" in infos:
            batched = {name: np.zeros_like(each) for name, each in observations.items()}
            for row, final in enumerate(infos["final_obs"]):
                for name in batched:
                    batched[name][row] = 0 if final is None else final[name]
            infos["final_obs"] = batched
        return tuple(self._tensors(each) for each in (observations, *rest, infos))


VIEWS = [{"view": "mask", "memory": 2}, {"view": "fovea", "periphery": 5}, {"view": "retina"}]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("foveation", VIEWS)
@pytest.mark.parametrize("mode", MODES[:2])
def test_tensors_in_tensors_out(mode, foveation, device):
    options = {**SHORT, "motor": "discrete", "others": True}
    foveation = {**foveation, "size": 6}
    env = VectorFoveatedObservation(Torch(sync(3, options, mode), device), **foveation)
    pattern = VectorFoveatedObservation(sync(3, options, mode), **foveation)
    given, wanted = env.reset(seed=1), pattern.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(10):
        for name, tensor in given[0].items():
            assert tensor.device.type == device
            assert np.array_equal(tensor.cpu(), wanted[0][name])
        infos, others = given[-1], wanted[-1]
        for name in ("gaze_clipped", "_gaze_clipped"):
            assert np.array_equal(infos[name].cpu(), others[name])
        assert ("final_obs" in infos) == ("final_obs" in others)
        if "final_obs" in infos:
            mask = infos["_final_obs"].cpu().numpy()
            for name, tensor in infos["final_obs"].items():
                assert np.array_equal(tensor.cpu()[mask], others["final_obs"][name][mask])
        assert env.gaze.device.type == device
        assert env.image.device.type == device
        actions = env.action_space.sample()
        given, wanted = env.step(torch.from_numpy(actions).to(device)), pattern.step(actions)
        assert torch.equal(env.env.received.cpu(), torch.from_numpy(actions[:, 0] - 1))


def test_bad_batches_and_environments_are_named():
    env = VectorFoveatedObservation(sync(3, {**SHORT, "motor": "unit"}))
    env.reset(seed=0)
    good = np.zeros((3, 4), np.float32)
    for actions, message in [
        (good[:2], r"\(3, 4\) numbers"),
        (good[0], r"\(3, 4\) numbers"),
        (torch.from_numpy(good) / 0, "finite"),
        (good + np.array([0, 0, np.nan, 0]), "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.step(actions)
    with pytest.raises(RuntimeError, match="call reset"):
        _ = VectorFoveatedObservation(sync(1, SHORT)).image
    mute = sync(2, SHORT)
    mute.metadata = {}
    with pytest.raises(ValueError, match="autoreset_mode"):
        VectorFoveatedObservation(mute)

    class Forgetful(VectorWrapper):
        def step(self, actions):
            *step, infos = self.env.step(actions)
            infos.pop("final_obs", None)
            return *step, infos

    env = VectorFoveatedObservation(Forgetful(sync(2, SHORT, AutoresetMode.SAME_STEP)))
    env.reset(seed=0)

    def play():
        for _ in range(9):
            env.step(np.zeros((2, 3), np.int64))

    with pytest.raises(ValueError, match="without info\\['final_obs'\\]"):
        play()


def make(count=3, **options):
    return gymnasium.make_vec(
        "saccade/Foveate-v0", num_envs=count, env_id="tests.pixels:tests/Pixels-v0", **options
    )


def test_the_id_makes_vectors():
    env = make(view="retina", size=4, autoreset_mode="SameStep", env_kwargs=SHORT)
    assert env.autoreset_mode is AutoresetMode.SAME_STEP
    assert env.observation_space == batch_space(env.single_observation_space, 3)
    again = gymnasium.make_vec(env.spec)
    first = env.reset(seed=2)[0]
    check_same(first, again.reset(seed=2)[0])
    for row in range(3):
        single = gymnasium.make(
            "saccade/Foveate-v0",
            env_id="tests.pixels:tests/Pixels-v0",
            view="retina",
            size=4,
            env_kwargs=SHORT,
        )
        observation = single.reset(seed=2 + row)[0]
        for name, each in observation.items():
            assert np.array_equal(each, first[name][row])
    for each in (env, again):
        each.close()
        each.close()


def test_processes_of_their_own_and_gymnasiums_statistics():
    here = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(2, env_kwargs=SHORT))
    there = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        make(2, env_kwargs=SHORT, asynchronous=True)
    )

    def one():
        return FoveatedObservation(PixelEnv(**SHORT))

    inside = gymnasium.wrappers.vector.RecordEpisodeStatistics(AsyncVectorEnv([one] * 2))
    envs = [here, there, inside]
    first = [env.reset(seed=4)[0] for env in envs]
    check_same(first[0], first[1])
    check_same(first[0], first[2])
    here.action_space.seed(0)
    episodes = 0
    for _ in range(8):
        actions = here.action_space.sample()
        steps = [env.step(actions) for env in envs]
        for step in steps[1:]:
            check_same(steps[0][0], step[0])
        episodes += steps[0][4].get("_episode", np.zeros(2)).sum()
    assert episodes
    for env in envs:
        env.close()


@pytest.mark.parametrize("view", ["crop", "fovea", "mask", "retina"])
def test_forked_processes_do_not_hang_where_the_parent_has_used_threads(view):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(1_000_000).exp().sum()  # starts the threads that a fork loses

    def one():
        return FoveatedObservation(PixelEnv(shape=(200, 300, 3)), view=view)

    env = AsyncVectorEnv([one], context="fork")
    try:
        env.reset_async(seed=0)
        env.reset_wait(timeout=20)
    finally:
        env.close(terminate=True)
        torch.set_num_threads(threads)


def test_renders_every_row():
    env = make(2, env_kwargs=SHORT, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert isinstance(frames, tuple)
    assert [frame.shape for frame in frames] == [(8, 8, 3)] * 2
    with pytest.raises(ValueError, match="render_mode"):
        make(render_mode="human")
