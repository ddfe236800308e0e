"""One action for body and eye: how a motor action and a gaze are packed, checked and parted.

Works on single actions and on batches, of NumPy or torch: a batch has its rows in front. What a
gaze means is `saccade.envs.actions.ActionFace`'s.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from saccade.envs.actions import ActionFace, GazeMode

ActionLayout = Literal["flat", "dict"]

Whole = spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary


def _span(space: Whole) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lowest value and number of values of each entry of a space of whole numbers."""
    if isinstance(space, spaces.Discrete):
        return np.array(space.start), np.array(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return np.array(space.start), np.array(space.nvec)
    return np.zeros(space.shape, np.int64), np.full(space.shape, 2)


class GazeAction:
    """An environment's own action with a gaze at its end.

    A motor of whole numbers (Discrete, MultiDiscrete, MultiBinary) gives
    `MultiDiscrete([..., grid, grid])`, a float Box of m numbers gives `Box((m + 2,))`, and the
    layout "dict" gives any motor `Dict({"motor": ..., "gaze": Box(-1, 1, (2,))})`.

    Attributes:
        space: The action space of a single environment.

    Args:
        motor: The environment's action space.
        mode: "absolute", the gaze says where to look; "relative", how far to move.
        grid: G, a gaze of whole numbers chooses one of G x G places or moves.
        reach: Length of the largest relative move along each axis.
        layout: "flat" or "dict".

    Raises:
        ValueError: If an argument is out of range, or the motor has no flat form.
    """

    def __init__(
        self,
        motor: spaces.Space[Any],
        mode: GazeMode,
        grid: int,
        reach: float,
        layout: ActionLayout,
    ) -> None:
        if layout not in get_args(ActionLayout):
            raise ValueError(f"action_layout is flat or dict, got {layout!r}")
        if not isinstance(grid, int) or (mode == "relative" and grid % 2 == 0):
            raise ValueError(
                f"grid is a whole number, odd where moves are relative: its middle keeps the eye "
                f"still; got {grid!r}"
            )
        self.motor, self.layout = deepcopy(motor), layout  # the space has random numbers
        self.space: spaces.Space[Any]
        places = False
        if layout == "dict":
            gaze = spaces.Box(-1.0, 1.0, (2,), np.float32)
            self.space = spaces.Dict({"motor": self.motor, "gaze": gaze})
        elif isinstance(motor, Whole):
            self.space = spaces.MultiDiscrete([*_span(motor)[1].ravel(), grid, grid])
            places = True
        elif isinstance(motor, spaces.Box) and np.issubdtype(motor.dtype, np.floating):
            low = np.append(motor.low, [-1, -1]).astype(motor.dtype)
            high = np.append(motor.high, [1, 1]).astype(motor.dtype)
            self.space = spaces.Box(low, high, dtype=motor.dtype.type)
        else:
            raise ValueError(f"{motor} has no flat form with a gaze; choose action_layout='dict'")
        self._eye = ActionFace("multidiscrete" if places else "box", mode, grid=grid, reach=reach)

    def part(self, action: Any, rows: tuple[int, ...] = ()) -> tuple[Any, Tensor]:
        """Checks an action and parts it.

        Args:
            action: Of `space`, or of a batch of it.
            rows: `()` for a single action, `(N,)` for a batch.

        Returns:
            The motor action, as the environment's own action space has it, and what is asked of
            the gaze, `(N, 2)` float32 or places of the grid (N is 1 for a single action).

        Raises:
            ValueError: If the action has another shape or type, a number that is not finite,
                or a whole number out of range; a Box's own bounds are the environment's affair.
                On a GPU numbers are not looked at, as that would wait for it.
        """
        if self.layout == "dict":
            if not isinstance(action, Mapping) or set(action) != {"motor", "gaze"}:
                raise ValueError(f"an action is a dict of 'motor' and 'gaze', got {action!r}")
            motor, gaze = action["motor"], _array(action["gaze"])
            if isinstance(self.motor, (*get_args(Whole), spaces.Box)):
                self._check_motor(_array(motor), rows)
        else:
            values = _array(action)
            shape = (*rows, *(self.space.shape or ()))
            if tuple(values.shape) != shape:
                raise ValueError(
                    f"an action is {shape} numbers, motor first, then the gaze's x and y; "
                    f"got {tuple(values.shape)}: {action!r}"
                )
            motor, gaze = self._motor(values[..., :-2], rows), values[..., -2:]
        if tuple(gaze.shape) != (*rows, 2):
            raise ValueError(f"a gaze is {(*rows, 2)} numbers (x, y), got {tuple(gaze.shape)}")
        gaze = gaze.reshape(-1, 2)
        device = gaze.device if isinstance(gaze, Tensor) else torch.device("cpu")
        return motor, self._eye.read(gaze, len(gaze), device)["action"]

    def aim(self, gaze: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Where the eyes go.

        Args:
            gaze: `(N, 2)` float32, where they are.
            asked: `(N, 2)`, what `part` gave.

        Returns:
            `(N, 2)` float32, where they will be, and `(N,)` bool, whether that was clipped to
            [-1, 1].
        """
        wanted, _ = self._eye.decode({"action": asked.to(gaze.device)}, gaze)
        inside = wanted.clamp(-1, 1)
        return inside, (inside != wanted).any(-1)

    def _motor(self, values: Any, rows: tuple[int, ...]) -> Any:
        """The motor's part of flat actions, as the environment's own action space has it."""
        motor = values.reshape((*rows, *(self.motor.shape or ())))
        self._check_kind(motor)
        if isinstance(self.motor, Whole) and (low := _span(self.motor)[0]).any():
            motor = motor + (torch.as_tensor(low) if isinstance(motor, Tensor) else low)
        self._check_motor(motor, rows)
        if isinstance(motor, Tensor):
            return motor
        return motor.astype(self.motor.dtype)[()]  # a single Discrete: a NumPy scalar

    def _check_kind(self, motor: Any) -> None:
        whole = isinstance(self.motor, Whole)
        kind = "f" if isinstance(motor, Tensor) and motor.is_floating_point() else "i"
        if not isinstance(motor, Tensor):
            kind = motor.dtype.kind
        if kind not in ("iub" if whole else "iuf"):
            raise ValueError(f"a motor action of {self.motor} cannot hold {motor.dtype} numbers")

    def _check_motor(self, motor: Any, rows: tuple[int, ...]) -> None:
        self._check_kind(motor)
        shape = (*rows, *(self.motor.shape or ()))
        if tuple(motor.shape) != shape:
            raise ValueError(
                f"motor actions are {shape} numbers of {self.motor}, got {tuple(motor.shape)}"
            )
        if isinstance(motor, Tensor):
            if motor.device.type != "cpu":
                return
            motor = motor.numpy()
        if isinstance(self.motor, Whole):
            low, count = _span(self.motor)
            if ((motor < low) | (motor >= low + count)).any():
                raise ValueError(f"a motor action outside of {self.motor}: {motor.tolist()}")
        elif not np.isfinite(motor).all():
            raise ValueError(f"a motor action holds finite numbers, got {motor.tolist()}")


def _array(values: Any) -> Any:
    return values if isinstance(values, Tensor) else np.asarray(values)
