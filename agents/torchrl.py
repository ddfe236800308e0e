"""Bridge to TorchRL: our vector environments, in tensors on any device, as one of its `EnvBase`.

    venv = gymnasium.make_vec("saccade/Search-v0", 64, output="torch", device="cuda",
                              autoreset_mode="Disabled")
    env = TorchRLEnv(venv)
    env.rollout(100, policy, break_when_any_done=False)

TorchRL resets rows itself, by a mask, and keeps last and first observations apart; so the
environment behind must leave resets to it. Its own `GymWrapper` also takes our environments, but
brings actions and masks to NumPy; this one leaves everything on the device.
"""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

try:
    from tensordict import TensorDict, TensorDictBase
    from torchrl.data import (
        Bounded,
        Categorical,
        Composite,
        MultiCategorical,
        TensorSpec,
        Unbounded,
    )
    from torchrl.envs import EnvBase
except ImportError as error:
    raise ImportError('this bridge needs TorchRL: pip install "saccade-rl[torchrl]"') from error


class TorchRLEnv(EnvBase):
    """N rows of a torch vector environment behind TorchRL's interface.

    Observations stand under their own names (`glimpse`, `gaze`, `t`), beside `reward`, `done`,
    `terminated` and `truncated`, each `(N, 1)`. Discrete actions are numbers, not one-hot; a Dict
    of actions stands in `("action", name)`.

    Args:
        venv: A vector environment whose observations are tensors, with autoreset disabled:
            `make_vec(id, N, output="torch", autoreset_mode="Disabled")`.

    Raises:
        ValueError: If it resets by itself, or a space has no counterpart.
        TypeError: If its observations are no tensors, or no Dict.
    """

    def __init__(self, venv: VectorEnv) -> None:
        mode = venv.metadata.get("autoreset_mode")
        if mode is None or AutoresetMode(mode) != AutoresetMode.DISABLED:
            raise ValueError(
                f"TorchRL resets rows itself, but this environment's autoreset_mode is {mode}; "
                'make it with autoreset_mode="Disabled"'
            )
        observation, _ = venv.reset()
        if not isinstance(observation, dict) or not all(
            isinstance(value, Tensor) for value in observation.values()
        ):
            raise TypeError('observations must be a dict of tensors; make it with output="torch"')
        device = next(iter(observation.values())).device
        super().__init__(device=device, batch_size=torch.Size([venv.num_envs]))
        self.vector_env = venv
        self._seed_next: int | None = None
        self.observation_spec = self._spec(venv.single_observation_space)
        action = Composite({"action": self._spec(venv.single_action_space)}, **self._rows())
        self.action_spec = action if isinstance(action["action"], Composite) else action["action"]
        column = (venv.num_envs, 1)
        self.reward_spec = Unbounded(shape=column, device=device)
        flag = Categorical(2, shape=column, dtype=torch.bool, device=device)
        names = ("done", "terminated", "truncated")
        self.done_spec = Composite({name: flag.clone() for name in names}, **self._rows())

    def _reset(self, tensordict: TensorDictBase | None = None, **_: Any) -> TensorDictBase:
        mask = None if tensordict is None else tensordict.get("_reset", None)
        seed, self._seed_next = self._seed_next, None
        options = None if mask is None else {"reset_mask": mask.view(-1)}
        observation, _ = self.vector_env.reset(seed=seed, options=options)
        return TensorDict(observation, self.batch_size, device=self.device)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        if tensordict.get("_step", None) is not None:
            raise NotImplementedError(
                "a vector environment steps all rows or none; roll out with "
                "break_when_any_done=False, not with break_when_all_done=True"
            )
        action = tensordict["action"]
        if isinstance(action, TensorDictBase):
            action = action.to_dict()
        observation, reward, terminated, truncated, _ = self.vector_env.step(action)
        entries = {
            **observation,
            "reward": reward.float()[:, None],
            "done": (terminated | truncated)[:, None],
            "terminated": terminated[:, None],
            "truncated": truncated[:, None],
        }
        return TensorDict(entries, self.batch_size, device=self.device)

    def _set_seed(self, seed: int | None) -> None:
        """Row i starts its series of episodes from seed + i at the next reset."""
        self._seed_next = seed

    def close(self, *, raise_if_closed: bool = True) -> None:
        """Closes the environment behind."""
        if not self.is_closed:
            self.vector_env.close()
        super().close(raise_if_closed=raise_if_closed)

    def _rows(self) -> dict[str, Any]:
        return {"shape": self.batch_size, "device": self.device}

    def _spec(self, space: spaces.Space[Any]) -> TensorSpec:
        """TorchRL's counterpart of one row's space, for N rows."""
        if isinstance(space, spaces.Dict):
            entries = {name: self._spec(each) for name, each in space.items()}
            return Composite(entries, **self._rows())
        shape = (*self.batch_size, *(space.shape or ()))
        if isinstance(space, spaces.Discrete) and space.start == 0:
            return Categorical(int(space.n), shape=shape, device=self.device)
        if isinstance(space, spaces.MultiDiscrete) and not np.any(space.start):
            return MultiCategorical(space.nvec.tolist(), shape=shape, device=self.device)
        if isinstance(space, spaces.Box):
            kind = getattr(torch, str(space.dtype))
            low, high = (torch.as_tensor(each).expand(shape) for each in (space.low, space.high))
            return Bounded(low, high, shape=shape, device=self.device, dtype=kind)
        raise ValueError(f"TorchRL has no counterpart for {space}")
