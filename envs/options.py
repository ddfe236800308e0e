"""What all environments let one choose, whatever their task."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from saccade.envs.actions import ActionFace, ActionMode, GazeMode
from saccade.envs.core import First
from saccade.envs.task import Stop, Task
from saccade.retina import Retina


@dataclass(frozen=True)
class GazeOptions:
    """Retina, budget and ways to act; the manual pages of the ids tell their defaults.

    Attributes:
        size: Side of a glimpse in cells.
        scales: Windows of the retina.
        factor: By how much each is wider than the one inside it.
        glimpses: T, glimpses in an episode.
        first: Where the first one goes, "center" or "random".
        stop: What ends an episode before its budget is spent: "budget", "decide" or "correct".
        price: What a glimpse after the first costs.
        action_mode: "box", "multidiscrete", "discrete" or "dict", see `saccade.envs.actions`.
        gaze_mode: "absolute" or "relative".
        grid: Places on each axis of the discrete faces.
        reach: Longest relative movement on an axis, in locations.
    """

    size: int = 12
    scales: int = 3
    factor: int = 2
    glimpses: int = 8
    first: First = "center"
    stop: Stop = "budget"
    price: float = 0.0
    action_mode: ActionMode = "box"
    gaze_mode: GazeMode = "absolute"
    grid: int = 8
    reach: float = 0.5

    @property
    def retina(self) -> Retina:
        """The sensor."""
        return Retina(self.size, self.scales, self.factor)

    def face(self, task: Task) -> ActionFace:
        """The action face for a task."""
        return ActionFace(
            mode=self.action_mode,
            gaze_mode=self.gaze_mode,
            decisions=task.decisions,
            answers=task.answers,
            undecided=self.stop == "decide",
            grid=self.grid,
            reach=self.reach,
        )

    def observation_space(self, task: Task) -> spaces.Dict:
        """The space of one row's observations."""
        glimpse = (self.scales, task.shape[0], self.size, self.size)
        return spaces.Dict(
            {
                "glimpse": spaces.Box(0.0, 1.0, glimpse, np.float32),
                "gaze": spaces.Box(-1.0, 1.0, (2,), np.float32),
                "t": spaces.Box(0.0, 1.0, (1,), np.float32),
            }
        )


MakeTask = Callable[..., Task]


def make(
    make_task: MakeTask, defaults: GazeOptions, given: dict[str, Any], device: Any = "cpu"
) -> tuple[Task, GazeOptions]:
    """A task and the options to look at it with, from an environment's keyword arguments.

    Args:
        make_task: Takes the options and the device, then the task's own keyword arguments.
        defaults: The environment's own defaults.
        given: Keyword arguments, of both kinds.
        device: Where the task makes its scenes.

    Raises:
        TypeError: If there is no such argument.
        ValueError: If a value makes no sense.
    """
    common = {field.name for field in fields(GazeOptions)}
    own = list(inspect.signature(make_task).parameters)[2:]
    for name in given:
        if name not in common and name not in own:
            known = ", ".join((*own, *(field.name for field in fields(GazeOptions))))
            raise TypeError(f"this environment has no option {name!r}; it has {known}")
    options = replace(defaults, **{name: given[name] for name in given if name in common})
    rest = {name: value for name, value in given.items() if name not in common}
    return make_task(options, device, **rest), options
