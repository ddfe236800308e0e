"""Action faces: how a flat action of a reinforcement-learning tool becomes gaze and decision.

The core knows one kind of action, a gaze location and a decision for each row. A face gives it a
Gymnasium space and turns actions of that space, batched, into it:

    box            Box(-1, 1): gaze (x, y), then a score for each choice; the highest is taken
    multidiscrete  MultiDiscrete: column and row of a grid of places, then the choice
    discrete       Discrete: a place, or an answer; where each step wants a choice beside the gaze,
                   one number for both, place * choices + choice
    dict           Dict: "gaze" as in box, "decision" Discrete

A choice is one of K decisions and, where an episode ends by deciding, last of all "look on".
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

ActionMode = Literal["box", "multidiscrete", "discrete", "dict"]
GazeMode = Literal["absolute", "relative"]


@dataclass(frozen=True)
class ActionFace:
    """One way to act.

    Attributes:
        mode: Which of the four.
        gaze_mode: Whether a gaze says where to look, or how far to move: then ±1 moves `reach`.
        decisions: K.
        answers: Whether a decision is an answer, rather than something done at every step.
        undecided: Whether there is a choice "look on".
        grid: G, places on each axis of the discrete faces, at the centers of G x G fields
            (absolute), or from -1 to +1 evenly (relative).
        reach: Longest relative movement on an axis, in locations.

    Raises:
        ValueError: If an option makes no sense.
    """

    mode: ActionMode = "box"
    gaze_mode: GazeMode = "absolute"
    decisions: int = 0
    answers: bool = True
    undecided: bool = False
    grid: int = 8
    reach: float = 0.5

    def __post_init__(self) -> None:
        modes = ("box", "multidiscrete", "discrete", "dict")
        if self.mode not in modes:
            raise ValueError(f"action_mode is one of {', '.join(modes)}, got {self.mode!r}")
        if self.gaze_mode not in ("absolute", "relative"):
            raise ValueError(f"gaze_mode is absolute or relative, got {self.gaze_mode!r}")
        if self.grid < 2:
            raise ValueError(f"grid must be 2 or more, got {self.grid}")
        if not 0 < self.reach <= 2:
            raise ValueError(f"reach must be over 0 and at most 2, got {self.reach}")

    @property
    def choices(self) -> int:
        """Choices beside the gaze."""
        return self.decisions + self.undecided

    @cached_property
    def space(self) -> spaces.Space[Any]:
        """The space of one row's actions."""
        if self.mode == "box":
            return spaces.Box(-1.0, 1.0, (2 + self.choices,), np.float32)
        if self.mode == "multidiscrete":
            return spaces.MultiDiscrete([self.grid] * 2 + [self.choices] * (self.choices > 0))
        if self.mode == "discrete":
            places = self.grid**2
            if self.answers:
                return spaces.Discrete(places + self.decisions)
            return spaces.Discrete(places * max(1, self.choices))
        gaze = spaces.Box(-1.0, 1.0, (2,), np.float32)
        if not self.choices:
            return spaces.Dict({"gaze": gaze})
        return spaces.Dict({"gaze": gaze, "decision": spaces.Discrete(self.choices)})

    def read(self, actions: Any, rows: int, device: torch.device) -> dict[str, Tensor]:
        """Checks a batch of actions and brings it to the device.

        Args:
            actions: `(rows, ...)` of the space, NumPy or torch, or a dict of such.
            rows: N.
            device: Where to.

        Returns:
            Tensors by name: "gaze" and "decision" for dict, else "action" alone.

        Raises:
            ValueError: If a shape, a type or a number does not fit the space. On a GPU numbers are
                not looked at, as that would wait for it: a NaN there sees nothing, other places
                are clipped and reported.
        """
        space = self.space
        if isinstance(space, spaces.Dict):
            if not isinstance(actions, dict) or set(actions) != set(space):
                names = " and ".join(repr(name) for name in space)
                raise ValueError(f"an action is a dict with {names}, got {actions!r}")
            return {name: _read(actions[name], space[name], rows, device) for name in space}
        return {"action": _read(actions, space, rows, device)}

    def decode(self, actions: dict[str, Tensor], location: Tensor) -> tuple[Tensor, Tensor]:
        """Gaze and decision of N rows.

        Args:
            actions: What `read` gave.
            location: `(N, 2)`, where the rows look now.

        Returns:
            Gaze `(N, 2)` float32, unclipped, and decision `(N,)` int64, -1 for none.
        """
        choice = None
        if self.mode == "dict":
            gaze, choice = actions["gaze"], actions.get("decision")
        elif self.mode == "box":
            gaze = actions["action"][:, :2]
            if self.choices:
                choice = actions["action"][:, 2:].argmax(1)
        elif self.mode == "multidiscrete":
            gaze = self._places(actions["action"][:, :2])
            if self.choices:
                choice = actions["action"][:, 2]
        else:
            return self._split(actions["action"], location)
        if self.gaze_mode == "relative":
            gaze = location + self.reach * gaze
        return gaze, self._decision(choice, gaze)

    def _split(self, action: Tensor, location: Tensor) -> tuple[Tensor, Tensor]:
        """The discrete face: a place or an answer, but a place and a deed."""
        fields = self.grid**2
        if self.answers:
            answer = action >= fields
            place, choice = action.clamp(max=fields - 1), torch.where(answer, action - fields, -1)
        else:
            answer = torch.zeros_like(action, dtype=torch.bool)
            place, choice = action // max(1, self.choices), action % max(1, self.choices)
            choice = choice if self.choices else choice - 1
        gaze = self._places(torch.stack([place % self.grid, place // self.grid], 1))
        if self.gaze_mode == "relative":
            gaze = location + self.reach * gaze
        return torch.where(answer[:, None], location, gaze), choice

    def _places(self, index: Tensor) -> Tensor:
        """Grid numbers `(N, 2)` to numbers in [-1, 1]."""
        if self.gaze_mode == "absolute":
            return ((2 * index + 1).double() / self.grid - 1).float()
        return (2 * index.double() / (self.grid - 1) - 1).float()

    def _decision(self, choice: Tensor | None, gaze: Tensor) -> Tensor:
        if choice is None:
            return torch.full_like(gaze[:, 0], -1, dtype=torch.int64)
        return torch.where(choice < self.decisions, choice, -1) if self.undecided else choice


def _read(values: Any, space: spaces.Space[Any], rows: int, device: torch.device) -> Tensor:
    """One batch of a Box, Discrete or MultiDiscrete, checked."""
    whole = not isinstance(space, spaces.Box)
    if not isinstance(values, Tensor):
        values = np.asarray(values)
        if values.dtype.kind not in ("iu" if whole else "iuf"):
            raise ValueError(f"an action of {space} cannot hold {values.dtype} numbers")
        # A copy: the caller's array is the caller's.
        values = torch.from_numpy(values.astype(np.int64 if whole else np.float32))
    elif values.is_floating_point() is whole or values.dtype == torch.bool:
        raise ValueError(f"an action of {space} cannot hold {values.dtype} numbers")
    values = values.detach()
    shape = (rows, *(space.shape or ()))
    if tuple(values.shape) != shape:
        raise ValueError(f"actions are {shape} numbers of {space}, got {tuple(values.shape)}")
    if values.device.type == "cpu":
        if not whole and not (fine := np.isfinite(values.numpy())).all():
            bad = values.numpy()[~fine.all(-1)].tolist()
            raise ValueError(f"an action holds finite numbers of {space}, got {bad}")
        if whole:
            high = space.n if isinstance(space, spaces.Discrete) else getattr(space, "nvec", 0)
            wrong = (values < 0) | (values >= torch.as_tensor(high))
            if bool(wrong.any()):
                raise ValueError(f"an action outside of {space}: {values[wrong].tolist()}")
    return values.to(device, torch.int64 if whole else torch.float32)
