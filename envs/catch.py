"""Catch: a ball falls, a paddle must be under it; the game of Mnih et al. 2014, section 4.2."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saccade.counter import fold, uniform
from saccade.envs.options import GazeOptions
from saccade.envs.single import GazeEnv
from saccade.envs.task import Deed, Outcome, State, Stop
from saccade.envs.track import bounce
from saccade.envs.vector import GazeVectorEnv
from saccade.geometry import to_locations

PADDLE = 2  # width in pixels


@dataclass(frozen=True)
class Catch:
    """Pays 1 if the ball lands on the paddle.

    Attributes:
        side: Side of the screen in pixels.
        glimpses: T; the ball starts in the top row and is in the bottom row at glimpse T.
        drift: Highest sideways speed of the ball in pixels a row; it bounces off the walls.

    Raises:
        ValueError: If the screen is too small or the speed negative.
    """

    side: int = 24
    glimpses: int = 24
    drift: float = 1.0

    decisions = 3  # left, stay, right
    answers = False
    moving = True
    stops: tuple[Stop, ...] = ("budget",)

    def __post_init__(self) -> None:
        if self.side <= PADDLE or self.drift < 0:
            raise ValueError(f"side must be over {PADDLE} and drift 0 or more, got {self}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the screen."""
        return 1, self.side, self.side

    def begin(self, key: Tensor, index: Tensor | None = None) -> State:
        """Draws where the ball starts and how it drifts. An index only varies the key."""
        if index is not None:
            key = fold(key, index)
        draw = uniform(key, 2)
        return {
            "start": draw[:, 0] * self.side,
            "drift": (draw[:, 1] * 2 - 1) * self.drift,
            "paddle": torch.full_like(key, (self.side - PADDLE) // 2),
            "t": torch.ones_like(key),
        }

    def ball(self, state: State) -> tuple[Tensor, Tensor]:
        """`(N,)` int64 pixels (x, y) of the ball now."""
        share = (state["t"] - 1).double() / (self.glimpses - 1)
        y = (share * (self.side - 1)).round().long()
        x = bounce(state["start"] + state["drift"] * y, self.side - 1e-3).long()
        return x, y

    def frames(self, state: State) -> Tensor:
        """Screens `(N, 1, side, side)` uint8: ball and paddle white on black."""
        x, y = self.ball(state)
        bottom = (self.side - 1) * self.side + state["paddle"]
        lit = torch.stack([y * self.side + x, *(bottom + i for i in range(PADDLE))], 1)
        canvas = torch.zeros(len(x), self.side**2, dtype=torch.uint8, device=x.device)
        return canvas.scatter_(1, lit, 255).view(-1, 1, self.side, self.side)

    def step(self, state: State, deed: Deed) -> Outcome:
        """Moves the paddle, then the ball; the term `catch` is paid in the bottom row."""
        move = torch.where(deed.decision < 0, 0, deed.decision - 1)
        paddle = (state["paddle"] + move).clamp(0, self.side - PADDLE)
        state = {**state, "paddle": paddle, "t": deed.t}
        x, _ = self.ball(state)
        caught = (x >= paddle) & (x < paddle + PADDLE) & (deed.t >= self.glimpses) & deed.counts
        return Outcome(state, {"catch": caught.float()}, caught)

    def truth(self, state: State) -> dict[str, Tensor]:
        """`ball`, the location of its center."""
        center = torch.stack(self.ball(state), 1) + 0.5
        return {"ball": to_locations(center, self.side, self.side)}


def make_catch(options: GazeOptions, device: Any, *, side: int = 24, drift: float = 1.0) -> Catch:
    """The task of `saccade/Catch-v0`."""
    return Catch(side, options.glimpses, drift)


class CatchEnv(GazeEnv):
    """Catch a falling ball with a paddle, seeing the game through a retina.

    ## Description
    The game of Mnih et al. 2014 ("Recurrent Models of Visual Attention", section 4.2): a ball of
    one pixel falls over a screen of 24x24, a paddle of two pixels moves along the bottom. Gaze
    and paddle are moved at once, at every step. Only the sharpest window shows the ball exactly,
    so it must be followed with the eye. Delta from the paper, which leaves it open: the ball
    drifts sideways at a random speed and bounces off the walls.

    ## Action Space
    A gaze and one of K = 3 decisions: left, stay, right. `action_mode="box"`: `Box(-1, 1, (5,),
    float32)`, gaze (x, y), then a score for each decision; "multidiscrete": `MultiDiscrete([G, G,
    3])`; "discrete": `Discrete(G * G * 3)`, place * 3 + decision; "dict": `Dict(gaze=Box,
    decision=Discrete(3))`. With `gaze_mode="relative"` a gaze of ±1 moves by `reach`.

    ## Observation Space
    As `SearchEnv`: a Dict of `glimpse` (scales, 1, size, size), `gaze` (2,) and `t` (1,).

    ## Rewards
    1 if the ball lands on the paddle, otherwise 0 (`info["reward_catch"]`), and -`price` for each
    glimpse after the first.

    ## Starting State
    The ball in the top row, the paddle in the middle; the first glimpse is at the center, or
    uniformly random (`first`).

    ## Episode End
    Terminates when glimpse `glimpses` is taken and the ball is in the bottom row. It is never
    truncated. `info["is_success"]` says whether it was caught; `info["ball"]` holds the ball's
    location, for analysis, not for agents.

    ## Arguments
    Those of `SearchEnv` without `items`; `stop` is "budget". These are new or begin from other
    values:

    | name     | default | meaning                                                             |
    |----------|---------|---------------------------------------------------------------------|
    | side     | 24      | side of the screen in pixels                                        |
    | drift    | 1.0     | highest sideways speed of the ball, in pixels a row                 |
    | size     | 6       | side of a glimpse in cells                                          |
    | glimpses | 24      | glimpses in an episode; the ball falls just so fast                 |

    ## Version History
    * v0: first version.
    """

    make_task = staticmethod(make_catch)
    defaults = GazeOptions(size=6, scales=3, glimpses=24)


class CatchVectorEnv(GazeVectorEnv):
    """`CatchEnv`, many rows at once."""

    face = CatchEnv
