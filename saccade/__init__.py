"""saccade: agents that see as eyes do.

A retina takes a sharp small patch and coarser wider ones around one point; a recurrent core
remembers across saccades; a policy trained by REINFORCE decides where to look next.

Importing this registers the environments of `saccade.envs` with Gymnasium, by name alone.
"""

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

ENVIRONMENTS = {"saccade/ClutteredDigits-v0": "saccade.envs:ClutteredDigitsEnv"}

for _id, _entry_point in ENVIRONMENTS.items():
    gymnasium.register(_id, _entry_point)
