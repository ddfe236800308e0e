"""The bridge to Stable-Baselines3, against its own adapter of single environments, row by row."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from saccade.agents.sb3 import GlimpseExtractor, to_vec_env

MODES = list(AutoresetMode)
ROWS = 4


class Probe(gymnasium.Env):
    """Tells what it is asked: row, episode and step stand in the observation.

    Row r ends its episodes after 2 + r steps, by truncation where r is odd; an action is paid
    for by its own value, and for being in row r.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    seed = 0

    def __init__(self, row=0, layout="dict", render_mode=None):
        self.row, self.layout, self.render_mode = row, layout, render_mode
        self.episode, self.color = -1, 0
        whole = {
            "glimpse": spaces.Box(0, 255, (2, 1, 3, 3), np.uint8),
            "gaze": spaces.Box(-99, 99, (2,), np.float32),
        }
        self.observation_space = spaces.Dict(whole) if layout == "dict" else whole["gaze"]
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)

    def observe(self):
        gaze = np.array([self.row + self.seed / 8, self.episode + self.t / 8], np.float32)
        if self.layout != "dict":
            return gaze
        return {"glimpse": np.full((2, 1, 3, 3), 10 * self.row + self.t, np.uint8), "gaze": gaze}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.seed, self.episode = seed, -1
        self.episode, self.t = self.episode + 1, 0
        return self.observe(), {"fresh": self.episode, "asked": str(options or None)}

    def step(self, action):
        self.t += 1
        ended, odd = self.t == 2 + self.row, bool(self.row % 2)
        info = {"t": self.t, "place": action * 2, "nested": {"half": self.t / 2}}
        if ended:
            info["is_success"] = odd
        reward = float(action.sum()) + self.row
        return self.observe(), reward, ended and not odd, ended and odd, info

    def paint(self, color, twice=False):
        self.color = 2 * color if twice else color
        return self.color + self.row

    def render(self):
        return np.full((2, 2, 3), self.color, np.uint8)


class ToTorch(VectorWrapper):
    """The same in tensors, with batched final observations, as vector environments on GPUs."""

    def convert(self, value):
        if isinstance(value, dict):
            return {key: self.convert(each) for key, each in value.items()}
        if isinstance(value, np.ndarray) and value.dtype == object:
            shown = next(each for each in value if each is not None)
            if isinstance(shown, dict):
                keys = {k: [each and each[k] for each in value] for k in shown}
                return {k: self.convert(fill(each)) for k, each in keys.items()}
            return self.convert(fill(value)) if isinstance(shown, np.ndarray) else value
        return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value

    def reset(self, *, seed=None, options=None):
        if options and "reset_mask" in options:
            options = {"reset_mask": options["reset_mask"].numpy()}
        return tuple(map(self.convert, self.env.reset(seed=seed, options=options)))

    def step(self, actions):
        assert isinstance(actions, torch.Tensor)
        return tuple(map(self.convert, self.env.step(actions.numpy())))


def fill(values):
    """A list of arrays and Nones as one array, zeros for None."""
    shown = next(each for each in values if each is not None)
    return np.stack([np.zeros_like(shown) if each is None else each for each in values])


def makers(layout="dict", **options):
    return [lambda row=row: Probe(row, layout, **options) for row in range(ROWS)]


def assert_same(one, other):
    if isinstance(one, dict):
        assert set(one) == set(other)
        for key in one:
            if key != "t" or "r" not in one:  # the time of an episode's end
                assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    else:
        assert type(one) is type(other)
        assert one == other


def assert_like_single_environments(env, layout, steps=25):
    reference = DummyVecEnv([lambda make=make: Monitor(make()) for make in makers(layout)])
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, ROWS, 2)).astype(np.float32)
    for each in (env, reference):
        each.seed(3)
    assert_same(env.reset(), reference.reset())
    assert_same(dict(enumerate(env.reset_infos)), dict(enumerate(reference.reset_infos)))
    for number, action in enumerate(actions):
        if number == 12:  # in the midst of episodes
            assert_same(env.reset(), reference.reset())
        got, wanted = env.step(action), reference.step(action)
        for one, other in zip(got[:3], wanted[:3], strict=True):
            assert_same(one, other)
        assert_same(dict(enumerate(got[3])), dict(enumerate(wanted[3])))
        assert_same(dict(enumerate(env.reset_infos)), dict(enumerate(reference.reset_infos)))


@pytest.mark.parametrize("layout", ["dict", "plain"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrap", [lambda venv: venv, ToTorch], ids=["numpy", "torch"])
def test_equals_stable_baselines_own_adapter_of_singles(wrap, mode, layout):
    env = to_vec_env(wrap(SyncVectorEnv(makers(layout), autoreset_mode=mode)))
    assert_like_single_environments(env, layout)


@pytest.mark.parametrize("mode", MODES)
def test_equals_it_over_processes(mode):
    env = to_vec_env(AsyncVectorEnv(makers(), autoreset_mode=mode))
    assert_like_single_environments(env, "dict", steps=8)
    assert env.env_method("paint", 3, twice=True) == [6, 7, 8, 9]
    env.set_attr("color", 1, indices=[0, 2])
    assert env.get_attr("color") == [1, 6, 1, 6]
    with pytest.raises(ValueError, match="no indices"):
        env.env_method("paint", 1, indices=0)
    env.close()


@pytest.mark.parametrize("mode", MODES)
def test_what_was_given_is_not_written_to_again(mode):
    env = to_vec_env(SyncVectorEnv(makers(), copy=False, autoreset_mode=mode))
    env.seed(0)
    given = [env.reset()]
    kept = [{key: value.copy() for key, value in given[0].items()}]
    for _ in range(6):
        observation, _, _, infos = env.step(np.zeros((ROWS, 2), np.float32))
        found = [observation, *(i["terminal_observation"] for i in infos if "episode" in i)]
        given += found
        kept += [{key: value.copy() for key, value in each.items()} for each in found]
    for one, other in zip(given, kept, strict=True):
        assert_same(one, other)


def test_an_environment_that_resets_other_rows_too_is_found_out():
    class Deaf(VectorWrapper):
        def reset(self, *, seed=None, options=None):
            return self.env.reset(seed=seed)

    env = to_vec_env(Deaf(SyncVectorEnv(makers(), autoreset_mode=AutoresetMode.NEXT_STEP)))
    env.reset()
    env.step(np.zeros((ROWS, 2), np.float32))
    with pytest.raises(RuntimeError, match=r"reset_mask.*SAME_STEP"):
        env.step(np.zeros((ROWS, 2), np.float32))


def test_same_step_without_last_observations_is_found_out():
    class Mute(VectorWrapper):
        def step(self, actions):
            *rest, _ = self.env.step(actions)
            return *rest, {}

    env = to_vec_env(Mute(SyncVectorEnv(makers(), autoreset_mode=AutoresetMode.SAME_STEP)))
    env.reset()
    env.step(np.zeros((ROWS, 2), np.float32))
    with pytest.raises(RuntimeError, match="final_obs"):
        env.step(np.zeros((ROWS, 2), np.float32))


def test_an_environment_must_say_when_it_resets():
    venv = SyncVectorEnv(makers())
    venv.metadata, venv.autoreset_mode = {}, None
    with pytest.raises(ValueError, match="autoreset_mode"):
        to_vec_env(venv)


def test_options_are_those_of_all_rows():
    env = to_vec_env(SyncVectorEnv(makers()))
    env.set_options({"level": 2})
    env.reset()
    assert env.reset_infos[1]["asked"] == "{'level': 2}"
    env.reset()
    assert env.reset_infos[1]["asked"] == "None"
    env.set_options([{"level": row} for row in range(ROWS)])
    with pytest.raises(ValueError, match="give all rows the same"):
        env.reset()


def test_rows_are_asked_and_told_one_by_one():
    env = to_vec_env(SyncVectorEnv(makers(render_mode="rgb_array")))
    assert env.render_mode == "rgb_array"
    assert env.env_method("paint", 5, indices=[1, 3]) == [6, 8]
    assert env.get_attr("color") == [0, 5, 0, 5]
    env.set_attr("color", 9, indices=0)
    assert [int(image[0, 0, 0]) for image in env.get_images()] == [9, 5, 0, 5]
    assert env.render().shape == (4, 4, 3)
    assert env.env_is_wrapped(Monitor) == [True] * ROWS
    assert env.env_is_wrapped(gymnasium.wrappers.TimeLimit) == [False] * ROWS
    assert env.has_attr("row")
    assert not env.has_attr("rows")


class Native(gymnasium.vector.VectorEnv):
    """A vector environment without singles: N cells, each wants to be told its own sign."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012
    difficulty = 1

    def __init__(self, num_envs):
        self.num_envs = num_envs
        glimpse = spaces.Box(0, 1, (1, 1, 2, 2), np.float32)
        self.single_observation_space = spaces.Dict(
            {"glimpse": glimpse, "gaze": spaces.Box(-1, 1, (2,), np.float32)}
        )
        self.single_action_space = spaces.Discrete(2)
        self.wanted = np.zeros(num_envs, np.int64)

    def observe(self):
        self.wanted = self.np_random.integers(0, 2, self.num_envs)
        glimpse = np.zeros((self.num_envs, 1, 1, 2, 2), np.float32)
        glimpse[np.arange(self.num_envs), 0, 0, 0, self.wanted] = 1
        return {"glimpse": glimpse, "gaze": np.zeros((self.num_envs, 2), np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, actions):
        reward = (actions == self.wanted).astype(np.float64)
        yes = np.ones(self.num_envs, bool)
        observation = self.observe()
        return observation, reward, yes, ~yes, {"final_obs": observation, "_final_obs": yes}

    def hello(self, name):
        return f"hello {name}"


def test_a_native_environment_is_asked_as_a_whole():
    env = to_vec_env(gymnasium.wrappers.vector.RecordEpisodeStatistics(Native(3)))
    assert env.get_attr("difficulty", indices=[0, 2]) == [1, 1]
    env.set_attr("difficulty", 4)
    assert env.vector_env.unwrapped.difficulty == 4
    assert env.env_method("hello", "you") == ["hello you"] * 3
    wrapped = env.env_is_wrapped(gymnasium.wrappers.vector.RecordEpisodeStatistics)
    assert wrapped == [True] * 3
    with pytest.raises(ValueError, match="all 3 rows"):
        env.set_attr("difficulty", 2, indices=1)
    with pytest.raises(AttributeError, match="nothing"):
        env.get_attr("nothing")
    with pytest.warns(UserWarning, match="no images"):
        assert env.get_images() == [None] * 3


def test_ppo_learns_through_bridge_and_extractor():
    model = PPO(
        "MultiInputPolicy",
        to_vec_env(Native(32)),
        n_steps=8,
        batch_size=64,
        learning_rate=3e-3,
        policy_kwargs={"features_extractor_class": GlimpseExtractor},
        seed=0,
        device="cpu",
    ).learn(32 * 8 * 12)
    assert len(model.ep_info_buffer) == 100
    assert {"r", "l", "t"} <= set(model.ep_info_buffer[0])
    mean, _ = evaluate_policy(model, to_vec_env(Native(8)), n_eval_episodes=64)
    assert mean > 0.95


def test_frames_stack_and_recurrent_ppo_runs():
    # A short memory for feed-forward policies: scales of the last three glimpses.
    env = to_vec_env(SyncVectorEnv(makers(), autoreset_mode=AutoresetMode.SAME_STEP))
    stacked = VecFrameStack(env, 3, channels_order={"glimpse": "first", "gaze": None})
    assert stacked.observation_space["glimpse"].shape == (6, 1, 3, 3)
    kwargs = {"features_extractor_class": GlimpseExtractor}
    kinds = {"n_steps": 8, "batch_size": 16, "device": "cpu", "policy_kwargs": kwargs}
    PPO("MultiInputPolicy", stacked, **kinds).learn(32)
    contrib = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib")
    contrib.RecurrentPPO("MultiInputLstmPolicy", env, **kinds).learn(32)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 1, 12, 12), np.float32), ((1, 3, 5, 7), np.uint8), ((8, 8, 3), np.uint8)],
)
def test_extractor_reads_glimpses_of_any_size_and_type(shape, dtype):
    high = 255 if dtype == np.uint8 else 1
    space = spaces.Dict(
        {
            "glimpse": spaces.Box(0, high, shape, dtype),
            "gaze": spaces.Box(-1, 1, (2,), np.float32),
            "t": spaces.Box(0, 1, (1,), np.float32),
            "digit": spaces.Discrete(5),
        }
    )
    from stable_baselines3.common.preprocessing import preprocess_obs

    extractor = GlimpseExtractor(space, features_dim=9)
    observation = {key: value[None] for key, value in space.sample().items()}
    tensors = {key: torch.as_tensor(value) for key, value in observation.items()}
    given = preprocess_obs(tensors, space)
    assert extractor(given).shape == (1, 9)
    seen = []
    extractor.encoder.what.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    extractor(given)
    assert torch.allclose(seen[0], tensors["glimpse"].flatten(1).float() / high)


def test_extractor_names_what_it_misses():
    box = spaces.Box(0, 1, (1, 1, 4, 4), np.float32)
    with pytest.raises(ValueError, match="with a glimpse"):
        GlimpseExtractor(box)
    with pytest.raises(ValueError, match="with a glimpse"):
        GlimpseExtractor(spaces.Dict({"image": box}))
    with pytest.raises(ValueError, match="beside the glimpse"):
        GlimpseExtractor(spaces.Dict({"glimpse": box}))
