"""A course of play that can be repeated: seeds, actions and partial resets fixed beforehand."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from saccade.testing.contract import (
    call,
    demand,
    device_of,
    difference,
    freeze,
    scribble,
    to_tensors,
)

Rows = NDArray[np.bool_]


def rows_of(space: gymnasium.Space[Any], batch: Any, rows: Rows) -> tuple[Any, ...]:
    """The chosen rows of a batch, each as a single environment would give it."""
    each = iterate(space, batch)
    return tuple(row for row, wanted in zip(each, rows, strict=True) if wanted)


@dataclass(frozen=True)
class Turn:
    """What one call gave.

    Attributes:
        name: The call, such as "step 3".
        rows: `(N,)` which rows the call was for.
        pending: `(N,)` which of them it only had to reset (NEXT_STEP).
        raw: What the call returned, the arrays themselves.
        observation: A copy in NumPy, as all that follows.
        reward: `(N,)`; empty for a reset, as the flags.
        terminated: `(N,)`.
        truncated: `(N,)`.
        info: The info.
    """

    name: str
    rows: Rows
    pending: Rows
    raw: tuple[Any, ...]
    observation: Any
    reward: NDArray[Any]
    terminated: NDArray[Any]
    truncated: NDArray[Any]
    info: dict[str, Any]

    @property
    def is_step(self) -> bool:
        """Whether the call was a step, not a reset."""
        return len(self.raw) == 5

    @property
    def ended(self) -> Rows:
        """`(N,)` which rows ended in this step."""
        if not self.is_step:
            return np.zeros(len(self.rows), np.bool_)
        return np.asarray(self.terminated | self.truncated, np.bool_)


class Script:
    """Actions drawn once, and the rules by which rows are reset, for any number of plays.

    A play resets, steps once, and resets every other row by mask, so that even episodes of one
    length come to end at different times; then it steps on. Under DISABLED it resets each row
    that has ended, by mask.

    Args:
        env: The environment that tells the spaces, the number of rows and the mode.
        seed: Seed of the plays and of the actions.
        steps: How many steps a play has.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], seed: int, steps: int) -> None:
        self.count, self.seed = env.num_envs, seed
        self.mode: AutoresetMode = env.metadata["autoreset_mode"]
        self.action_space, self.single = env.action_space, env.single_action_space
        space = copy.deepcopy(env.action_space)
        space.seed(seed)
        self.actions = [space.sample() for _ in range(steps)]
        odd = np.arange(self.count) % 2 == 1
        self.staggered = odd if self.count > 1 else ~odd

    def play(
        self,
        env: VectorEnv[Any, Any, Any],
        *,
        stagger: bool = True,
        disturb: bool = False,
        write: bool = False,
    ) -> Iterator[Turn]:
        """Plays, one call to `env` at a time.

        Args:
            env: The environment, or another with the same spaces.
            stagger: Whether every other row is reset after the first step.
            disturb: Whether rows that a step only resets are given other actions.
            write: Whether all that was returned, and the action, is written over at once.
        """
        everyone, nobody = np.ones(self.count, np.bool_), np.zeros(self.count, np.bool_)
        result = call("reset", f"reset(seed={self.seed})", env.reset, seed=self.seed)
        device, pending = device_of(result), nobody
        yield _turn("reset", "the reset", everyone, nobody, result, write)
        for t, action in enumerate(self.actions):
            if disturb and pending.any():
                action = self._mix(action, self.actions[t - 1], pending)
            given = hand_over(action, device)
            result = call("step", f"step {t}", env.step, given)
            changed = difference(freeze(given), freeze(action))
            demand(changed is None, "action", f"step {t} wrote into its action; copy it first")
            turn = _turn("step", f"step {t}", everyone, pending, result, write)
            if write:
                scribble(given)
            yield turn
            pending = turn.ended if self.mode is AutoresetMode.NEXT_STEP else nobody
            mask = turn.ended if self.mode is AutoresetMode.DISABLED else nobody
            if stagger and t == 0:
                mask = mask | self.staggered
            if mask.any():
                result = reset_rows(env, mask)
                name = f"the masked reset after step {t}"
                yield _turn("reset-mask", name, mask, nobody, result, write)
                pending = pending & ~mask

    def _mix(self, action: Any, other: Any, rows: Rows) -> Any:
        """`action` with the chosen rows taken from `other`."""
        pairs = zip(
            iterate(self.action_space, action), iterate(self.action_space, other), strict=True
        )
        mixed = [two if row else one for (one, two), row in zip(pairs, rows, strict=True)]
        empty: Any = create_empty_array(self.single, n=self.count)
        return concatenate(self.single, mixed, empty)


def hand_over(action: Any, device: torch.device | None) -> Any:
    """A copy of an action, in tensors where the environment speaks torch."""
    return copy.deepcopy(action) if device is None else to_tensors(action, device)


def _turn(clause: str, name: str, rows: Rows, pending: Rows, raw: Any, write: bool) -> Turn:
    """Copies what a call returned."""
    wanted = "(observation, info)"
    if clause == "step":
        wanted = "(observation, reward, terminated, truncated, info)"
    kept = isinstance(raw, tuple) and len(raw) == len(wanted.split(","))
    got = f"{len(raw)} of {type(raw).__name__}" if hasattr(raw, "__len__") else repr(raw)
    message = f"{name} must return {wanted}, a tuple with a dict for info, got {got}"
    demand(kept and isinstance(raw[-1], dict), clause, message)
    frozen, nothing = freeze(raw), np.empty(0)
    reward, terminated, truncated = frozen[1:4] if clause == "step" else (nothing,) * 3
    if write:
        scribble(raw)
    return Turn(name, rows, pending, raw, frozen[0], reward, terminated, truncated, frozen[-1])


def reset_rows(env: VectorEnv[Any, Any, Any], rows: Rows, seed: int | None = None) -> Any:
    """Resets the chosen rows, by `reset_mask`."""
    what = f"reset(seed={seed}, options={{'reset_mask': {rows}}})"
    return call("reset-mask", what, env.reset, seed=seed, options={"reset_mask": rows.copy()})


def expect_same(
    clause: str, mend: str, expected: Iterable[Turn], got: Iterable[Turn], tolerance: float = 0.0
) -> None:
    """Demands that a play gives turn for turn what another gave; infos are not compared."""
    for one, other in zip(expected, got, strict=False):
        for name in ("observation", "reward", "terminated", "truncated"):
            found = difference(getattr(other, name), getattr(one, name), tolerance)
            demand(found is None, clause, f"{one.name}: {name}{found}; {mend}")
