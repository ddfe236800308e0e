"""The environment's core: N episodes of looking, batched, in torch, on any device.

Physics stands here once. The trainer uses it directly; the Gymnasium faces wrap it (the single
environment is a batch of one). The core does not know Gymnasium, nor that anyone learns.

An episode of T glimpses: `reset` gives glimpse 1 at the first location, each step another one,
where its gaze says. Where a task closes with an answer, the T-th step carries only that and its
gaze is ignored; elsewhere the step that takes glimpse T is the last. Rows end independently and
are reset by number, each with its own key, so that row i of a batch with seed s lives the same
episodes as a single environment with seed s + i. No step waits for the device.
"""

from functools import reduce
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from saccade.counter import fold, uniform
from saccade.envs.task import Deed, State, Stop, Task
from saccade.retina import Retina, Scene

First = Literal["center", "random"]


class Observation(NamedTuple):
    """What an agent is given, for N rows.

    Attributes:
        glimpse: `(N, S, C, g, g)` float32.
        gaze: `(N, 2)` float32, where it was taken, (x, y) in [-1, 1].
        t: `(N,)` int64, glimpses taken so far, 1..T.
    """

    glimpse: Tensor
    gaze: Tensor
    t: Tensor


class Result(NamedTuple):
    """What a step comes to, for N rows.

    Attributes:
        reward: `(N,)` float32, the sum of `terms`.
        terms: Reward by name, each `(N,)` float32.
        terminated: `(N,)` bool, whether the episode has ended.
        success: `(N,)` bool, whether its aim is reached; counts where it has ended.
        clipped: `(N,)` bool, whether the gaze asked for lay outside [-1, 1] and was clipped.
    """

    reward: Tensor
    terms: dict[str, Tensor]
    terminated: Tensor
    success: Tensor
    clipped: Tensor


class GazeCore:
    """N rows of looking at a task's scenes through a retina.

    Attributes:
        rows: N = scenes * rollouts; rows of a scene are neighbors.
        shared: Whether the rows of a scene also share its pixels in memory. They do where they
            begin and end together: in a scene that keeps still, seen until the budget is spent.
        scene: The scenes as prepared for the retina.
        image_index: `(N,)` int64, which of them each row looks at; None where it is its own.
        state: What the task knows about each row.
        location: `(N, 2)` float32, where each row looks.
        t: `(N,)` int64, glimpses taken, 1..T.
        over: `(N,)` bool, whether the row's episode has ended; it then stays as it is.

    Args:
        task: What is shown.
        retina: The sensor.
        glimpses: T, glimpses in an episode.
        scenes: Number of scenes at a time.
        rollouts: M, rows that live the same series of scenes.
        first: Where the first glimpse goes when `begin` is not told: "center" or "random".
        stop: When an episode ends before its budget is spent: never ("budget"), when a decision
            is made ("decide"), or when the aim is reached ("correct").
        price: What a glimpse after the first costs, taken off the reward (term `price`).
        seed: The rows of scene i draw their episodes from seed + i.
        device: Where everything lives.

    Raises:
        ValueError: If a number is impossible or the task cannot stop so.
    """

    def __init__(
        self,
        task: Task,
        retina: Retina,
        glimpses: int,
        scenes: int,
        *,
        rollouts: int = 1,
        first: First = "center",
        stop: Stop = "budget",
        price: float = 0.0,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, value in (("glimpses", glimpses), ("scenes", scenes), ("rollouts", rollouts)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if not task.answers and glimpses < 2:
            raise ValueError("glimpses must be 2 or more: the first is taken before any step")
        if stop not in task.stops:
            raise ValueError(f"stop is {' or '.join(task.stops)} for this task, got {stop!r}")
        if first not in ("center", "random"):
            raise ValueError(f"first is center or random, got {first!r}")
        if not 0 <= price < float("inf"):
            raise ValueError(f"price must be 0 or more, got {price}")
        self.task, self.retina, self.glimpses = task, retina, glimpses
        self.rollouts, self.rows = rollouts, scenes * rollouts
        self.first, self.stop, self.price = first, stop, price
        self.device = torch.device(device)
        self.shared = rollouts > 1 and stop == "budget" and not task.moving
        self._every = torch.arange(self.rows, device=device)
        self.image_index = self._every // rollouts if self.shared else None
        self.scene: Scene | None = None
        self.state: State = {}
        self.location = torch.zeros(self.rows, 2, device=device)
        self.t = torch.zeros(self.rows, dtype=torch.int64, device=device)
        self.over = torch.ones(self.rows, dtype=torch.bool, device=device)
        self.seed(seed + self._every // rollouts)

    def seed(self, seeds: Tensor, rows: Tensor | None = None) -> None:
        """Starts the rows' series of episodes anew.

        Args:
            seeds: int64, one for each of the rows.
            rows: Their numbers; all without it.
        """
        if rows is None:
            self.key, self.episode = seeds.clone(), torch.zeros_like(seeds)
        else:
            self.key[rows], self.episode[rows] = seeds, 0

    def begin(
        self,
        rows: Tensor | None = None,
        *,
        index: Tensor | None = None,
        key: Tensor | None = None,
        location: Tensor | None = None,
    ) -> None:
        """Begins new episodes.

        Args:
            rows: int64 numbers of the rows that begin, ascending; where scenes are shared, all
                the rows of a scene. Everyone without it.
            index: Which item of the task each of them shows; drawn from the key without it.
            key: Random key of each, the same for the rows of a scene; the next of its series
                without it.
            location: First locations, `(rows that begin, 2)`; by the rule `first` without it.
        """
        everyone = rows is None or len(rows) == self.rows
        if self.scene is None and not everyone:
            raise RuntimeError("the first reset is of all rows")
        chosen = self._every if rows is None else rows
        if key is None:
            key = fold(self.key[chosen], self.episode[chosen])
            self.episode[chosen] += 1
        state = self.task.begin(key, index)
        if self.shared:
            slots = chosen[:: self.rollouts] // self.rollouts
            frames = self.task.frames({name: x[:: self.rollouts] for name, x in state.items()})
        else:
            slots, frames = chosen, self.task.frames(state)
        if location is None:
            location = torch.zeros(len(chosen), 2, device=self.device)
            if self.first == "random":
                own = fold(key, chosen % self.rollouts)
                location = uniform(fold(own, "first"), 2) * 2 - 1
        location = location.clamp(-1, 1)
        if everyone:
            self.state, self.location = state, location
            self.t = torch.ones(self.rows, dtype=torch.int64, device=self.device)
            self.over = torch.zeros(self.rows, dtype=torch.bool, device=self.device)
        else:
            for name, value in state.items():
                self.state[name] = self.state[name].index_copy(0, chosen, value)
            self.location = self.location.index_copy(0, chosen, location)
            self.t = self.t.index_fill(0, chosen, 1)
            self.over = self.over.index_fill(0, chosen, False)
        self._show(frames, None if everyone else slots)

    def observe(self) -> Observation:
        """Looks where each row is looking; changes nothing."""
        if self.scene is None:
            raise RuntimeError("call reset before looking")
        glimpse = self.retina.look(self.scene, self.location, self.image_index)
        return Observation(glimpse, self.location, self.t)

    def move(self, gaze: Tensor, decision: Tensor) -> Result:
        """Moves the gaze of every row, or ends its episode.

        Args:
            gaze: `(N, 2)` float32, where to look next, (x, y); clipped to [-1, 1].
            decision: `(N,)` int64 in [0, K), or -1 for none.
        """
        if self.scene is None:
            raise RuntimeError("call reset before looking")
        task, alive = self.task, ~self.over
        inside = gaze.clamp(-1, 1)
        if task.answers:
            closing = self.t >= self.glimpses
            if self.stop == "decide":
                closing = closing | (decision >= 0)
            counts = alive if self.stop == "correct" else closing & alive
            looking = alive & ~closing
            t = self.t + looking
            outcome = task.step(self.state, Deed(inside, decision, counts, t))
            if self.stop == "correct":
                closing = closing | outcome.success
                looking = alive & ~closing
                t = self.t + looking
        else:
            looking, t = alive, self.t + alive
            outcome = task.step(self.state, Deed(inside, decision, alive, t))
            closing = t >= self.glimpses
            if self.stop == "correct":
                closing = closing | outcome.success
        terms = {name: term * alive for name, term in outcome.terms.items()}
        if self.price:
            terms["price"] = -self.price * looking.float()
        reward = reduce(torch.add, terms.values())
        clipped = (inside != gaze).any(1) & looking
        self.location = torch.where(looking[:, None], inside, self.location)
        self.t, self.over, self.state = t, closing | self.over, outcome.state
        if task.moving:
            self._show(task.frames(self.state), None)
        return Result(reward, terms, self.over, outcome.success, clipped)

    def _show(self, frames: Tensor, slots: Tensor | None) -> None:
        """Puts pixels before the retina, of all stored scenes or of some."""
        if self.scene is None:
            looks = 1 if self.task.moving else self.glimpses * (self.rollouts if self.shared else 1)
            self.scene = self.retina.prepare(frames, looks=looks)
        else:
            self.scene.replace(frames, slots)

    def reset(
        self,
        rows: Tensor | None = None,
        *,
        index: Tensor | None = None,
        key: Tensor | None = None,
        location: Tensor | None = None,
    ) -> Observation:
        """`begin`, then `observe`: rows that go on keep their place and see it again."""
        self.begin(rows, index=index, key=key, location=location)
        return self.observe()

    def step(self, gaze: Tensor, decision: Tensor) -> tuple[Observation, Result]:
        """`move`, then `observe`."""
        result = self.move(gaze, decision)
        return self.observe(), result
