"""saccade: agents that see as eyes do.

A retina takes a sharp small patch and coarser wider ones around one point; a recurrent core
remembers across saccades; a policy trained by REINFORCE decides where to look next.

Importing this registers the environments of `saccade.envs` with Gymnasium, by name alone.
"""

import os

# Threads that wait for each other (libgomp's, read when torch is loaded) spin a moment, then sleep;
# by default they spin so long that beside a busy program two threads take twice as long as one.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import gymnasium

from saccade.agent import Agent, load
from saccade.imageset import ImageSet
from saccade.network import GazeNetwork
from saccade.retina import Retina, Scene
from saccade.scanpath import Scanpath
from saccade.scenes import SceneMaker

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "GazeNetwork",
    "ImageSet",
    "Retina",
    "Scanpath",
    "Scene",
    "SceneMaker",
    "load",
]

# By id: the single environment and the vector environment.
ENVIRONMENTS = {
    "saccade/Digits-v0": ("digits:DigitsEnv", "digits:DigitsVectorEnv"),
    "saccade/ClutteredDigits-v0": ("digits:ClutteredDigitsEnv", "digits:ClutteredDigitsVectorEnv"),
    "saccade/ImageClassify-v0": ("digits:ImageClassifyEnv", "digits:ImageClassifyVectorEnv"),
    "saccade/Search-v0": ("search:SearchEnv", "search:SearchVectorEnv"),
    "saccade/Track-v0": ("track:TrackEnv", "track:TrackVectorEnv"),
    "saccade/Catch-v0": ("catch:CatchEnv", "catch:CatchVectorEnv"),
    "saccade/Foveate-v0": ("foveate:FoveateEnv", "foveate_vector:FoveateVectorEnv"),
}

for _id, (_single, _vector) in ENVIRONMENTS.items():
    _rooms = (f"saccade.envs.{_single}", f"saccade.envs.{_vector}")
    gymnasium.register(_id, _rooms[0], vector_entry_point=_rooms[1])
