"""What an environment remembers of its episodes, so that gaze can be shown when asked for."""

from collections import deque

import torch

from saccade.envs.core import GazeCore, Observation
from saccade.scanpath import Scanpath


class Recorder:
    """Keeps references to the observations of the episodes that are under way.

    Args:
        core: Whose.
    """

    def __init__(self, core: GazeCore) -> None:
        self.core = core
        # Between two steps at most one observation is kept, so this holds a whole episode.
        self._kept: deque[tuple[Observation, bool]] = deque(maxlen=2 * core.glimpses + 1)

    def note(self, observation: Observation, *, stepped: bool) -> None:
        """Takes in an observation, of a step or of a reset."""
        if not stepped and self._kept and not self._kept[-1][1]:
            self._kept.pop()
        self._kept.append((observation, stepped))

    def scanpath(self, row: int) -> Scanpath:
        """One row's episode so far, a batch of one, on the CPU; nothing is believed in it.

        Raises:
            RuntimeError: If no episode has begun.
        """
        if not self._kept:
            raise RuntimeError("no episode has begun; call reset")
        seen: list[Observation] = []
        wanted = int(self._kept[-1][0].t[row])
        for observation, _ in reversed(self._kept):
            if int(observation.t[row]) == wanted:
                seen.append(observation)
                wanted -= 1
            if not wanted:
                break
        seen.reverse()
        taken, task = len(seen), self.core.task
        classes = max(1, task.decisions)
        return Scanpath(
            locations=torch.stack([each.gaze[row] for each in seen])[None].cpu(),
            glimpses=torch.stack([each.glimpse[row] for each in seen])[None].cpu(),
            beliefs=torch.full((1, taken, classes), 1 / classes),
            values=torch.zeros(1, taken),
            rewards=torch.zeros(1, taken),
            stop=torch.tensor([taken]),
            retina=self.core.retina,
            height=task.shape[1],
            width=task.shape[2],
        )

    def picture(self, row: int) -> torch.Tensor:
        """`(C, H, W)` uint8, on the CPU: the scene that the row looks at now."""
        scene, index = self.core.scene, self.core.image_index
        if scene is None:
            raise RuntimeError("no episode has begun; call reset")
        return scene.images[row if index is None else int(index[row])].cpu()
