"""A small world of pixels to try eyes on: any layout, any motor, episodes of any length."""

import gymnasium
import numpy as np
from gymnasium import spaces

from saccade.envs.foveate import FoveatedObservation

MOTORS = {
    "discrete": spaces.Discrete(3, start=-1),
    "multidiscrete": spaces.MultiDiscrete(
        np.array([[3, 2], [4, 5]]), start=np.array([[0, 1], [0, -2]])
    ),
    "multibinary": spaces.MultiBinary(2),
    "box": spaces.Box(np.array([[-2.0, 0.0]], np.float32), np.array([[2.0, np.inf]], np.float32)),
    "unit": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "dict": spaces.Dict({"arm": spaces.Discrete(2)}),
    "pixels": spaces.Box(0, 255, (2,), np.uint8),
    "plain": spaces.Discrete(4),
}


class PixelEnv(gymnasium.Env):
    """A random picture that rolls by a pixel a step; episodes last 2 to 5 steps, by seed."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 7}  # noqa: RUF012

    def __init__(
        self, shape=(40, 60, 3), dtype="uint8", motor="discrete", others=False, render_mode=None
    ):
        top = 255 if dtype == "uint8" else 1
        image = spaces.Box(0, top, shape, np.dtype(dtype).type)
        self.observation_space = image
        if others:
            speed = spaces.Box(-1, 1, (1,), np.float32)
            self.observation_space = spaces.Dict({"camera": image, "speed": speed})
        self.action_space, self.render_mode, self.received = MOTORS[motor], render_mode, []

    def _observe(self):
        image = np.roll(self.picture, self.t, 1)
        if isinstance(self.observation_space, spaces.Dict):
            return {"camera": image, "speed": np.array([self.t / 5], np.float32)}
        return image

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        space = self.observation_space
        space = space["camera"] if isinstance(space, spaces.Dict) else space
        if space.dtype == np.uint8:
            self.picture = self.np_random.integers(0, 256, space.shape, np.uint8)
        else:
            self.picture = self.np_random.random(space.shape, np.float32).astype(space.dtype)
        self.t, self.length = 0, int(self.np_random.integers(2, 6))
        return self._observe(), {"length": self.length}

    def step(self, action):
        self.received.append(action)
        self.t += 1
        ended = self.t >= self.length
        long = self.length == 5
        return self._observe(), float(self.t), ended and not long, ended and long, {"t": self.t}

    def render(self):
        return np.full((8, 8, 3), self.t, np.uint8)


gymnasium.register("tests/Pixels-v0", "tests.pixels:PixelEnv")


def eyed(options=None, **foveation):
    return FoveatedObservation(PixelEnv(**(options or {})), **foveation)


def planar(image, layout):
    """Any image as (C, H, W) float64."""
    image = np.asarray(image, np.float64)
    if layout == "HW":
        return image[None]
    return np.moveaxis(image, -1, 0) if layout == "HWC" else image
