"""Gymnasium's vector environments: the core as it is, in NumPy or in torch on any device."""

from operator import index
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from saccade.envs.core import GazeCore, Observation, Result
from saccade.envs.options import make
from saccade.envs.record import Recorder
from saccade.envs.single import GazeEnv, present
from saccade.scanpath import Scanpath

Seed = int | list[int | None] | None


class GazeVectorEnv(VectorEnv[Any, Any, Any]):
    """N rows of a single environment, stepped as one; each ends and begins anew by itself.

    Row i with seed s lives the same episodes as the single environment with seed s + i (with
    `rollouts`, seed s + i // M). Nothing that is returned is written to again.

    In torch on a GPU, stepping waits for the device only where a row may end early (`stop` is not
    "budget"); rows that are reset one by one then cost a copy of their numbers to the device.

    Attributes:
        face: The single environment.
        core: The batched physics.

    Args:
        num_envs: N.
        autoreset_mode: When a row that has ended begins anew: in the next step, whose action is
            then ignored ("NextStep", Gymnasium's and RLlib's), in the same step, with the last
            observation in `final_obs` ("SameStep", stable-baselines3's), or by
            `reset(options={"reset_mask": mask})` ("Disabled", TorchRL's).
        rollouts: M, neighboring rows that live the same series of scenes; divides N. With
            stop="budget" and a scene that keeps still they also share its memory, and are reset
            together.
        output: "numpy" or "torch": what observations, rewards, flags and infos are.
        device: Where it all is computed, and where tensors are given.
        render_mode: None or "rgb_array".
        **options: As of the single environment.

    Raises:
        ValueError: If an option makes no sense.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's way)
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    face: ClassVar[type[GazeEnv]]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        rollouts: int = 1,
        output: Literal["numpy", "torch"] = "numpy",
        device: torch.device | str = "cpu",
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is None or rgb_array, got {render_mode!r}")
        if output not in ("numpy", "torch"):
            raise ValueError(f"output is numpy or torch, got {output!r}")
        if num_envs < 1 or rollouts < 1 or num_envs % rollouts:
            raise ValueError(
                f"num_envs must be a multiple of rollouts, both 1 or more, got {num_envs} and "
                f"{rollouts}"
            )
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs, self.output, self.render_mode = num_envs, output, render_mode
        task, chosen = make(self.face.make_task, self.face.defaults, options, device)
        self.core = GazeCore(
            task,
            chosen.retina,
            chosen.glimpses,
            num_envs // rollouts,
            rollouts=rollouts,
            first=chosen.first,
            stop=chosen.stop,
            price=chosen.price,
            device=device,
        )
        self._face, self._seeded = chosen.face(task), False
        self._seen = Recorder(self.core) if render_mode else None
        self.single_observation_space = chosen.observation_space(task)
        self.single_action_space = self._face.space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._clock = np.zeros(num_envs, np.int64)  # glimpses taken, known without the device
        self._ended, self._begun = np.zeros(num_envs, np.bool_), False

    @property
    def device(self) -> torch.device:
        """Where the environment lives."""
        return self.core.device

    def reset(
        self, *, seed: Seed = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins new episodes, of all rows or of some.

        Args:
            seed: Starts the rows' series of episodes anew: row i (with `rollouts`, scene i) takes
                seed + i, or entry i of a list, where None keeps the series.
            options: `{"reset_mask": (N,) bool}`, NumPy or torch, resets the rows where it is True.

        Raises:
            TypeError: If the mask is no bool array.
            ValueError: If it has another shape, is False all over, or parts rows that share a
                scene; if there are other than N seeds, or several for a scene.
        """
        mask = _mask((options or {}).get("reset_mask"), self.num_envs)
        if not self._begun and not mask.all():
            raise ValueError("the first reset is of all rows: call it without reset_mask")
        if self.core.shared:
            groups = mask.reshape(-1, self.core.rollouts)
            if (groups.any(1) != groups.all(1)).any():
                raise ValueError("rows that share a scene (rollouts) are reset together")
        super().reset(seed=seed if isinstance(seed, int) else None)
        self._reseed(seed, mask)
        self._begin(mask)
        observation = self.core.observe()
        self._note(observation, stepped=False)
        return self._give(observation), self._infos(mask)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps all rows.

        Args:
            actions: Of the action space, NumPy or torch.

        Returns:
            Observations, rewards, terminated, truncated (never) and infos. An info has a mask of
            the rows that it speaks of, under its name with a "_" before it.

        Raises:
            ValueError: If the actions do not fit the space.
            RuntimeError: If nothing was reset yet or, without autoreset, a row has ended.
        """
        core, waiting = self.core, self._ended
        if not self._begun:
            raise RuntimeError("no episode has begun; call reset")
        begins = waiting.any()
        if begins and self.autoreset_mode == AutoresetMode.DISABLED:
            raise RuntimeError(
                f"rows {np.flatnonzero(waiting).tolist()} have ended; begin them anew with "
                'reset(options={"reset_mask": mask})'
            )
        read = self._face.read(actions, self.num_envs, core.device)
        result, played = None, ~waiting
        if played.any():
            result = core.move(*self._face.decode(read, core.location))
            self._count(result)
        if begins:
            self._begin(waiting)
        observation, terminated = core.observe(), core.over
        final: dict[str, Any] = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._ended.any():
            ended, played = self._ended, played & ~self._ended
            final = {"final_obs": self._give(observation), "_final_obs": self._mask(ended)}
            final |= {"final_info": self._infos(ended, result, ended)}
            final |= {"_final_info": self._mask(ended)}
            self._begin(ended)
            observation = core.observe()
        self._note(observation, stepped=True)
        everyone, none = np.ones(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        infos = self._infos(everyone, result, played) | final
        reward = self._reward(None if result is None else result.reward)
        return self._give(observation), reward, self._copy(terminated), self._mask(none), infos

    def scanpath(self, row: int) -> Scanpath:
        """The record of a row's episode so far, a batch of one; nothing is believed in it.

        Raises:
            RuntimeError: If no episode has begun, or the environment has no render mode.
        """
        if self._seen is None:
            raise RuntimeError('scanpaths are kept with render_mode="rgb_array"')
        return self._seen.scanpath(row)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Each row's scene with its scanpath, and what it has seen: `(h, w, 3)` uint8.

        Made only when asked for; None without a render mode.
        """
        if self._seen is None:
            return None
        from saccade.animate import draw_frame

        rows = range(self.num_envs)
        return tuple(draw_frame(self._seen.picture(i), self.scanpath(i), 0) for i in rows)

    def _reseed(self, seed: Seed, mask: NDArray[np.bool_]) -> None:
        core, count = self.core, self.num_envs
        if seed is None and self._seeded:
            return
        scene = (np.arange(count) // core.rollouts).tolist()
        if isinstance(seed, (list, tuple)):
            given = list(seed)
        else:
            given = [None if seed is None else index(seed) + each for each in scene]
        if len(given) != count:
            raise ValueError(f"there are {count} rows, but {len(given)} seeds")
        if len(set(zip(scene, given, strict=True))) != count // core.rollouts:
            raise ValueError(f"rows of a scene (rollouts) have one seed, got {given}")
        known = np.array([each is not None for each in given])
        start = 0 if known.all() or self._seeded else int(self.np_random.integers(2**31))
        pairs = zip(scene, given, strict=True)
        seeds = np.array([start + i if one is None else index(one) for i, one in pairs], np.int64)
        chosen = mask & known if self._seeded else mask
        self._seeded = True
        rows = torch.from_numpy(np.flatnonzero(chosen)).to(core.device)
        core.seed(torch.from_numpy(seeds[chosen]).to(core.device), rows)

    def _begin(self, mask: NDArray[np.bool_]) -> None:
        """Begins new episodes of the rows where the mask is True."""
        rows = None
        if not mask.all():
            rows = torch.from_numpy(np.flatnonzero(mask)).to(self.core.device)
        self.core.begin(rows)
        self._clock = np.where(mask, 1, self._clock)
        self._ended, self._begun = self._ended & ~mask, True

    def _count(self, result: Result) -> None:
        """Knows which rows have ended; where the budget alone decides, without the device."""
        core = self.core
        if core.stop != "budget":
            self._ended = result.terminated.cpu().numpy().copy()
        elif core.task.answers:
            self._ended = self._clock >= core.glimpses
            self._clock = np.minimum(self._clock + 1, core.glimpses)
        else:
            self._clock = np.minimum(self._clock + 1, core.glimpses)
            self._ended = self._clock >= core.glimpses

    def _note(self, observation: Observation, *, stepped: bool) -> None:
        if self._seen is not None:  # a copy: what is given away may be written to
            observation = observation._replace(glimpse=observation.glimpse.clone())
            self._seen.note(observation, stepped=stepped)

    def _infos(
        self,
        shown: NDArray[np.bool_],
        result: Result | None = None,
        played: NDArray[np.bool_] | None = None,
    ) -> dict[str, Any]:
        """What is true now of the rows `shown`, and what the rows that `played` came to."""
        truth = self.core.task.truth(self.core.state)
        told = {name: (value, shown) for name, value in truth.items()}
        if result is not None and played is not None:
            told["gaze_clipped"] = result.clipped, played
            told |= {f"reward_{name}": (term, played) for name, term in result.terms.items()}
            if (ended := self._ended & played).any():
                told["is_success"] = result.success, ended
        infos: dict[str, Any] = {}
        for name, (value, mask) in told.items():
            infos[name], infos[f"_{name}"] = self._copy(value), self._mask(mask)
        return infos

    def _give(self, observation: Observation) -> dict[str, Any]:
        entries = present(observation, self.core.glimpses)
        gaze = self._copy(entries["gaze"])
        if self.output == "torch":
            return {**entries, "gaze": gaze}
        return {
            "glimpse": entries["glimpse"].cpu().numpy(),
            "gaze": gaze,
            "t": entries["t"].cpu().numpy(),
        }

    def _copy(self, value: Tensor) -> Any:
        return value.clone() if self.output == "torch" else value.cpu().numpy().copy()

    def _reward(self, value: Tensor | None) -> Any:
        if value is None:
            value = torch.zeros(self.num_envs, device=self.device)
        return value.clone() if self.output == "torch" else value.cpu().numpy().astype(np.float64)

    def _mask(self, mask: NDArray[np.bool_]) -> Any:
        if self.output == "numpy":
            return mask.copy()
        if mask.all() or not mask.any():  # made on the device: nothing waits for it
            return torch.full((self.num_envs,), bool(mask[0]), device=self.device)
        return torch.from_numpy(mask.copy()).to(self.device)


def _mask(given: Any, rows: int) -> NDArray[np.bool_]:
    """A reset mask as NumPy, checked; everyone where there is none."""
    if given is None:
        return np.ones(rows, np.bool_)
    mask = given.cpu().numpy() if isinstance(given, Tensor) else given
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise TypeError(f"reset_mask is a bool array, got {type(given).__name__} {given!r}")
    if mask.shape != (rows,):
        raise ValueError(f"reset_mask has shape ({rows},), got {mask.shape}")
    if not mask.any():
        raise ValueError("reset_mask is False for every row: there is nothing to reset")
    return mask.copy()
