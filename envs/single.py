"""Gymnasium's single environments: the core as a batch of one, in NumPy."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saccade.envs.core import GazeCore, Observation, Result
from saccade.envs.forked import one_thread
from saccade.envs.options import GazeOptions, MakeTask, make
from saccade.envs.record import Recorder
from saccade.scanpath import Scanpath

Arrays = dict[str, Any]
CPU = torch.device("cpu")


def present(observation: Observation, glimpses: int) -> dict[str, Tensor]:
    """The entries of the observation space: `t` becomes the share of the budget, `(N, 1)`."""
    share = observation.t[:, None] / glimpses
    return {"glimpse": observation.glimpse, "gaze": observation.gaze, "t": share}


class GazeEnv(gymnasium.Env[Arrays, Any]):
    """One eye on one task. The ids that `saccade` registers are subclasses with a task.

    Attributes:
        make_task: Makes the task from options, device and the task's own keyword arguments.
        defaults: Retina, budget and ways to act, where they are not given.

    Args:
        render_mode: None or "rgb_array".
        **options: The fields of `GazeOptions` and the keyword arguments of `make_task`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's way)
    make_task: ClassVar[MakeTask]
    defaults: ClassVar[GazeOptions] = GazeOptions()

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is None or rgb_array, got {render_mode!r}")
        self.render_mode = render_mode
        task, chosen = make(self.make_task, self.defaults, options)
        self._core = GazeCore(
            task,
            chosen.retina,
            chosen.glimpses,
            1,
            first=chosen.first,
            stop=chosen.stop,
            price=chosen.price,
        )
        self._face, self._seeded = chosen.face(task), False
        self._seen = Recorder(self._core)
        self.observation_space = chosen.observation_space(task)
        self.action_space = self._face.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begins an episode and takes its first glimpse.

        Args:
            seed: Starts the series of episodes anew; each reset without it begins the next one.
            options: Not used.
        """
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            start = int(self.np_random.integers(2**31)) if seed is None else seed
            self._core.seed(torch.tensor([start]))
            self._seeded = True
        with one_thread():
            observation = self._core.reset()
        self._seen.note(observation, stepped=False)
        return self._arrays(observation), self._info(None)

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Looks where the action says or, once all glimpses are taken, decides.

        Args:
            action: Of the action space.

        Raises:
            ValueError: If the action does not fit the space.
            RuntimeError: If the episode has not begun, or has ended.
        """
        core = self._core
        if bool(core.over):
            raise RuntimeError("the episode has ended or not begun; call reset")
        read = self._face.read(_batched(action), 1, CPU)
        with one_thread():
            observation, result = core.step(*self._face.decode(read, core.location))
        self._seen.note(observation, stepped=True)
        arrays, info = self._arrays(observation), self._info(result)
        return arrays, float(result.reward), bool(result.terminated), False, info

    def scanpath(self) -> Scanpath:
        """The record of this episode so far, a batch of one; nothing is believed in it.

        Raises:
            RuntimeError: If no episode has begun.
        """
        return self._seen.scanpath(0)

    def render(self) -> NDArray[np.uint8] | None:
        """The scene with the scanpath, and what has been seen of it: `(h, w, 3)` uint8.

        Made only when asked for; None without a render mode.
        """
        if self.render_mode is None:
            return None
        from saccade.animate import draw_frame

        return draw_frame(self._seen.picture(0), self.scanpath(), 0)

    def _arrays(self, observation: Observation) -> Arrays:
        entries = present(observation, self._core.glimpses)
        return {name: value[0].numpy().copy() for name, value in entries.items()}

    def _info(self, result: Result | None) -> dict[str, Any]:
        truth = self._core.task.truth(self._core.state)
        info: dict[str, Any] = {
            name: value[0].item() if value.ndim == 1 else value[0].numpy().copy()
            for name, value in truth.items()
        }
        if result is not None:
            info["gaze_clipped"] = bool(result.clipped)
            info |= {f"reward_{name}": float(term) for name, term in result.terms.items()}
            if result.terminated:
                info["is_success"] = bool(result.success)
        return info


def _batched(action: Any) -> Any:
    """An action as a batch of one."""
    if isinstance(action, dict):
        return {name: _batched(value) for name, value in action.items()}
    return action[None] if isinstance(action, Tensor) else np.asarray(action)[None]
