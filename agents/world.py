"""Worlds to act in, as a learner sees them: rows of episodes that begin together.

Ours are stepped in their batched core; any other environment with pictures is given eyes by
`saccade/Foveate-v0` and stepped through Gymnasium.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from torch import Tensor

from saccade.envs.foveate_vector import FoveateVectorEnv
from saccade.envs.vector import GazeVectorEnv
from saccade.retina import Retina


class Seen(NamedTuple):
    """What N rows see: glimpses `(N, S, C, g, g)` float32, and where `(N, 2)`."""

    glimpse: Tensor
    gaze: Tensor


class Turn(NamedTuple):
    """What a step gives N rows.

    Attributes:
        seen: What is seen next.
        reward: `(N,)` float32; 0 where the episode had ended before.
        over: `(N,)` bool, whether it has ended by now.
        success: `(N,)` bool, whether its aim is reached; counts in its last step.
    """

    seen: Seen
    reward: Tensor
    over: Tensor
    success: Tensor


class World(Protocol):
    """N rows of one environment.

    Attributes:
        rows: N.
        retina: The sensor.
        shape: (channels, height, width) of the scenes.
        deeds: K, what can be done beside looking; 0 for nothing.
        steps: The most steps an episode takes.
        early: Whether episodes may end before that.
    """

    rows: int
    retina: Retina
    shape: tuple[int, int, int]
    deeds: int
    steps: int
    early: bool

    def begin(self, seed: int) -> Seen:
        """Begins an episode in every row; row i lives the episode of seed + i."""
        ...

    def step(self, gaze: Tensor, deed: Tensor) -> Turn:
        """Looks at `(N, 2)` and does `(N,)` int64; rows that are over stay as they are."""
        ...


class CoreWorld:
    """A world of ours."""

    def __init__(self, env: GazeVectorEnv) -> None:
        self.core = env.core
        self.rows, self.retina = env.num_envs, self.core.retina
        task = self.core.task
        self.shape, self.deeds = task.shape, task.decisions
        self.steps = self.core.glimpses - (not task.answers)
        self.early = self.core.stop != "budget"

    def begin(self, seed: int) -> Seen:
        """See `World`."""
        self.core.seed(seed + torch.arange(self.rows, device=self.core.device))
        seen = self.core.reset()
        return Seen(seen.glimpse, seen.gaze)

    def step(self, gaze: Tensor, deed: Tensor) -> Turn:
        """See `World`."""
        seen, result = self.core.step(gaze, deed)
        return Turn(Seen(seen.glimpse, seen.gaze), result.reward, result.terminated, result.success)


class FoveatedWorld:
    """Any environment with pictures, given eyes; its aim is a return over 0, unless it says so."""

    def __init__(
        self, env: FoveateVectorEnv, retina: Retina, steps: int, device: torch.device
    ) -> None:
        self.env, self.rows, self.steps, self.early = env, env.num_envs, steps, True
        self.device = device
        assert isinstance(env.single_action_space, spaces.Dict)
        motor = env.single_action_space["motor"]
        if not isinstance(motor, spaces.Discrete):
            raise ValueError(f"saccade train plays environments with Discrete actions, not {motor}")
        self.deeds = int(motor.n)
        self.retina = retina
        env.reset(seed=0)
        sides = sorted((*env.image.shape[1:], 1)[:3], reverse=True)  # channels are the fewest
        self.shape = (sides[2], sides[1], sides[0])
        self._over = torch.zeros(self.rows, dtype=torch.bool, device=device)
        self._total = torch.zeros(self.rows, device=device)

    def begin(self, seed: int) -> Seen:
        """See `World`."""
        self._over = torch.zeros_like(self._over)
        self._total = torch.zeros_like(self._total)
        return self._seen(self.env.reset(seed=seed)[0])

    def step(self, gaze: Tensor, deed: Tensor) -> Turn:
        """See `World`. Rows that are over play on unseen; nothing of it is counted."""
        action = {"motor": deed.cpu().numpy(), "gaze": gaze.clamp(-1, 1).cpu().numpy()}
        seen, reward, ended, cut, _ = self.env.step(action)
        paid = torch.from_numpy(np.asarray(reward, np.float32)).to(self.device) * ~self._over
        self._total = self._total + paid
        self._over = self._over | torch.from_numpy(ended | cut).to(self.device)
        return Turn(self._seen(seen), paid, self._over, self._total > 0)

    def _seen(self, seen: dict[str, Any]) -> Seen:
        glimpse, gaze = (torch.from_numpy(seen[name]).to(self.device) for name in ("fovea", "gaze"))
        return Seen(glimpse, gaze)


def make_world(
    name: str, options: str, rows: int, steps: int, device: torch.device
) -> tuple[World, dict[str, Any]]:
    """Makes N rows of a world.

    Args:
        name: Id of an environment of ours.
        options: Its keyword arguments, as JSON; "" for none.
        rows: N.
        steps: The most steps of an episode, where the environment does not know.
        device: Where to compute.

    Returns:
        The world, and the keyword arguments to make a single environment of it.

    Raises:
        ValueError: If there is no such environment, or it has no such options.
    """
    try:
        given: Any = json.loads(options or "{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"--env-options is no JSON object: {options!r} ({error})") from None
    if not isinstance(given, dict):
        raise ValueError(f"--env-options is no JSON object: {options!r}")
    make_vec: Callable[..., Any] = gymnasium.make_vec
    try:
        if name == "saccade/Foveate-v0":
            always = {"view": "retina", "action_layout": "dict"}
            given = {"size": 12, "scales": 3, "factor": 2, **given, **always}
            retina = Retina(given["size"], given["scales"], given["factor"])
            env = make_vec(name, rows, autoreset_mode=AutoresetMode.SAME_STEP, **given)
            return FoveatedWorld(env, retina, steps, device), given
        if name.partition("/")[0] != "saccade":
            raise ValueError(
                f"--env names an environment of saccade, got {name!r}; give eyes to others with "
                '--env saccade/Foveate-v0 --env-options \'{"env_id": "CartPole-v1"}\''
            )
        env = make_vec(name, rows, device=device, output="torch", **given)
    except (gymnasium.error.Error, TypeError) as error:
        raise ValueError(f"{name} cannot be made: {error}") from error
    return CoreWorld(env), given
