"""Worlds to look at: a batched torch core, tasks, and Gymnasium environments around them."""

from saccade.envs.catch import Catch, CatchEnv, CatchVectorEnv
from saccade.envs.classify import Classify
from saccade.envs.core import GazeCore, Observation, Result
from saccade.envs.digits import (
    ClutteredDigitsEnv,
    ClutteredDigitsVectorEnv,
    DigitsEnv,
    DigitsVectorEnv,
    ImageClassifyEnv,
    ImageClassifyVectorEnv,
)
from saccade.envs.foveate import FoveatedObservation, FoveateEnv
from saccade.envs.foveate_vector import FoveateVectorEnv, VectorFoveatedObservation
from saccade.envs.options import GazeOptions
from saccade.envs.search import Search, SearchEnv, SearchVectorEnv
from saccade.envs.single import GazeEnv
from saccade.envs.task import Deed, Outcome, State, Task
from saccade.envs.track import Track, TrackEnv, TrackVectorEnv
from saccade.envs.vector import GazeVectorEnv

__all__ = [
    "Catch",
    "CatchEnv",
    "CatchVectorEnv",
    "Classify",
    "ClutteredDigitsEnv",
    "ClutteredDigitsVectorEnv",
    "Deed",
    "DigitsEnv",
    "DigitsVectorEnv",
    "FoveateEnv",
    "FoveateVectorEnv",
    "FoveatedObservation",
    "GazeCore",
    "GazeEnv",
    "GazeOptions",
    "GazeVectorEnv",
    "ImageClassifyEnv",
    "ImageClassifyVectorEnv",
    "Observation",
    "Outcome",
    "Result",
    "Search",
    "SearchEnv",
    "SearchVectorEnv",
    "State",
    "Task",
    "Track",
    "TrackEnv",
    "TrackVectorEnv",
    "VectorFoveatedObservation",
]
