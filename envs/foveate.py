"""Eyes for any environment with pictures: the wrapper, and the id `saccade/Foveate-v0`."""

from copy import deepcopy
from typing import Any, Unpack

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.wrappers import AddRenderObservation
from numpy.typing import NDArray

from saccade.envs.eyes import Eyes, Foveation
from saccade.envs.sight import is_image

Arrays = dict[str, Any]


class FoveatedObservation(gymnasium.Wrapper[Arrays, Any, Any, Any], RecordConstructorArgs):
    """Gives eyes to an environment: of its image only what a moving gaze sees is shown.

    ## Description
    The image may be the observation or an entry of a Dict observation: uint8, or float in
    [0, 1]; `(H, W, C)`, `(C, H, W)` or `(H, W)`. Where there is none, wrap the environment in
    Gymnasium's `AddRenderObservation` first. The agent moves body and eye in one action.
    The combined sensory-motor action and the mask with memory follow Shang and Ryoo 2023
    ("Active Vision Reinforcement Learning under Limited Visual Observability").

    ## Action Space
    | motor                                | action with `action_layout="flat"` |
    |--------------------------------------|------------------------------------|
    | Discrete, MultiDiscrete, MultiBinary | `MultiDiscrete([..., grid, grid])` |
    | float Box of m numbers               | `Box((m + 2,))`                    |

    The last two numbers are the gaze, x before y. With `action_layout="dict"` any motor goes:
    `Dict({"motor": ..., "gaze": Box(-1, 1, (2,))})`. The environment gets its own action, as
    it is in its own action space.

    | gaze_mode  | in Box and Dict                       | in MultiDiscrete                        |
    |------------|---------------------------------------|-----------------------------------------|
    | "absolute" | the location, -1 and +1 are the edges | the center of one of grid x grid fields |
    | "relative" | the move, 1 is `reach`                | even moves from -`reach` to +`reach`    |

    A gaze outside is clipped to the edge, and `info["gaze_clipped"]` says so. The gaze of an
    action decides where the observation of that very step is seen.

    ## Observation Space
    `Dict`, with g = `size`, and the other entries of a Dict observation as they are:

    | key       | view     | shape                     | meaning                                  |
    |-----------|----------|---------------------------|------------------------------------------|
    | fovea     | "crop"   | (g, g, C) or (C, g, g)    | the square around the gaze               |
    | fovea     | "retina" | (scales, C, g, g) float32 | what `saccade.Retina` sees, in [0, 1]    |
    | fovea     | "fovea"  | (g, g, C) or (C, g, g)    | the square around the gaze               |
    | periphery | "fovea"  | (p, p, C) or (C, p, p)    | the whole image, averaged to p x p       |
    | fovea     | "mask"   | (H, W, C) or (C, H, W)    | the whole image, zero outside the square |
    | gaze      | all      | (2,) float32              | where it is seen, (x, y) in [-1, 1]      |

    These are uint8 in the image's own layout; an image `(H, W)` gives views with one channel,
    last. An image of floats gives `(1, C, h, w)` float32 in their place. Outside the image is
    zero; it may be smaller than the fovea. Stable-Baselines3 sends uint8 views through a network
    that needs 36 pixels a side: below that bring your own features extractor, or take the retina.

    ## Rewards
    The environment's own.

    ## Starting State
    The gaze is at `first`, the canvas of the mask is empty.

    ## Episode End
    The environment's own. `render` shows what the environment renders: the whole.

    ## Information
    `info["gaze_clipped"]`: whether the gaze asked for was clipped.

    ## Arguments
    | name          | default    | meaning                                                     |
    |---------------|------------|-------------------------------------------------------------|
    | env           |            | the environment                                             |
    | key           | None       | the image's key in a Dict observation; None: its only image |
    | layout        | None       | "HWC", "CHW" or "HW"; None: C is the smallest axis          |
    | view          | "crop"     | "crop", "retina", "fovea" or "mask"                         |
    | size          | 36         | g, side of the fovea in pixels, of the retina in cells      |
    | scales        | 3          | windows of the retina                                       |
    | factor        | 2          | by how much each of them is wider than the last             |
    | periphery     | 36         | p, side of the low-resolution image in pixels               |
    | memory        | 1          | looks that stay on the canvas of the mask                   |
    | gaze_mode     | "absolute" | "absolute" or "relative"                                    |
    | grid          | 5          | places or moves along each axis, of a gaze of whole numbers |
    | reach         | 0.5        | largest relative move along each axis, 2 is the whole image |
    | action_layout | "flat"     | "flat" or "dict"                                            |
    | first         | (0, 0)     | where the gaze begins, (x, y); the center                   |

    Raises:
        ValueError: If there is no image, or an argument is out of range or does not go with
            the environment; from `step`, if an action has another shape or type, is not finite
            or, in whole numbers, out of range.

    ## Version History
    * v0: first version.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], **options: Unpack[Foveation]) -> None:
        RecordConstructorArgs.__init__(self, **options)
        gymnasium.Wrapper.__init__(self, env)
        self._eyes = Eyes(env.observation_space, env.action_space, 1, **options)
        self.observation_space = self._eyes.observation_space
        self.action_space = self._eyes.action.space
        self._image: NDArray[Any] | None = None

    @property
    def image(self) -> NDArray[Any]:
        """The latest image, whole, as the environment gave it (a copy).

        Raises:
            RuntimeError: If no episode has begun.
        """
        if self._image is None:
            raise RuntimeError("no episode has begun; call reset")
        return self._image.copy()

    @property
    def gaze(self) -> NDArray[np.float32]:
        """`(2,)` float32, where the eye looks, (x, y) in [-1, 1] (a copy)."""
        return self._eyes.gaze[0].numpy().copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begins an episode, and looks at `first`."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._eyes.begin()
        return self._see(observation), {**info, "gaze_clipped": False}

    def step(self, action: Any) -> tuple[Arrays, Any, bool, bool, dict[str, Any]]:
        """Moves body and eye, and looks."""
        motor, asked = self._eyes.action.part(action)
        observation, reward, terminated, truncated, info = self.env.step(motor)
        clipped = bool(self._eyes.move(asked)[0])
        info = {**info, "gaze_clipped": clipped}
        return self._see(observation), reward, terminated, truncated, info

    def _see(self, observation: Any) -> Arrays:
        key = self._eyes.key
        others = {} if key is None else {k: v for k, v in observation.items() if k != key}
        image = observation if key is None else observation[key]
        self._image = np.asarray(image)
        views = self._eyes.look(self._image[None])
        return others | {name: view[0] for name, view in views.items()}


def make_pixels(
    env_id: str,
    env_kwargs: dict[str, Any] | None = None,
    from_render: bool | None = None,
    render_mode: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """Makes an environment that has an image in its observation.

    Args:
        env_id: Its registered id, "module:Name-v0" imports the module first.
        env_kwargs: Arguments of its own.
        from_render: Whether what it renders takes the place of its observation; None: only
            where there is no image in that.
        render_mode: None or "rgb_array".
    """
    own = deepcopy(env_kwargs or {})  # some environments keep what they are given
    if render_mode is not None:
        own["render_mode"] = render_mode
    env = gymnasium.make(env_id, **own)
    if from_render is None:
        space = env.observation_space
        parts = space.values() if isinstance(space, spaces.Dict) else [space]
        from_render = not any(is_image(part) for part in parts)
    if from_render and env.render_mode != "rgb_array":
        env.close()
        env = gymnasium.make(env_id, **own, render_mode="rgb_array")
    return AddRenderObservation(env) if from_render else env


class FoveateEnv(gymnasium.Env[Arrays, Any]):
    """Any registered environment, seen through eyes: `FoveatedObservation` under an id.

    ## Description
    Makes the environment `env_id` and looks at the image of its observation. Where there is
    none, or with `from_render=True`, what it renders is the image, and all that is observed:

        make("saccade/Foveate-v0", env_id="CartPole-v1", view="retina")
        make("saccade/Foveate-v0", env_id="ale_py:ALE/Pong-v5", view="fovea")
        make("saccade/Foveate-v0", env_id="minigrid:MiniGrid-Empty-8x8-v0", from_render=True)

    (MiniGrid's own image is a table of codes, 7x7.)

    ## Action Space, Observation Space, Information
    As `FoveatedObservation` says, of the environment's own.

    ## Rewards, Starting State, Episode End
    The environment's own, its time limit among them; the gaze begins at `first`.

    ## Arguments
    | name        | default | meaning                                                      |
    |-------------|---------|--------------------------------------------------------------|
    | env_id      |         | a registered id; "module:Name-v0" imports the module first   |
    | env_kwargs  | None    | arguments of that environment                                |
    | from_render | None    | whether to look at what it renders; None: if it has no image |
    | render_mode | None    | None or "rgb_array": the environment's own picture, whole    |
    | ...         |         | all arguments of `FoveatedObservation`                       |

    ## Version History
    * v0: first version.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's way)

    def __init__(
        self,
        *,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        from_render: bool | None = None,
        render_mode: str | None = None,
        **options: Unpack[Foveation],
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is None or rgb_array, got {render_mode!r}")
        env = make_pixels(env_id, env_kwargs, from_render, render_mode)
        self._eyed = FoveatedObservation(env, **options)
        self.render_mode = render_mode
        modes = [mode for mode in env.metadata["render_modes"] if mode == "rgb_array"]
        fps = env.metadata.get("render_fps", self.metadata["render_fps"])
        self.metadata = {"render_modes": modes, "render_fps": fps}
        self.observation_space = self._eyed.observation_space
        self.action_space = self._eyed.action_space

    @property
    def image(self) -> NDArray[Any]:
        """The latest image, whole, as the environment gave it (a copy)."""
        return self._eyed.image

    @property
    def gaze(self) -> NDArray[np.float32]:
        """`(2,)` float32, where the eye looks, (x, y) in [-1, 1] (a copy)."""
        return self._eyed.gaze

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begins an episode, and looks at `first`."""
        super().reset(seed=seed)
        return self._eyed.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Arrays, Any, bool, bool, dict[str, Any]]:
        """Moves body and eye, and looks."""
        return self._eyed.step(action)

    def render(self) -> Any:
        """What the environment renders; None without a render mode."""
        return None if self.render_mode is None else self._eyed.render()

    def close(self) -> None:
        """Closes the environment."""
        self._eyed.close()
