"""Bridge to Stable-Baselines3: any Gymnasium vector environment, and an eye that reads glimpses.

    venv = gymnasium.make_vec("saccade/Search-v0", 64)
    model = PPO("MultiInputPolicy", to_vec_env(venv),
                policy_kwargs={"features_extractor_class": GlimpseExtractor})

Stable-Baselines3 has vector environments of its own kind and an adapter to none of Gymnasium's.
Both step many rows at once; they differ in what happens where an episode ends. Stable-Baselines3
wants the new episode's first observation at once, and the old one's last in the row's info.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn
from torch import Tensor

from saccade.agents.rows import (
    Info,
    copy_out,
    final_rows,
    pick_rows,
    same_rows,
    split_info,
    to_numpy,
)
from saccade.network import GlimpseEncoder


def to_vec_env(venv: VectorEnv) -> "GymnasiumVecEnv":
    """Turns a Gymnasium vector environment into one of Stable-Baselines3.

    Args:
        venv: Any vector environment, wrapped or not, that gives NumPy arrays or torch tensors on
            any device, in any autoreset mode. SAME_STEP is the cheapest; the others need
            `reset(options={"reset_mask": mask})`, which Gymnasium's own and ours have.

    Returns:
        The same rows in NumPy. Where an episode ends, the row's info holds
        `terminal_observation`, `TimeLimit.truncated` and, as of a `Monitor`, `episode`
        with return r, length l and seconds t since the start.

    Raises:
        ValueError: If the environment does not say its autoreset mode.
    """
    return GymnasiumVecEnv(venv)


class GymnasiumVecEnv(VecEnv):
    """A Gymnasium vector environment behind Stable-Baselines3's interface; see `to_vec_env`.

    Attributes:
        vector_env: The environment behind.
    """

    def __init__(self, venv: VectorEnv) -> None:
        mode = venv.metadata.get("autoreset_mode", getattr(venv, "autoreset_mode", None))
        if mode is None:
            raise ValueError(
                f"{venv} does not say when it resets; put an AutoresetMode in its "
                'metadata["autoreset_mode"]'
            )
        self.vector_env = venv
        self._mode = AutoresetMode(mode)
        self._device: torch.device | None = None  # of its tensors; None: it speaks NumPy
        self._resets_rows = False  # whether a reset of some rows was seen to spare the others
        self._actions: NDArray[Any] | Tensor = np.empty(0)
        self._returns = np.zeros(venv.num_envs)
        self._lengths = np.zeros(venv.num_envs, np.int64)
        self._all = np.ones(venv.num_envs, np.bool_)
        self._begun = time.time()
        super().__init__(venv.num_envs, venv.single_observation_space, venv.single_action_space)

    def reset(self) -> Any:
        """Begins an episode in every row, with the seeds and options that were set for it.

        Raises:
            ValueError: If rows were given different options.
        """
        if any(options != self._options[0] for options in self._options):
            raise ValueError("a vector environment has one set of options; give all rows the same")
        # Seeds count up from the first, in both worlds.
        observation, info = self.vector_env.reset(
            seed=self._seeds[0], options=self._options[0] or None
        )
        self._reset_seeds()
        self._reset_options()
        leaf = observation
        while isinstance(leaf, Mapping):
            leaf = next(iter(leaf.values()))
        self._device = leaf.device if isinstance(leaf, Tensor) else None
        self.reset_infos = split_info(info, self._all)
        self._returns[:] = 0
        self._lengths[:] = 0
        return copy_out(observation, self.observation_space)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes the actions of the next step, `(N, ...)`."""
        self._actions = (
            actions if self._device is None else torch.as_tensor(actions, device=self._device)
        )

    def step_wait(self) -> VecEnvStepReturn:
        """Steps every row, and begins a new episode in those whose episode has ended.

        Raises:
            RuntimeError: If the environment breaks the contract of its autoreset mode.
        """
        raw, reward, terminated, truncated, info = self.vector_env.step(self._actions)
        stopped = to_numpy(terminated).astype(bool)
        cut = to_numpy(truncated).astype(bool) & ~stopped
        dones = stopped | cut
        observation = copy_out(raw, self.observation_space)
        infos = split_info(info, self._all)
        self._returns += to_numpy(reward)
        self._lengths += 1
        if dones.any():
            rows = np.flatnonzero(dones).tolist()
            if self._mode == AutoresetMode.SAME_STEP:
                last, begun = final_rows(info, self.observation_space, rows), list(infos)
                if "final_info" in info:
                    ends = split_info(info["final_info"], dones)
                    for row in rows:
                        infos[row] = ends[row]
            else:
                last = pick_rows(observation, rows)
                observation, begun = self._reset_ended(dones, observation)
            for row, final in zip(rows, last, strict=True):
                self.reset_infos[row] = dict(begun[row])
                infos[row]["terminal_observation"] = final
                infos[row]["episode"] = {
                    "r": round(float(self._returns[row]), 6),
                    "l": int(self._lengths[row]),
                    "t": round(time.time() - self._begun, 6),
                }
            self._returns[dones] = 0
            self._lengths[dones] = 0
        for each, limit in zip(infos, cut.tolist(), strict=True):
            each["TimeLimit.truncated"] = limit
        return observation, to_numpy(reward).astype(np.float32), dones, infos

    def _reset_ended(self, dones: NDArray[np.bool_], before: Any) -> tuple[Any, list[Info]]:
        """Begins new episodes where asked, at once also where that was due in the next step."""
        if dones.all():
            raw, info = self.vector_env.reset()
        else:
            mask = dones if self._device is None else torch.as_tensor(dones, device=self._device)
            raw, info = self.vector_env.reset(options={"reset_mask": mask})
        observation = copy_out(raw, self.observation_space)
        if not (self._resets_rows or dones.all()):
            if not same_rows(before, observation, ~dones):
                raise RuntimeError(
                    "asked to reset some rows by reset_mask, the environment changed others too; "
                    "make it with autoreset_mode=AutoresetMode.SAME_STEP or, if it has no such "
                    'option, by make_vec(..., vectorization_mode="sync")'
                )
            self._resets_rows = True
        return observation, split_info(info, self._all)

    def close(self) -> None:
        """Closes the environment behind."""
        self.vector_env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """One picture of each row, if the environment was made with "rgb_array"."""
        if self.render_mode != "rgb_array":
            warnings.warn(f"no images in render mode {self.render_mode!r}", stacklevel=2)
            return [None] * self.num_envs
        return list(self.vector_env.render())  # type: ignore[arg-type]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each row; of a native vector environment, that of the whole."""
        rows = list(self._get_indices(indices))
        base: Any = self.vector_env.unwrapped
        if hasattr(base, "envs"):  # SyncVectorEnv
            return [base.envs[row].get_wrapper_attr(attr_name) for row in rows]
        if hasattr(base, "call"):  # AsyncVectorEnv
            values = base.get_attr(attr_name)
            return [values[row] for row in rows]
        return [getattr(self._layer_with(attr_name), attr_name)] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets an attribute of each row; of a native vector environment, that of the whole.

        Raises:
            ValueError: If some rows are named of a native vector environment.
        """
        rows = list(self._get_indices(indices))
        base: Any = self.vector_env.unwrapped
        if hasattr(base, "envs"):
            for row in rows:
                setattr(base.envs[row], attr_name, value)
        elif hasattr(base, "call"):
            values = list(base.get_attr(attr_name))
            for row in rows:
                values[row] = value
            base.set_attr(attr_name, values)
        else:
            self._want_all(rows, attr_name)
            setattr(self._layer_with(attr_name), attr_name, value)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Calls a method of each row; of a native vector environment, once, that of the whole.

        Raises:
            ValueError: If some rows are named of an environment that can only be called whole.
        """
        rows = list(self._get_indices(indices))
        base: Any = self.vector_env.unwrapped
        if hasattr(base, "envs"):
            return [
                base.envs[row].get_wrapper_attr(method_name)(*method_args, **method_kwargs)
                for row in rows
            ]
        self._want_all(rows, method_name)
        if hasattr(base, "call"):
            return list(base.call(method_name, *method_args, **method_kwargs))
        method = getattr(self._layer_with(method_name), method_name)
        return [method(*method_args, **method_kwargs)] * len(rows)

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether each row has such a wrapper; all have what a `Monitor` gives."""
        rows = list(self._get_indices(indices))
        base: Any = self.vector_env.unwrapped
        if issubclass(wrapper_class, Monitor):
            return [True] * len(rows)
        if hasattr(base, "envs"):
            return [is_wrapped(base.envs[row], wrapper_class) for row in rows]
        return [any(isinstance(layer, wrapper_class) for layer in self._layers())] * len(rows)

    def _layers(self) -> Iterator[Any]:
        """The vector environment from its outermost wrapper to its core."""
        layer: Any = self.vector_env
        while layer is not None:
            yield layer
            layer = getattr(layer, "env", None)

    def _layer_with(self, name: str) -> Any:
        for layer in self._layers():
            if hasattr(layer, name):
                return layer
        raise AttributeError(f"{self.vector_env} has no attribute {name!r}")

    def _want_all(self, rows: list[int], name: str) -> None:
        if sorted(rows) != list(range(self.num_envs)):
            raise ValueError(
                f"{name} belongs to all {self.num_envs} rows together; name no indices"
            )


class GlimpseExtractor(BaseFeaturesExtractor):
    """Reads glimpses of any size, and where and when they were taken: `GlimpseEncoder`.

    For `MultiInputPolicy` and its kin. Whatever stands beside the glimpse in the observation
    (`gaze`, `t`, ...) is flattened, joined and read as the encoder reads a location.

    Args:
        observation_space: A Dict with a Box of any shape under `glimpse`, float or uint8, and at
            least one more entry.
        features_dim: Width of the result.
        what: Width of the layer that reads the glimpse.
        where: Width of the layer that reads the rest.
        join: How the two meet, "add" or "multiply".

    Raises:
        ValueError: If the space has no glimpse, or nothing beside it.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        features_dim: int = 256,
        what: int = 128,
        where: int = 64,
        join: Literal["add", "multiply"] = "add",
    ) -> None:
        if (
            not isinstance(observation_space, spaces.Dict)
            or "glimpse" not in observation_space.spaces
        ):
            raise ValueError(
                f"GlimpseExtractor reads a Dict observation with a glimpse; got {observation_space}"
            )
        super().__init__(observation_space, features_dim)
        rest = [key for key in observation_space if key != "glimpse"]
        if not rest:
            raise ValueError("GlimpseExtractor needs a gaze, or anything else, beside the glimpse")
        glimpse, self.rest = observation_space["glimpse"], rest
        # Stable-Baselines3 itself scales what it takes for an image.
        self.scale = 1 / 255 if glimpse.dtype == np.uint8 and not is_image_space(glimpse) else 1.0
        self.encoder = GlimpseEncoder(
            get_flattened_obs_dim(glimpse),
            what,
            where,
            features_dim,
            join,
            places=sum(get_flattened_obs_dim(observation_space[key]) for key in rest),
        )

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """`{"glimpse": (N, S, C, g, g), ...}` to `(N, features_dim)`."""
        places = torch.cat([observations[key].flatten(1) for key in self.rest], 1)
        return self.encoder(observations["glimpse"] * self.scale, places)
