"""A stranger's foveating wrapper: the sharp square alone, written without the library."""

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs


class Peek(gymnasium.Wrapper, RecordConstructorArgs):
    """Shows a square of an image `(H, W, C)` uint8 around a gaze, for a motor of Box."""

    def __init__(self, env, size=3):
        RecordConstructorArgs.__init__(self, size=size)
        gymnasium.Wrapper.__init__(self, env)
        self.size, channels = size, env.observation_space.shape[2]
        self.observation_space = spaces.Dict(
            {
                "fovea": spaces.Box(0, 255, (size, size, channels), np.uint8),
                "gaze": spaces.Box(-1.0, 1.0, (2,), np.float32),
            }
        )
        motor = env.action_space
        low, high = np.append(motor.low, [-1, -1]), np.append(motor.high, [1, 1])
        self.action_space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
        self.gaze = np.zeros(2, np.float32)

    def reset(self, *, seed=None, options=None):
        image, info = self.env.reset(seed=seed, options=options)
        self.begin()
        return self.show(image), info

    def step(self, action):
        if np.isnan(action).any():
            raise ValueError("NaN in the action")
        image, *rest = self.act(action[:-2])
        self.move(action[-2:])
        return self.show(image), *rest

    def act(self, motor):
        return self.env.step(motor.copy())

    def begin(self):
        self.gaze = np.zeros(2, np.float32)

    def move(self, asked):
        self.gaze = np.clip(asked, -1, 1)

    def show(self, image):
        return {"fovea": self.crop(image), "gaze": self.gaze.copy()}

    def crop(self, image):
        n = self.size
        sides = np.array(image.shape[1::-1])
        corner = np.floor((self.gaze.astype(float) + 1) / 2 * sides - n / 2 + 0.5).astype(int) + n
        padded = np.pad(image, ((n, n), (n, n), (0, 0)))
        return padded[corner[1] : corner[1] + n, corner[0] : corner[0] + n].copy()
