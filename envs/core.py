"""The environment's core: N episodes of looking, batched, in torch, on any device.

Physics stands here once. The trainer uses it directly; the Gymnasium faces wrap it (the single
environment is a batch of one). The core does not know Gymnasium, nor that anyone learns.

An episode of T glimpses: `reset` gives glimpse 1 at the first location; the next T - 1 steps
look where their gaze says; the T-th step carries only the decision and ends the episode, its
gaze is ignored. Rows end independently and are reset by number, each with its own key, so that
row i of a batch with seed s lives the same episodes as a single environment with seed s + i.
No step waits for the device.
"""

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from saccade.counter import fold, uniform
from saccade.retina import Retina, Scene


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


class Step(NamedTuple):
    """What a step gives, for N rows.

    Attributes:
        observation: The next observation; of the row's last glimpse where it has ended.
        reward: `(N,)` float32, the sum of `terms`.
        terms: Reward by name, each `(N,)` float32.
        terminated: `(N,)` bool, whether the episode has ended.
        clipped: `(N,)` bool, whether the gaze asked for lay outside [-1, 1] and was clipped.
    """

    observation: Observation
    reward: Tensor
    terms: dict[str, Tensor]
    terminated: Tensor
    clipped: Tensor


class Task(Protocol):
    """A world to look at: what is shown, and what a decision is worth."""

    @property
    def decisions(self) -> int:
        """K, number of decisions to choose from."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        ...

    def choose(self, key: Tensor) -> Tensor:
        """`(N,)` int64, which item a key `(N,)` stands for."""
        ...

    def scenes(self, index: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Scenes `(N, C, H, W)` and their targets `(N,)` int64, of items and keys `(N,)`."""
        ...

    def reward(self, target: Tensor, decision: Tensor, ended: Tensor) -> dict[str, Tensor]:
        """Reward terms by name, each `(N,)` float32, of a step that ended an episode or not."""
        ...


class GazeCore:
    """N rows of looking at a task's scenes through a retina.

    Attributes:
        scene: The scenes as prepared for the retina, one for each group of rows.
        target: `(B,)` int64, the scenes' targets.
        image_index: `(N,)` int64, which scene each row looks at.

    Args:
        task: What is shown.
        retina: The sensor.
        glimpses: T, glimpses in an episode.
        scenes: B, number of scenes at a time.
        rollouts: M, rows that share a scene; N = B * M, rows of a scene are neighbors.
        first: Where the first glimpse goes when `reset` is not told: "center" or "random".
        seed: Row i draws its episodes from seed + i (with rollouts, scene i does).
        device: Where everything lives.
    """

    def __init__(
        self,
        task: Task,
        retina: Retina,
        glimpses: int,
        scenes: int,
        *,
        rollouts: int = 1,
        first: Literal["center", "random"] = "center",
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, value in (("glimpses", glimpses), ("scenes", scenes), ("rollouts", rollouts)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        self.task, self.retina, self.glimpses = task, retina, glimpses
        self.scenes, self.rollouts, self.first = scenes, rollouts, first
        self.rows = scenes * rollouts
        self.device = torch.device(device)
        self.image_index = torch.arange(scenes, device=device).repeat_interleave(rollouts)
        self.scene: Scene | None = None
        self.target = torch.zeros(scenes, dtype=torch.int64, device=device)
        self.location = torch.zeros(self.rows, 2, device=device)
        self.t = torch.zeros(self.rows, dtype=torch.int64, device=device)
        self.episode = torch.zeros(scenes, dtype=torch.int64, device=device)
        self.seed(seed)

    def seed(self, seed: int | Tensor) -> None:
        """Starts every scene's series of episodes anew, from `seed + i` or `(B,)` seeds."""
        rows = torch.arange(self.scenes, device=self.device)
        self.key = seed + rows if isinstance(seed, int) else seed.to(self.device)
        self.episode = torch.zeros_like(self.episode)

    def reset(
        self,
        which: Tensor | None = None,
        *,
        index: Tensor | None = None,
        key: Tensor | None = None,
        location: Tensor | None = None,
    ) -> Observation:
        """Begins new episodes and takes their first glimpse.

        Args:
            which: int64 numbers of the scenes whose rows begin anew; all without it.
            index: Which item of the task each of them shows; drawn from the key without it.
            key: Random key of each; the next of its series without it.
            location: First locations, `(rows that begin, 2)`; by the rule `first` without it.

        Returns:
            The observation of all N rows; rows that go on keep their place and see it again.
        """
        if which is None:
            which = torch.arange(self.scenes, device=self.device)
        if key is None:
            key = fold(self.key[which], self.episode[which])
        if index is None:
            index = self.task.choose(fold(key, "item"))
        images, target = self.task.scenes(index, fold(key, "scene"))
        ready = self.retina.prepare(images)
        if self.scene is None or len(which) == self.scenes:
            self.scene, self.target = ready, target
        else:
            self.scene.images[which], self.scene.ready[which] = ready.images, ready.ready
            self.target[which] = target
        self.episode[which] += 1
        members = torch.arange(self.rollouts, device=self.device)
        rows = (which[:, None] * self.rollouts + members).view(-1)
        if location is None:
            location = torch.zeros(len(rows), 2, device=self.device)
            if self.first == "random":
                row_key = fold(key[:, None], members).view(-1)
                location = uniform(fold(row_key, "first"), 2) * 2 - 1
        self.location = self.location.index_copy(0, rows, location.clamp(-1, 1))
        self.t = self.t.index_fill(0, rows, 1)
        return self.observe()

    def observe(self) -> Observation:
        """Looks once more where each row is looking; changes nothing."""
        if self.scene is None:
            raise RuntimeError("call reset before looking")
        glimpse = self.retina.look(self.scene, self.location, self.image_index)
        return Observation(glimpse, self.location, self.t)

    def step(self, gaze: Tensor, decision: Tensor) -> Step:
        """Moves the gaze of every row, or ends its episode if all its glimpses are taken.

        Args:
            gaze: `(N, 2)` float32, where to look next, (x, y); clipped to [-1, 1].
            decision: `(N,)` int64 in [0, K); counts in a row's last step only.

        Returns:
            The step. A row that has ended stays as it is until it is reset.
        """
        ended = self.t >= self.glimpses
        inside = gaze.clamp(-1, 1)
        clipped = (inside != gaze).any(1) & ~ended
        self.location = torch.where(ended[:, None], self.location, inside)
        self.t = torch.where(ended, self.t, self.t + 1)
        terms = self.task.reward(self.target[self.image_index], decision, ended)
        reward = torch.stack(list(terms.values())).sum(0)
        return Step(self.observe(), reward, terms, ended, clipped)
