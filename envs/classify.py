"""The classification task: look at a scene, then say which class it shows."""

from dataclasses import dataclass

from torch import Tensor

from saccade.counter import integers
from saccade.scenes import SceneMaker


@dataclass(frozen=True)
class Classify:
    """Pays 1 for the right class in an episode's last step, and nothing before.

    Attributes:
        maker: Makes the scenes, and holds images and labels.
    """

    maker: SceneMaker

    @property
    def decisions(self) -> int:
        """K, number of classes."""
        return len(self.maker.pool.classes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        return self.maker.shape

    def choose(self, key: Tensor) -> Tensor:
        """Draws images uniformly, `(N,)` int64 for keys `(N,)`."""
        return integers(key, len(self.maker.pool), 1)[:, 0]

    def scenes(self, index: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Scenes `(N, C, H, W)` uint8 and labels `(N,)` int64."""
        return self.maker(index, key), self.maker.pool.labels[index]

    def reward(self, target: Tensor, decision: Tensor, ended: Tensor) -> dict[str, Tensor]:
        """`{"decision": (N,)}`: 1 where the episode ended with the right class."""
        return {"decision": ((decision == target) & ended).float()}
