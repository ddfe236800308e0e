"""The tracking task: keep the fovea on a target that moves in a moving scene."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from saccade.counter import fold, integers, uniform
from saccade.envs.options import GazeOptions
from saccade.envs.search import fixated
from saccade.envs.single import GazeEnv
from saccade.envs.task import Deed, Outcome, State, Stop
from saccade.envs.vector import GazeVectorEnv
from saccade.geometry import to_locations

ITEM = 7  # side of target and distractors in pixels
GRAIN = 4  # side of a square of the background in pixels
SHARE = 0.75  # of the steps on target make a success


def bounce(path: Tensor, top: float) -> Tensor:
    """Folds an endless straight path into [0, top], reflected at both ends."""
    return top - ((path % (2 * top)) - top).abs()


@dataclass(frozen=True)
class Track:
    """Pays 1 for every step after which the fovea holds the target's center.

    Attributes:
        side: Side of the scene in pixels.
        others: How many distractors move about.
        speed: Highest speed of target and distractors on each axis, in pixels a step.
        drift: Highest speed of the background on each axis, in pixels a step.
        fovea: Side in pixels of the window in which the target's center counts as held.
        device: Where scenes are made.

    Raises:
        ValueError: If a number makes no sense.
    """

    side: int = 64
    others: int = 3
    speed: float = 4.0
    drift: float = 2.0
    fovea: int = 12
    device: torch.device | str = "cpu"

    decisions = 0
    answers = False
    moving = True
    stops: tuple[Stop, ...] = ("budget",)

    def __post_init__(self) -> None:
        if self.side <= ITEM or self.others < 0 or self.speed < 0 or self.drift < 0:
            raise ValueError(
                f"side must be over {ITEM}; others, speed and drift 0 or more; got {self}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        return 1, self.side, self.side

    @cached_property
    def _stencils(self) -> Tensor:
        """`(1 + others, ITEM * ITEM)` uint8: a disc, then rings."""
        reach = torch.arange(ITEM) - ITEM // 2
        far = (reach[:, None] ** 2 + reach**2).sqrt()
        disc, ring = (far <= 3.2).byte() * 255, ((far <= 3.2) & (far >= 2)).byte() * 255
        return torch.stack([disc, *[ring] * self.others]).view(-1, ITEM * ITEM).to(self.device)

    def begin(self, key: Tensor, index: Tensor | None = None) -> State:
        """Draws starts, speeds and background. An index only varies the key."""
        if index is not None:
            key = fold(key, index)
        start = uniform(fold(key, "start"), 1 + self.others, 2) * 2 * (self.side - ITEM)
        speed = (uniform(fold(key, "speed"), 1 + self.others, 2) * 2 - 1) * self.speed
        squares = -(-self.side // GRAIN)
        return {
            "start": start,
            "speed": speed,
            "ground": integers(fold(key, "ground"), 90, squares**2).byte(),
            "drift": (uniform(fold(key, "drift"), 2) * 2 - 1) * self.drift,
            "t": torch.ones_like(key),
            "held": torch.zeros_like(key),
        }

    def corners(self, state: State) -> Tensor:
        """`(N, 1 + others, 2)` int64, first pixels (x, y) of target and distractors now."""
        path = state["start"] + state["speed"] * (state["t"] - 1)[:, None, None]
        return bounce(path, self.side - ITEM).round().long()

    def frames(self, state: State) -> Tensor:
        """Scenes `(N, 1, side, side)` uint8 of this moment."""
        count, squares = len(state["t"]), -(-self.side // GRAIN)
        pixels = torch.arange(self.side, device=state["t"].device)
        shift = (state["drift"] * (state["t"] - 1)[:, None]).round().long()  # (N, 2)
        xs, ys = ((pixels + shift[:, i, None]) // GRAIN % squares for i in (0, 1))
        square = (ys[:, :, None] * squares + xs[:, None, :]).view(count, -1)
        canvas = state["ground"].gather(1, square)
        corner, steps = self.corners(state), torch.arange(ITEM, device=pixels.device)
        xs, ys = corner[..., 0, None] + steps, corner[..., 1, None] + steps
        index = (ys[..., :, None] * self.side + xs[..., None, :]).view(count, 1 + self.others, -1)
        for item in reversed(range(1 + self.others)):  # the target over the others
            place, stencil = index[:, item], self._stencils[item].expand(count, -1)
            canvas.scatter_(1, place, torch.maximum(canvas.gather(1, place), stencil))
        return canvas.view(count, 1, self.side, self.side)

    def step(self, state: State, deed: Deed) -> Outcome:
        """The term `tracking`: 1 where, all having moved, the fovea holds the target's center."""
        state = {**state, "t": deed.t}
        target = self.corners(state)[:, 0] + ITEM // 2
        held = fixated(deed.location, target, self.fovea, self.side) & deed.counts
        state["held"] = state["held"] + held
        return Outcome(state, {"tracking": held.float()}, state["held"] >= SHARE * (deed.t - 1))

    def truth(self, state: State) -> dict[str, Tensor]:
        """`target`, the location of its center."""
        return {"target": to_locations(self.corners(state)[:, 0] + ITEM / 2, self.side, self.side)}


def make_track(
    options: GazeOptions,
    device: Any,
    *,
    side: int = 64,
    others: int = 3,
    speed: float = 4.0,
    drift: float = 2.0,
) -> Track:
    """The task of `saccade/Track-v0`."""
    return Track(side, others, speed, drift, options.size, device)


class TrackEnv(GazeEnv):
    """Keep your fovea on a target that moves in a moving scene.

    ## Description
    A white disc moves over a drifting grey ground and bounces off the edges; rings of its size
    and brightness move about likewise. Each step all of it moves before the next glimpse is
    taken, so to stay on target means to look where it will be.

    ## Action Space
    As `SearchEnv`: gaze alone, `Box(-1, 1, (2,), float32)`; other spaces by `action_mode`.

    ## Observation Space
    As `SearchEnv`: a Dict of `glimpse` (scales, 1, size, size), `gaze` (2,) and `t` (1,).

    ## Rewards
    1 for each step after which the finest window holds the center of the target
    (`info["reward_tracking"]`), and -`price` for each glimpse after the first.

    ## Starting State
    A new scene; the first glimpse is at the center, or uniformly random (`first`).

    ## Episode End
    Terminates when glimpse `glimpses` is taken, never earlier, and is never truncated.
    `info["is_success"]` says whether the target was held in at least 75 % of the steps;
    `info["target"]` holds its location, for analysis, not for agents.

    ## Arguments
    Those of `SearchEnv` without `items`; `stop` is "budget". These are new or begin from other
    values:

    | name     | default | meaning                                                           |
    |----------|---------|-------------------------------------------------------------------|
    | others   | 3       | how many rings there are                                          |
    | speed    | 4.0     | highest speed of disc and rings on each axis, in pixels a step    |
    | drift    | 2.0     | highest speed of the ground on each axis, in pixels a step        |
    | glimpses | 32      | glimpses in an episode                                            |

    ## Version History
    * v0: first version.
    """

    make_task = staticmethod(make_track)
    defaults = GazeOptions(size=12, scales=3, glimpses=32)


class TrackVectorEnv(GazeVectorEnv):
    """`TrackEnv`, many rows at once."""

    face = TrackEnv
