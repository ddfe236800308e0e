"""Gymnasium's single environments: the core as a batch of one, in NumPy."""

from functools import lru_cache
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from saccade.data import Splits, load
from saccade.envs.classify import Classify
from saccade.envs.core import GazeCore, Observation, Task
from saccade.retina import Retina
from saccade.scanpath import Scanpath
from saccade.scenes import SceneMaker

Arrays = dict[str, Any]


class GazeEnv(gymnasium.Env[Arrays, NDArray[np.float32]]):
    """One eye on one task. The ids that `saccade` registers are subclasses with a task.

    Args:
        task: What is shown.
        retina: The sensor.
        glimpses: T, glimpses in an episode.
        first: Where the first one goes, "center" or "random".
        render_mode: None or "rgb_array".
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 2}  # noqa: RUF012 (Gymnasium's way)

    def __init__(
        self,
        task: Task,
        retina: Retina,
        glimpses: int,
        first: Literal["center", "random"],
        render_mode: str | None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is None or rgb_array, got {render_mode!r}")
        if first not in ("center", "random"):
            raise ValueError(f"first is center or random, got {first!r}")
        self.render_mode = render_mode
        self._core = GazeCore(task, retina, glimpses, 1, first=first)
        self._seen: list[Observation] = []  # of this episode, for render
        self._seeded, self._ended = False, True
        channels, g = task.shape[0], retina.size
        self.observation_space: spaces.Dict = spaces.Dict(
            {
                "glimpse": spaces.Box(0.0, 1.0, (retina.scales, channels, g, g), np.float32),
                "gaze": spaces.Box(-1.0, 1.0, (2,), np.float32),
                "t": spaces.Box(0.0, 1.0, (1,), np.float32),
            }
        )
        self.action_space = spaces.Box(-1.0, 1.0, (2 + task.decisions,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begins an episode and takes its first glimpse.

        Args:
            seed: Starts the series of episodes anew; each reset without it begins the next one.
            options: Not used.
        """
        super().reset(seed=seed)
        if seed is not None or not self._seeded:
            self._core.seed(int(self.np_random.integers(2**31)) if seed is None else seed)
            self._seeded = True
        observation = self._core.reset()
        self._seen, self._ended = [observation], False
        return self._arrays(observation), self._info(False)

    def step(self, action: NDArray[np.float32]) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        """Looks where the action says or, once all glimpses are taken, decides.

        Args:
            action: `(2 + K,)`: gaze (x, y) in [-1, 1], then a score for each class.

        Raises:
            ValueError: If the action has another shape or is not finite.
            RuntimeError: If the episode has not begun, or has ended.
        """
        action = np.asarray(action, np.float32)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise ValueError(
                f"an action is {self.action_space.shape} finite numbers, gaze (x, y) and a score "
                f"for each class; got {action!r}"
            )
        if self._ended:
            raise RuntimeError("the episode has ended or not begun; call reset")
        gaze = torch.from_numpy(action[None, :2].copy())
        decision = torch.tensor([int(action[2:].argmax())])
        step = self._core.step(gaze, decision)
        ended, reward = bool(step.terminated[0]), float(step.reward[0])
        info = self._info(bool(step.clipped[0]))
        info |= {f"reward_{name}": float(value[0]) for name, value in step.terms.items()}
        if ended:
            info["is_success"] = reward > 0
        else:
            self._seen.append(step.observation)
        self._ended = ended
        return self._arrays(step.observation), reward, ended, False, info

    def scanpath(self) -> Scanpath:
        """The record of this episode so far, a batch of one; nothing is believed in it.

        Raises:
            RuntimeError: If no episode has begun.
        """
        if not self._seen:
            raise RuntimeError("no episode has begun; call reset")
        classes, taken = self._core.task.decisions, len(self._seen)
        _, height, width = self._core.task.shape
        return Scanpath(
            locations=torch.stack([each.gaze for each in self._seen], 1),
            glimpses=torch.stack([each.glimpse for each in self._seen], 1),
            beliefs=torch.full((1, taken, classes), 1 / classes),
            values=torch.zeros(1, taken),
            rewards=torch.zeros(1, taken),
            stop=torch.tensor([taken]),
            retina=self._core.retina,
            height=height,
            width=width,
        )

    def render(self) -> NDArray[np.uint8] | None:
        """The scene with the scanpath, and what has been seen of it: `(h, w, 3)` uint8.

        Made only when asked for; None without a render mode.
        """
        if self.render_mode is None:
            return None
        from saccade.animate import draw_frame

        scanpath, scene = self.scanpath(), self._core.scene
        assert scene is not None
        return draw_frame(scene.images[0], scanpath, 0)

    def _arrays(self, observation: Observation) -> Arrays:
        t = np.array([int(observation.t[0]) / self._core.glimpses], np.float32)
        return {
            "glimpse": observation.glimpse[0].numpy().copy(),
            "gaze": observation.gaze[0].numpy().copy(),
            "t": t,
        }

    def _info(self, clipped: bool) -> dict[str, Any]:
        return {"label": int(self._core.target[0]), "gaze_clipped": clipped}


@lru_cache(maxsize=4)
def _data(name: str, seed: int) -> Splits:
    """Data is read once in a process, not once for each environment."""
    return load(name, seed=seed)


class ClutteredDigitsEnv(GazeEnv):
    """Find a digit among clutter by moving your gaze, then say which digit it is.

    ## Description
    The cluttered glimpse task of Mnih et al. 2014 ("Recurrent Models of Visual Attention",
    section 4): a digit lies at a random place of a black canvas with pieces of other digits
    around it. The scene is never seen as a whole, only through a retina: a few concentric
    windows around the gaze, the smallest sharp, the wider ones coarse.

    ## Action Space
    `Box(-1, 1, (2 + K,), float32)`, K = 10 classes.

    | index | meaning                                             |
    |-------|-----------------------------------------------------|
    | 0     | x of the next gaze, -1 the left edge, +1 the right  |
    | 1     | y of the next gaze, -1 the upper edge, +1 the lower |
    | 2...  | score of each class; the highest is the decision    |

    The decision counts in the last step only; the gaze of the last step is ignored. A gaze
    outside is clipped to the edge, and `info["gaze_clipped"]` says so.

    ## Observation Space
    `Dict`:

    | key     | shape                                   | range   | meaning                    |
    |---------|-----------------------------------------|---------|----------------------------|
    | glimpse | (scales, channels, size, size) float32  | [0, 1]  | what the retina sees       |
    | gaze    | (2,) float32                            | [-1, 1] | where it was seen, (x, y)  |
    | t       | (1,) float32                            | [0, 1]  | share of glimpses taken    |

    ## Rewards
    1 for the right class in the last step, otherwise 0 (`info["reward_decision"]`).

    ## Starting State
    A new scene; the first glimpse is at the center, or uniformly random (`first`).

    ## Episode End
    Terminates after `glimpses` steps: the reset gives the first glimpse, every step but the
    last another one, the last step only carries the decision. It is never truncated.
    `info["is_success"]` says in the last step whether the decision was right;
    `info["label"]` holds the answer at all times, for analysis, not for agents.

    ## Arguments
    | name         | default   | meaning                                                     |
    |--------------|-----------|-------------------------------------------------------------|
    | data         | "digits"  | what to show: see `saccade.data.load`                       |
    | split        | "train"   | which part of it: "train", "validation" or "test"           |
    | side         | 60        | side of the canvas in pixels                                |
    | clutter      | 4         | pieces of other images                                      |
    | clutter_size | 8         | side of a piece in pixels                                   |
    | size         | 12        | side of a glimpse in cells                                  |
    | scales       | 3         | windows of the retina                                       |
    | factor       | 2         | by how much each window is wider than the last              |
    | glimpses     | 8         | glimpses in an episode                                      |
    | first        | "center"  | where the first glimpse goes: "center" or "random"          |
    | render_mode  | None      | None or "rgb_array"                                         |

    ## Version History
    * v0: first version.
    """

    def __init__(
        self,
        *,
        data: str = "digits",
        split: Literal["train", "validation", "test"] = "train",
        side: int = 60,
        clutter: int = 4,
        clutter_size: int = 8,
        size: int = 12,
        scales: int = 3,
        factor: int = 2,
        glimpses: int = 8,
        first: Literal["center", "random"] = "center",
        render_mode: str | None = None,
    ) -> None:
        if split not in ("train", "validation", "test"):
            raise ValueError(f"split is train, validation or test, got {split!r}")
        pool = getattr(_data(data, 0), split)
        maker = SceneMaker(pool, "cluttered", side, clutter, clutter_size)
        super().__init__(
            Classify(maker), Retina(size, scales, factor), glimpses, first, render_mode
        )
