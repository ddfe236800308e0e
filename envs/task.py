"""What a world to look at is: the protocol that every task keeps, and the words of its steps.

A task is a pure description: it holds options and data, never the state of an episode. All that
changes in an episode is a `State`, a dict of tensors with one entry a row, which the core keeps
and hands to the task. Randomness comes from the rows' keys alone (`saccade.counter`), so a batch
of N rows lives the episodes of N singles.
"""

from typing import Literal, NamedTuple, Protocol

from torch import Tensor

State = dict[str, Tensor]  # each (N, ...): what a task knows about its rows
Stop = Literal["budget", "decide", "correct"]


class Deed(NamedTuple):
    """What N rows do in a step.

    Attributes:
        location: `(N, 2)` float32 in [-1, 1], where each row looks next.
        decision: `(N,)` int64 in [0, K), or -1 for none.
        counts: `(N,)` bool, whether the decision counts in this step.
        t: `(N,)` int64, glimpses taken once this step is done.
    """

    location: Tensor
    decision: Tensor
    counts: Tensor
    t: Tensor


class Outcome(NamedTuple):
    """What comes of it.

    Attributes:
        state: The rows' new state.
        terms: Reward by name, each `(N,)` float32.
        success: `(N,)` bool, whether the row's aim is reached, as far as this step tells.
    """

    state: State
    terms: dict[str, Tensor]
    success: Tensor


class Task(Protocol):
    """A world to look at: what is shown, and what a decision or a fixation is worth."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        ...

    @property
    def decisions(self) -> int:
        """K, number of decisions to choose from; 0 where gaze is all there is to do."""
        ...

    @property
    def answers(self) -> bool:
        """Whether an episode closes with an answer, in a step of its own that looks no more."""
        ...

    @property
    def moving(self) -> bool:
        """Whether the scene changes from step to step."""
        ...

    @property
    def stops(self) -> tuple[Stop, ...]:
        """How episodes of this task may end; all end when the budget is spent."""
        ...

    def begin(self, key: Tensor, index: Tensor | None = None) -> State:
        """The state of N new episodes, from keys `(N,)` and, if told, items `(N,)`."""
        ...

    def frames(self, state: State) -> Tensor:
        """`(N, C, H, W)` uint8, what N rows of such a state look like."""
        ...

    def step(self, state: State, deed: Deed) -> Outcome:
        """One step of N rows; a moving world moves on before the next glimpse is taken."""
        ...

    def truth(self, state: State) -> dict[str, Tensor]:
        """What is true of N rows now, by name, each `(N, ...)`: for analysis, not for agents."""
        ...
