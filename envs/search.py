"""The search task: find the one T among many Ls, as in the laboratory (Wolfe 1998)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from saccade.counter import fold, integers, uniform
from saccade.envs.options import GazeOptions
from saccade.envs.single import GazeEnv
from saccade.envs.task import Deed, Outcome, State, Stop
from saccade.envs.vector import GazeVectorEnv
from saccade.geometry import to_locations, window_starts

ITEM = 9  # side of an item in pixels
CELL = ITEM + 3  # items stand in cells of a grid, so that none touch
STROKE = 3


def item_stencils() -> Tensor:
    """`(8, ITEM, ITEM)` uint8: a T at each quarter turn, then an L at each."""
    tee, ell = torch.zeros(2, ITEM, ITEM, dtype=torch.uint8)
    tee[:STROKE], tee[:, STROKE : 2 * STROKE] = 255, 255
    ell[:, :STROKE], ell[-STROKE:] = 255, 255
    return torch.stack([torch.rot90(each, turn) for each in (tee, ell) for turn in range(4)])


def fixated(location: Tensor, target: Tensor, fovea: int, side: int) -> Tensor:
    """Whether a window holds the pixel at a target's center.

    Args:
        location: `(N, 2)` gaze in [-1, 1].
        target: `(N, 2)` int64, the pixel (x, y).
        fovea: Side of the window in pixels.
        side: Side of the scene in pixels.

    Returns:
        `(N,)` bool.
    """
    offset = target - window_starts(location, fovea, 1, 1, side, side)[:, 0]
    return ((offset >= 0) & (offset < fovea)).all(1)


@dataclass(frozen=True)
class Search:
    """Pays 1 when the target is first fixated, and nothing else.

    Attributes:
        side: Side of the scene in pixels.
        items: How many items there are, the target among them.
        fovea: Side in pixels of the window in which the target's center counts as fixated.
        device: Where scenes are made.

    Raises:
        ValueError: If the items do not fit.
    """

    side: int = 64
    items: int = 8
    fovea: int = 12
    device: torch.device | str = "cpu"

    decisions = 0
    answers = False
    moving = False
    stops: tuple[Stop, ...] = ("budget", "correct")

    def __post_init__(self) -> None:
        if not 1 <= self.items <= self.cells**2:
            raise ValueError(
                f"a scene of side {self.side} holds 1 to {self.cells**2} items, got {self.items}"
            )

    @property
    def cells(self) -> int:
        """Cells of the grid on a side."""
        return self.side // CELL

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        return 1, self.side, self.side

    @cached_property
    def _stencils(self) -> Tensor:
        return item_stencils().to(self.device)

    def begin(self, key: Tensor, index: Tensor | None = None) -> State:
        """Places the items; item 0 is the target. An index only varies the key."""
        if index is not None:
            key = fold(key, index)
        order = uniform(fold(key, "cells"), self.cells**2).argsort(1)[:, : self.items]
        wide = self.side / self.cells
        corner = torch.stack([order % self.cells, order // self.cells], -1) * wide
        # At least a pixel stays dark between any two.
        jitter = uniform(fold(key, "jitter"), self.items, 2) * (wide - ITEM - 1)
        kind = integers(fold(key, "turn"), 4, self.items) + 4
        kind[:, 0] -= 4
        return {
            "corner": (corner + jitter).long(),
            "kind": kind,
            "success": torch.zeros(len(key), dtype=torch.bool, device=key.device),
        }

    def frames(self, state: State) -> Tensor:
        """Scenes `(N, 1, side, side)` uint8."""
        corner, count = state["corner"], len(state["corner"])
        steps = torch.arange(ITEM, device=corner.device)
        xs, ys = corner[..., 0, None] + steps, corner[..., 1, None] + steps  # (N, items, ITEM)
        index = (ys[..., :, None] * self.side + xs[..., None, :]).view(count, -1)
        canvas = torch.zeros(count, self.side**2, dtype=torch.uint8, device=corner.device)
        canvas.scatter_(1, index, self._stencils[state["kind"]].view(count, -1))
        return canvas.view(count, 1, self.side, self.side)

    def step(self, state: State, deed: Deed) -> Outcome:
        """The term `fixation`: 1 where the fovea first holds the target's center."""
        target = state["corner"][:, 0] + ITEM // 2
        held = fixated(deed.location, target, self.fovea, self.side) & deed.counts
        found = state["success"] | held
        terms = {"fixation": (held & ~state["success"]).float()}
        return Outcome({**state, "success": found}, terms, found)

    def truth(self, state: State) -> dict[str, Tensor]:
        """`target`, the location of its center."""
        return {"target": to_locations(state["corner"][:, 0] + ITEM / 2, self.side, self.side)}


def make_search(options: GazeOptions, device: Any, *, side: int = 64, items: int = 8) -> Search:
    """The task of `saccade/Search-v0`."""
    return Search(side, items, options.size, device)


class SearchEnv(GazeEnv):
    """Find the one T among many Ls, by looking at it.

    ## Description
    Visual search as in the laboratory: T and Ls, each at a random quarter turn, stand at random
    places. They differ in shape alone, so the coarse windows of the retina tell where items are
    and the sharp one which of them is the target.

    ## Action Space
    Gaze is all there is to do. `action_mode="box"`: `Box(-1, 1, (2,), float32)`, where to look
    next as (x, y); "multidiscrete": `MultiDiscrete([G, G])`, column and row of a grid of places;
    "discrete": `Discrete(G * G)`; "dict": `Dict(gaze=Box)`. With `gaze_mode="relative"` a gaze of
    ±1 moves by `reach`. A gaze outside is clipped, and `info["gaze_clipped"]` says so.

    ## Observation Space
    `Dict`:

    | key     | shape                            | range   | meaning                    |
    |---------|----------------------------------|---------|----------------------------|
    | glimpse | (scales, 1, size, size) float32  | [0, 1]  | what the retina sees       |
    | gaze    | (2,) float32                     | [-1, 1] | where it was seen, (x, y)  |
    | t       | (1,) float32                     | [0, 1]  | share of glimpses taken    |

    ## Rewards
    1 when a step's gaze first brings the center of the target into the finest window
    (`info["reward_fixation"]`), and -`price` for each glimpse after the first.

    ## Starting State
    A new scene; the first glimpse is at the center, or uniformly random (`first`).

    ## Episode End
    Terminates when the target is found (`stop="correct"`) or glimpse `glimpses` is taken; with
    "budget" only then. It is never truncated. `info["is_success"]` says whether it was found;
    `info["target"]` holds its location, for analysis, not for agents.

    ## Arguments
    | name        | default    | meaning                                                     |
    |-------------|------------|-------------------------------------------------------------|
    | side        | 64         | side of the scene in pixels                                 |
    | items       | 8          | how many items there are, the target among them             |
    | size        | 12         | side of a glimpse in cells                                  |
    | scales      | 3          | windows of the retina                                       |
    | factor      | 2          | by how much each window is wider than the last              |
    | glimpses    | 8          | glimpses in an episode                                      |
    | first       | "center"   | where the first glimpse goes: "center" or "random"          |
    | stop        | "correct"  | what ends an episode: "budget" or "correct"                 |
    | price       | 0.0        | what a glimpse costs                                        |
    | action_mode | "box"      | "box", "multidiscrete", "discrete" or "dict"                |
    | gaze_mode   | "absolute" | "absolute" or "relative"                                    |
    | grid        | 8          | G, places on each axis of the discrete action spaces        |
    | reach       | 0.5        | longest relative movement on an axis; the scene is 2 wide   |
    | render_mode | None       | None or "rgb_array"                                         |

    ## Version History
    * v0: first version.
    """

    make_task = staticmethod(make_search)
    defaults = GazeOptions(size=12, scales=3, glimpses=8, stop="correct")


class SearchVectorEnv(GazeVectorEnv):
    """`SearchEnv`, many rows at once."""

    face = SearchEnv
