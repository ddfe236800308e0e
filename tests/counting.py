"""A tiny environment with a Dict observation, and vector environments with one fault each."""

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED


class CountEnv(gymnasium.Env):
    """Adds actions up; episodes last 2 to 5 steps, by seed."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012

    def __init__(self, render_mode=None, scale=1.0):
        self.observation_space = spaces.Dict(
            {
                "count": spaces.Box(0, 100, (1,), np.float32),
                "image": spaces.Box(0, 255, (2, 2, 1), np.uint8),
            }
        )
        self.action_space = spaces.Discrete(3)
        self.render_mode, self.scale = render_mode, scale

    def _observe(self):
        count = np.array([self.count], np.float32)
        return {"count": count, "image": np.full((2, 2, 1), self.hue, np.uint8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.hue, self.length = self.np_random.integers(0, 250), self.np_random.integers(2, 6)
        self.t, self.count = 0, 0.0
        return self._observe(), {"hue": int(self.hue)}

    def step(self, action):
        self.t, self.count = self.t + 1, self.count + float(action)
        ended = bool(self.t >= self.length)
        long = bool(self.length == 5)
        info = {"t": self.t, "inner": {"count": self.count}}
        return self._observe(), self.scale * self.count, ended and not long, ended and long, info

    def render(self):
        return np.full((4, 6, 3), self.t, np.uint8)


gymnasium.register("tests/Count-v0", "tests.counting:CountEnv")


def counts(mode=NEXT, rows=3, make=CountEnv, **options):
    """The environment in Gymnasium's own vector."""
    return SyncVectorEnv([make] * rows, autoreset_mode=mode, **options)


class Torch(VectorWrapper):
    """Gives and takes tensors; masks stay in NumPy."""

    def _tensors(self, tree):
        if isinstance(tree, dict):
            return {key: self._tensors(value) for key, value in tree.items()}
        plain = isinstance(tree, np.ndarray) and tree.dtype != object
        return torch.from_numpy(tree) if plain else tree

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        return self._tensors(observation), self._tensors(info)

    def step(self, actions):
        assert isinstance(actions, torch.Tensor)
        *result, info = self.env.step(actions.numpy())
        return (*(self._tensors(each) for each in result), self._tensors(info))


class Faulty(VectorWrapper):
    """Something done to what an environment returns.

    `step(self, result, action)` and `reset(self, result, kwargs)` change a list in place, or
    return another; `pending` are the rows that this step only resets.
    """

    def __init__(self, env, step=None, reset=None, before=None):
        super().__init__(env)
        self.on_step, self.on_reset, self.before = step, reset, before
        self.pending = self.ended = np.zeros(env.num_envs, bool)
        self.last = None

    def reset(self, **kwargs):
        if self.before:
            kwargs = self.before(self, kwargs) or kwargs
        mask = (kwargs.get("options") or {}).get("reset_mask", np.ones(self.num_envs, bool))
        result = list(self.env.reset(**kwargs))
        self.pending, self.ended = np.zeros(self.num_envs, bool), self.ended & ~mask
        if self.on_reset:
            result = self.on_reset(self, result, kwargs) or result
        self.last = result[0]
        return tuple(result)

    def step(self, actions):
        self.pending = self.ended
        result = list(self.env.step(actions))
        self.ended = result[2] | result[3]
        if self.on_step:
            result = self.on_step(self, result, actions) or result
        self.last = result[0]
        return tuple(result)


class ForgetsNoEnd(SyncVectorEnv):
    """Remembers over a reset which rows had ended: one of all rows, or one by mask."""

    by_mask = False

    def reset(self, *, seed=None, options=None):
        ended, by_mask = self._autoreset_envs.copy(), bool(options)
        result = super().reset(seed=seed, options=options)
        if by_mask is self.by_mask:
            self._autoreset_envs = ended
        return result


class ForgetsNoEndByMask(ForgetsNoEnd):
    by_mask = True


class OneStream(SyncVectorEnv):
    """Begins with a seed for each row, and draws later episodes from one stream for all."""

    def reset(self, *, seed=None, options=None):
        result = super().reset(seed=seed, options=options)
        for env in self.envs[1:]:
            env.np_random = self.envs[0].np_random
        return result


class LockStep(VectorEnv):
    """All rows end with the fifth step since the last reset of all; masks begin nothing."""

    def __init__(self):
        self.autoreset_mode, self.num_envs = SAME, 2
        self.metadata = {"autoreset_mode": SAME}
        self.single_observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.single_action_space = spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, 2)
        self.action_space = batch_space(self.single_action_space, 2)

    def reset(self, *, seed=None, options=None):
        if not options:
            self.t = 0
        return self._observe(), {}

    def _observe(self):
        return np.full((2, 1), self.t % 5 / 5, np.float32)

    def step(self, actions):
        self.t += 1
        ended = np.full(2, self.t % 5 == 0)
        info = {}
        if ended.any():
            info = {"final_obs": np.ones((2, 1), np.float32), "_final_obs": ended.copy()}
        return self._observe(), np.zeros(2), ended, np.zeros(2, bool), info


class ClosesOnce(SyncVectorEnv):
    """Cannot be closed again."""

    def __init__(self, num_envs=1):
        super().__init__([CountEnv] * num_envs)

    def close(self, **kwargs):
        if self.closed:
            raise RuntimeError("closed already")
        super().close(**kwargs)


gymnasium.register("tests/ClosesOnce-v0", vector_entry_point="tests.counting:ClosesOnce")
