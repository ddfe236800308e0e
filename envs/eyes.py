"""Eyes for N rows of any environment: what both foveating wrappers share.

They hold where each row looks and what of earlier looks is still on its canvas, part actions
into motor and gaze, and see images from there.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, TypedDict

import torch
from gymnasium import spaces
from torch import Tensor

from saccade.envs.actions import GazeMode
from saccade.envs.forked import one_thread
from saccade.envs.gaze_action import ActionLayout, GazeAction
from saccade.envs.sight import Canvas, Layout, Sight, View, image_key, like, to_tensor


class Foveation(TypedDict, total=False):
    """The arguments of every face of foveation; see `saccade.envs.foveate.FoveatedObservation`."""

    key: str | None
    layout: Layout | None
    view: View
    size: int
    scales: int
    factor: int
    periphery: int
    memory: int
    gaze_mode: GazeMode
    grid: int
    reach: float
    action_layout: ActionLayout
    first: Sequence[float]


class Eyes:
    """The eyes of N rows.

    Attributes:
        key: Where the image is in a Dict observation; None where it is the observation.
        action: How a row's action is packed.
        observation_space: What a row observes: the views, `gaze`, and the other entries.
        gaze: `(N, 2)` float32, where the rows look, (x, y) in [-1, 1].

    Args:
        observation_space: Of the environment, a single row.
        action_space: Of the environment, a single row.
        rows: N.
        **options: See `Foveation`.

    Raises:
        ValueError: If there is no image, or an option does not go with the environment.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        rows: int,
        *,
        key: str | None = None,
        layout: Layout | None = None,
        view: View = "crop",
        size: int = 36,
        scales: int = 3,
        factor: int = 2,
        periphery: int = 36,
        memory: int = 1,
        gaze_mode: GazeMode = "absolute",
        grid: int = 5,
        reach: float = 0.5,
        action_layout: ActionLayout = "flat",
        first: Sequence[float] = (0.0, 0.0),
    ) -> None:
        self.key = image_key(observation_space, key)
        others: dict[str, spaces.Space[Any]] = {}
        image_space = observation_space
        if self.key is not None:
            assert isinstance(observation_space, spaces.Dict)
            others = dict(observation_space.items())
            image_space = others.pop(self.key)
        self.sight = Sight(image_space, layout, view, size, scales, factor, periphery, memory)
        seen = {**self.sight.spaces, "gaze": spaces.Box(-1.0, 1.0, (2,))}
        if taken := sorted(seen.keys() & others.keys()):
            raise ValueError(f"the observation has entries {taken} already: it needs no other eyes")
        if len(first) != 2 or not all(-1 <= each <= 1 for each in first):
            raise ValueError(f"first is a location (x, y) in [-1, 1], got {first!r}")
        self.action = GazeAction(action_space, gaze_mode, grid, reach, action_layout)
        self.observation_space = spaces.Dict({**others, **seen})
        self._first = torch.tensor([float(each) for each in first])
        self._canvas: Canvas | None = None
        self.gaze = self._first.repeat(rows, 1)

    def begin(self, rows: Tensor | None = None) -> None:
        """Brings the gaze back to its first location and wipes the canvas.

        Args:
            rows: `(N,)` bool, of which rows; all without it.
        """
        if rows is None:
            self.gaze, self._canvas = self._first.repeat(len(self.gaze), 1), None
            return
        rows = rows.to(self.gaze.device)
        first = self._first.to(self.gaze.device)
        self.gaze = torch.where(rows[:, None], first, self.gaze)
        if self._canvas is not None:
            self._canvas.forget(rows)

    def move(self, asked: Tensor) -> Tensor:
        """Moves every row's gaze.

        Args:
            asked: `(N, 2)`, what is asked of the gaze, from `action.part`.

        Returns:
            `(N,)` bool, whether it would have left the image and was clipped.
        """
        self.gaze, clipped = self.action.aim(self.gaze, asked)
        if self._canvas is not None:
            self._canvas.clock += 1
        return clipped

    def look(self, images: Any) -> dict[str, Any]:
        """Sees every row's image from its gaze; looking again changes nothing.

        Args:
            images: `(N, ...)` in the environment's layout, NumPy or torch.

        Returns:
            The views and `gaze` by name, `(N, ...)`, NumPy or torch as the images.
        """
        with one_thread() if len(self.gaze) == 1 else nullcontext():
            planes = self.sight.planes(to_tensor(images))
            self.gaze = self.gaze.to(planes.device)
            if self.sight.memory > 1 and self._canvas is None:
                self._canvas = Canvas(planes, self.sight.memory)
            views = self.sight.look(planes, self.gaze, self._canvas)
        views["gaze"] = self.gaze.clone()
        return {name: like(view, images) for name, view in views.items()}
