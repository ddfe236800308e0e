"""Wrappers that note what reaches an environment and what it gives, in copies."""

from typing import Any

import gymnasium
from gymnasium.vector import VectorWrapper

from saccade.testing.contract import freeze


class Spy(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes the calls of a single environment.

    Attributes:
        calls: The action, None for a reset, and what was returned, of every call.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.calls: list[tuple[Any, Any]] = []

    def reset(self, **kwargs: Any) -> Any:
        """Resets, and notes it."""
        result = self.env.reset(**kwargs)
        self.calls.append((None, freeze(result)))
        return result

    def step(self, action: Any) -> Any:
        """Steps, and notes it."""
        given, result = freeze(action), self.env.step(action)
        self.calls.append((given, freeze(result)))
        return result


class VectorSpy(VectorWrapper):
    """Notes the calls of a vector environment, as `Spy`."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.calls: list[tuple[Any, Any]] = []

    reset: Any = Spy.reset
    step: Any = Spy.step
