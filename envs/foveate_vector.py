"""Eyes for any vector environment with pictures, and the vector face of `saccade/Foveate-v0`."""

from functools import partial
from typing import Any, Unpack, cast

import numpy as np
import torch
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from saccade.envs.eyes import Eyes, Foveation
from saccade.envs.foveate import make_pixels
from saccade.envs.sight import like, to_tensor

Arrays = dict[str, Any]


class VectorFoveatedObservation(VectorWrapper, RecordConstructorArgs):
    """Gives eyes to every row of a vector environment, all rows seen at once.

    Everything is as in `saccade.envs.FoveatedObservation`, for N rows: arguments, action and
    observation of a row, timing. Row i over a vector of N environments equals the single
    wrapper over environment i. Environments that speak torch get and give tensors, on any device;
    SAME_STEP alone waits for it.

    ## Autoreset
    Rows end by themselves, in all three modes of Gymnasium:

    | mode      | gaze and canvas begin anew                                               |
    |-----------|--------------------------------------------------------------------------|
    | NEXT_STEP | in the step after the end; that step's action is ignored, gaze and all   |
    | SAME_STEP | in the step of the end; `info["final_obs"]` is seen with the old gaze    |
    | DISABLED  | where `reset(options={"reset_mask": mask})` says                         |

    `info["final_obs"]` is a dict of batched arrays, its rows beyond `info["_final_obs"]` show
    the present. `info["gaze_clipped"]` and `info["_gaze_clipped"]` are `(N,)` bool;
    `info["final_info"]` has them too.

    Raises:
        ValueError: As `FoveatedObservation`, and if the environment's metadata do not tell its
            `autoreset_mode`.
    """

    def __init__(self, env: VectorEnv, **options: Unpack[Foveation]) -> None:
        RecordConstructorArgs.__init__(self, **options)
        VectorWrapper.__init__(self, env)
        mode = env.metadata.get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                "the environment does not say when its rows begin anew: set its "
                f'metadata["autoreset_mode"] to a gymnasium.vector.AutoresetMode, not {mode!r}'
            )
        self.autoreset_mode = mode
        rows = env.num_envs
        self._eyes = Eyes(env.single_observation_space, env.single_action_space, rows, **options)
        self.single_observation_space = self._eyes.observation_space
        self.observation_space = batch_space(self.single_observation_space, rows)
        self.single_action_space = self._eyes.action.space
        self.action_space = batch_space(self.single_action_space, rows)
        self._image: Any = None
        self._ended = torch.zeros(rows, dtype=torch.bool)

    @property
    def image(self) -> Any:
        """`(N, ...)`, the latest images, whole, as the environment gave them (a copy).

        Raises:
            RuntimeError: If no episode has begun.
        """
        if self._image is None:
            raise RuntimeError("no episode has begun; call reset")
        return like(to_tensor(self._image).clone(), self._image)

    @property
    def gaze(self) -> Any:
        """`(N, 2)` float32, where the rows look, (x, y) in [-1, 1] (a copy)."""
        return like(self._eyes.gaze.clone(), self._image)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Begins new episodes in all rows, or in those of `options["reset_mask"]`."""
        mask = (options or {}).get("reset_mask")
        options = None if options is None else dict(options)  # Gymnasium takes entries out of it
        observations, infos = self.env.reset(seed=seed, options=options)
        begun = torch.ones_like(self._ended) if mask is None else to_tensor(mask).clone()
        self._eyes.begin(None if mask is None else begun)
        self._ended = self._ended.to(begun.device) & ~begun
        seen = self._see(observations)
        return seen, self._tell(infos, torch.zeros_like(begun), begun)

    def step(self, actions: Any) -> tuple[Arrays, Any, Any, Any, dict[str, Any]]:
        """Moves body and eye of every row, and looks."""
        motor, asked = self._eyes.action.part(actions, (self.num_envs,))
        observations, rewards, terminated, truncated, infos = self.env.step(motor)
        clipped = self._eyes.move(asked)
        ended = to_tensor(terminated) | to_tensor(truncated)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._eyes.begin(self._ended)
            clipped = clipped & ~self._ended.to(clipped.device)
        elif self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            infos = self._finish(observations, infos, ended, clipped)
            self._eyes.begin(ended)
            clipped = clipped & ~ended
        self._ended = ended
        seen = self._see(observations)
        infos = self._tell(infos, clipped, torch.ones_like(clipped))
        return seen, rewards, terminated, truncated, infos

    def _see(self, observations: Any) -> Arrays:
        key = self._eyes.key
        others = {} if key is None else {k: v for k, v in observations.items() if k != key}
        self._image = observations if key is None else observations[key]
        return others | self._eyes.look(self._image)

    def _finish(
        self, observations: Any, infos: dict[str, Any], ended: torch.Tensor, clipped: torch.Tensor
    ) -> dict[str, Any]:
        """SAME_STEP: sees the last images of the rows that ended with the gaze they ended with."""
        if "final_obs" not in infos:
            raise ValueError(
                "rows ended in SAME_STEP mode without info['final_obs']; an older name or another "
                "place of it is not read"
            )
        final = infos["final_obs"]
        if isinstance(final, np.ndarray) and final.dtype == object:  # Gymnasium's own: a row each
            space = self.env.single_observation_space
            present = iterate(self.env.observation_space, observations)
            rows = [new if old is None else old for old, new in zip(final, present, strict=True)]
            final = concatenate(space, rows, cast(Any, create_empty_array(space, self.num_envs)))
        last = final if self._eyes.key is None else final[self._eyes.key]
        now = observations if self._eyes.key is None else observations[self._eyes.key]
        old = ended.view(-1, *[1] * (last.ndim - 1))
        last = like(torch.where(old, to_tensor(last), to_tensor(now)), now)
        final = self._see(last if self._eyes.key is None else {**final, self._eyes.key: last})
        masks = {"_final_obs": like(ended.clone(), now), "_final_info": like(ended.clone(), now)}
        told = infos.get("final_info", {})
        if isinstance(told, dict):
            told = self._tell(told, clipped & ended, ended)
        return {**infos, **masks, "final_obs": final, "final_info": told}

    def _tell(
        self, infos: dict[str, Any], clipped: torch.Tensor, mask: torch.Tensor
    ) -> dict[str, Any]:
        told = {"gaze_clipped": clipped.clone(), "_gaze_clipped": mask.clone()}
        return {**infos, **{name: like(each, self._image) for name, each in told.items()}}


class FoveateVectorEnv(VectorFoveatedObservation):
    """N rows of any registered environment, seen through eyes: `saccade/Foveate-v0` in vectors.

        gymnasium.make_vec("saccade/Foveate-v0", num_envs=8, env_id="ale_py:ALE/Pong-v5")

    Observations, actions and the rest are those of `saccade.envs.FoveatedObservation`, resets
    those of `VectorFoveatedObservation`. The environments run one after the other, or each in
    a process of its own.

    ## Arguments
    | name           | default    | meaning                                                      |
    |----------------|------------|--------------------------------------------------------------|
    | env_id         |            | a registered id; "module:Name-v0" imports the module first   |
    | num_envs       | 1          | N                                                            |
    | env_kwargs     | None       | arguments of that environment                                |
    | from_render    | None       | whether to look at what it renders; None: if it has no image |
    | render_mode    | None       | None or "rgb_array": the environments' own pictures, whole   |
    | autoreset_mode | "NextStep" | "NextStep", "SameStep", "Disabled", or an `AutoresetMode`    |
    | asynchronous   | False      | whether every environment has a process of its own           |
    | ...            |            | all arguments of `FoveatedObservation`                       |
    """

    def __init__(
        self,
        *,
        env_id: str,
        num_envs: int = 1,
        env_kwargs: dict[str, Any] | None = None,
        from_render: bool | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        asynchronous: bool = False,
        **options: Unpack[Foveation],
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is None or rgb_array, got {render_mode!r}")
        make = partial(make_pixels, env_id, env_kwargs, from_render, render_mode)
        kind = AsyncVectorEnv if asynchronous else SyncVectorEnv
        env = kind([make] * num_envs, autoreset_mode=AutoresetMode(autoreset_mode))
        super().__init__(env, **options)
