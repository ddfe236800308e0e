"""Worlds to look at: a batched torch core, tasks, and Gymnasium environments around them."""

from saccade.envs.classify import Classify
from saccade.envs.core import GazeCore, Observation, Step, Task
from saccade.envs.single import ClutteredDigitsEnv, GazeEnv

__all__ = [
    "Classify",
    "ClutteredDigitsEnv",
    "GazeCore",
    "GazeEnv",
    "Observation",
    "Step",
    "Task",
]
