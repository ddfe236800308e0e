"""The classification task: look at a scene, then say which class it shows."""

from dataclasses import dataclass

from torch import Tensor

from saccade.counter import fold, integers
from saccade.envs.task import Deed, Outcome, State, Stop
from saccade.scenes import SceneMaker


@dataclass(frozen=True)
class Classify:
    """Pays 1 for the right class, and nothing else.

    Attributes:
        maker: Makes the scenes, and holds images and labels.
    """

    maker: SceneMaker

    answers = True
    moving = False
    stops: tuple[Stop, ...] = ("budget", "decide", "correct")

    @property
    def decisions(self) -> int:
        """K, number of classes."""
        return len(self.maker.pool.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        return self.maker.shape

    def begin(self, key: Tensor, index: Tensor | None = None) -> State:
        """Draws images uniformly, unless told which."""
        if index is None:
            index = integers(fold(key, "item"), len(self.maker.pool), 1)[:, 0]
        return {"index": index, "scene": fold(key, "scene"), "label": self.maker.pool.labels[index]}

    def frames(self, state: State) -> Tensor:
        """Scenes `(N, C, H, W)` uint8."""
        return self.maker(state["index"], state["scene"])

    def step(self, state: State, deed: Deed) -> Outcome:
        """The term `decision`: 1 where the right class is said and counts."""
        right = (deed.decision == state["label"]) & deed.counts
        return Outcome(state, {"decision": right.float()}, right)

    def truth(self, state: State) -> dict[str, Tensor]:
        """`label`, the class."""
        return {"label": state["label"]}
