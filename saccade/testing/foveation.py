"""The contract of a wrapper that gives eyes to an environment, checked from outside."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space, iterate
from numpy.typing import NDArray

from saccade.testing.contract import (
    call,
    demand,
    device_of,
    difference,
    freeze,
    must_refuse,
    scribble,
)
from saccade.testing.eye import see as see_slowly
from saccade.testing.form import check_observation, final_rows
from saccade.testing.play import hand_over
from saccade.testing.spy import Spy, VectorSpy

VIEWS = ("fovea", "periphery", "gaze")
CLOSE = 1e-5
Sees = Callable[[NDArray[Any], NDArray[np.float32]], NDArray[Any]]


def check_foveation(
    wrapper: Any, see: Sees | None = None, *, steps: int = 100, seed: int = 0
) -> None:
    """Proves that a wrapper shows what its gaze sees, and leaves the rest to its environment.

    Any `gymnasium.Wrapper` or `VectorWrapper` whose observation is a Dict with `fovea` and
    `gaze` in the place of the image, and whose action has a gaze at its end: flat (motor
    numbers, then two of gaze) or a Dict of `motor` and `gaze`. It is reset and stepped with
    random actions, and not closed.

    | clause      | what is demanded                                                            |
    |-------------|-----------------------------------------------------------------------------|
    | spaces      | `fovea`, `gaze` a Box(-1, 1, (2,)); the action the motor's with a gaze; the |
    |             | batches of a vector equal `batch_space`                                     |
    | reset, step | work, with actions of the space and, in vectors, with a `reset_mask`        |
    | observation | in its space; what is not the image passes unchanged                        |
    | motor       | `wrapper.env` gets its part of the action unchanged, once a step            |
    | reward,     |                                                                             |
    | flags, info | pass unchanged; info may hold more                                          |
    | gaze        | goes where the action says, within [-1, 1]; begins anew with the episode,   |
    |             | in its own row alone; NaN is refused before the environment moves           |
    | fovea       | is what is seen of the environment's image from `gaze`                      |
    | image       | `wrapper.image`, where there is one, is the latest image                    |
    | final-obs   | in SAME_STEP the last image is seen with the gaze of the episode that ended |
    | alias       | views that were returned do not change, and may be written into             |
    | record      | the arguments are recorded; `wrapper.spec` makes the wrapper again          |
    | ends        | rows of a vector end within `steps`, or the rest could not be judged        |

    The gaze of a Box is a location (x, y), that of whole numbers one of the fields of a grid,
    (column, row); with `gaze_mode="relative"` among the recorded arguments it is a move of up
    to `reach`. `saccade.testing.eye` says what is seen.

    Args:
        wrapper: What is judged.
        see: The fovea `(image, gaze) -> array` that it should show; without it, that of the
            recorded arguments, or a crop. `periphery` is not judged.
        steps: How many steps are played.
        seed: Seed of the play and of the actions.

    Raises:
        ContractError: If a clause is broken; the message begins with its name.
        TypeError: If this is no wrapper.
        ValueError: If steps is not positive.
    """
    if not isinstance(wrapper, gymnasium.Wrapper | VectorWrapper):
        raise TypeError(f"a gymnasium.Wrapper or VectorWrapper is judged, got {wrapper!r}")
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    inner = wrapper.env
    judge = _Judge(wrapper, see)
    try:
        wrapper.env = judge.spy
        judge.play(steps, seed)
    finally:
        wrapper.env = inner
    _check_record(wrapper, seed)


class _Judge:
    """Plays with a wrapper, and knows where each of its rows should look."""

    def __init__(self, wrapper: Any, see: Sees | None) -> None:
        self.wrapper, self.inner = wrapper, wrapper.env
        self.vector = isinstance(wrapper, VectorEnv)
        self.count: int = wrapper.num_envs if self.vector else 1
        prefix = "single_" if self.vector else ""
        self.space = getattr(wrapper, f"{prefix}observation_space")
        self.action = getattr(wrapper, f"{prefix}action_space")
        self.motor = getattr(self.inner, f"{prefix}action_space")
        self.mode = wrapper.metadata.get("autoreset_mode") if self.vector else None
        self.arguments: Mapping[str, Any] = getattr(wrapper, "_saved_kwargs", {})
        self.see, self.spy = see, (VectorSpy if self.vector else Spy)(self.inner)
        self._check_spaces()

    def _check_spaces(self) -> None:
        kept = isinstance(self.space, spaces.Dict) and {"fovea", "gaze"} <= set(self.space)
        message = f"the observation must be a Dict with fovea and gaze, got {self.space}"
        demand(kept, "spaces", message)
        look = spaces.Box(-1.0, 1.0, (2,), np.float32)
        gaze = self.space["gaze"]
        demand(gaze == look, "spaces", f"the observation's gaze must be {look}, got {gaze}")
        action, motor = self.action, self.motor
        if isinstance(action, spaces.Dict):
            wanted: Any = spaces.Dict({"motor": motor, "gaze": look})
            kept = action == wanted
        elif isinstance(action, spaces.MultiDiscrete):
            values = motor.n if isinstance(motor, spaces.Discrete) else getattr(motor, "nvec", 2)
            values = np.broadcast_to(values, motor.shape).ravel()
            wanted = f"MultiDiscrete with {[*values, 'grid', 'grid']}"
            kept = action.nvec[:-2].tolist() == values.tolist()
        else:
            size = int(np.prod(motor.shape or ()))
            wanted = f"a Box ({size + 2},) whose last two are the gaze in [-1, 1]"
            kept = isinstance(action, spaces.Box) and action.shape == (size + 2,)
            kept = kept and (action.low[-2:] == -1).all() and (action.high[-2:] == 1).all()
        demand(bool(kept), "spaces", f"for the motor {motor} the action is {wanted}, got {action}")
        if self.vector:
            for name, alone in (("observation_space", self.space), ("action_space", action)):
                batch = getattr(self.wrapper, name)
                message = f"{name} must be batch_space(single_{name}, N), got {batch}"
                demand(batch == batch_space(alone, self.count), "spaces", message)

    def play(self, steps: int, seed: int) -> None:
        """Resets, steps, resets other rows by mask, steps on."""
        space = copy.deepcopy(self.wrapper.action_space)
        space.seed(seed)
        nobody, everyone = np.zeros(self.count, np.bool_), np.ones(self.count, np.bool_)
        odd = np.arange(self.count) % 2 == 1 if self.count > 1 else everyone
        raw = call("reset", f"reset(seed={seed})", self.wrapper.reset, seed=seed)
        first = [row["gaze"] for row in self._rows(self.wrapper, freeze(raw[0]))]
        self.first = self.gaze = np.array(first, np.float64)
        self.device, self.pending = device_of(raw[0]), nobody
        self._look("reset", raw, self.first)
        kept, ended_ever = [], nobody
        for t in range(steps):
            raw, ended = self._step(f"step {t}", space.sample())
            ended_ever = ended_ever | ended
            self.pending = ended if self.mode is AutoresetMode.NEXT_STEP else nobody
            mask = ended if self.mode in (AutoresetMode.DISABLED, None) else nobody
            mask = mask | odd if t == 0 else mask
            if mask.any():
                options = {"reset_mask": mask.copy()} if self.vector else None
                what = f"reset(options={options}) after step {t}"
                raw = call("reset", what, self.wrapper.reset, options=options)
                self._look(what, raw, np.where(mask[:, None], self.first, self.gaze))
                self.pending = self.pending & ~mask
            views = {name: raw[0][name] for name in VIEWS if name in raw[0]}
            if t % 2:
                scribble(views)
            else:
                kept.append((t, views, freeze(views)))
        for t, views, then in kept:
            found = difference(freeze(views), then)
            message = f"a view of step {t} changed later: {found}; return copies"
            demand(found is None, "alias", message)
        if self.mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP):
            message = f"no row ended in {steps} steps of random actions; pass more steps"
            demand(bool(ended_ever.any()), "ends", message)
        self._check_nan(space.sample())

    def _step(self, name: str, action: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Steps, and checks all of it; gives the result, and which rows ended, `(N,)`."""
        given, before = hand_over(action, self.device), len(self.spy.calls)
        raw = call("step", name, self.wrapper.step, given)
        message = f"{name} must step wrapper.env once, and nothing else of it"
        demand(len(self.spy.calls) == before + 1, "motor", message)
        scribble(given)
        asked = self._check_motor(name, self._rows(self.wrapper, action, "action"))
        ended = self._check_passing(name, raw)
        gaze = np.where(self.pending[:, None], self.first, self._moved(asked))
        if self.mode is AutoresetMode.SAME_STEP and ended.any():
            self._check_final(name, raw[4], gaze, ended)
            gaze = np.where(ended[:, None], self.first, gaze)
        self._look(name, raw, gaze)
        return raw, ended

    def _rows(self, env: Any, batch: Any, what: str = "observation") -> tuple[Any, ...]:
        return tuple(iterate(getattr(env, f"{what}_space"), batch)) if self.vector else (batch,)

    def _moved(self, asked: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the rows should look, `(N, 2)`."""
        relative = self.arguments.get("gaze_mode") == "relative"
        if isinstance(self.action, spaces.MultiDiscrete):
            fields = self.action.nvec[-2:]
            asked = 2 * asked / (fields - 1) - 1 if relative else (2 * asked + 1) / fields - 1
        if relative:
            asked = self.gaze + self.arguments.get("reach", 0.5) * asked
        return np.clip(asked, -1, 1)

    def _check_motor(self, name: str, actions: tuple[Any, ...]) -> NDArray[np.float64]:
        """The motor's parts have arrived; gives the gaze's parts, `(N, 2)`."""
        arrived, asked = self.spy.calls[-1][0], []
        for i, action in enumerate(actions):
            if isinstance(self.action, spaces.Dict):
                wanted, gaze = action["motor"], action["gaze"]
            else:
                wanted, gaze = np.reshape(action[:-2], self.motor.shape or ()), action[-2:]
                wanted = wanted + getattr(self.motor, "start", 0)
            asked.append(gaze)
            got = self._rows(self.inner, arrived, "action")[i]
            found = difference(got, wanted)
            message = f"{name}: the motor action of row {i}{found}; it must arrive unchanged"
            demand(found is None, "motor", message)
            kept = self.motor.contains(got)
            message = "{}: {!r} is not in {}; convert its type"
            demand(kept, "motor", message, name, got, self.motor)
        return np.array(asked, np.float64)

    def _check_passing(self, name: str, raw: Any) -> NDArray[np.bool_]:
        """Reward, flags and info are the environment's; gives which rows ended, `(N,)`."""
        ours, theirs = freeze(raw), self.spy.calls[-1][1]
        for i, what in enumerate(("reward", "terminated", "truncated"), 1):
            found = difference(ours[i], theirs[i])
            message = f"{name}: {what}{found}; the environment's must pass unchanged"
            demand(found is None, "reward" if i == 1 else "flags", message)
        for key in set(theirs[4]) - {"final_obs", "final_info"}:
            found = " is missing"
            if key in ours[4]:
                found = difference(ours[4][key], theirs[4][key]) or ""
            message = f"{name}: info[{key!r}]{found}; the environment's must pass unchanged"
            demand(not found, "info", message)
        return np.atleast_1d(np.asarray(theirs[2] | theirs[3], np.bool_))

    def _check_final(
        self, name: str, info: Mapping[str, Any], gaze: Any, ended: NDArray[np.bool_]
    ) -> None:
        """The last observations, seen with the gaze that the episode ended with."""
        kept = "final_obs" in info
        message = f"{name}: rows {np.flatnonzero(ended)} ended, info must have final_obs"
        demand(kept, "final-obs", message)
        theirs = final_rows(self.inner, self.spy.calls[-1][1][4], ended, name, "final-obs")
        ours = final_rows(self.wrapper, freeze(info), ended, name, "final-obs")
        for row, inner, i in zip(ours, theirs, np.flatnonzero(ended), strict=True):
            self._check_row(f"{name}: final_obs of row {i}", row, inner, gaze[i], "final-obs")

    def _look(self, name: str, raw: Any, gaze: NDArray[np.float64]) -> None:
        """Every row looks where it should, and sees what is there."""
        theirs = self._rows(self.inner, self.spy.calls[-1][1][0])
        ours = self._rows(self.wrapper, freeze(raw[0]))
        shown = freeze(getattr(self.wrapper, "image", None))
        for i, (row, inner) in enumerate(zip(ours, theirs, strict=True)):
            where = f"{name}: row {i}" if self.vector else name
            image = self._check_row(where, row, inner, gaze[i])
            if shown is not None:
                found = difference(shown[i] if self.vector else shown, image)
                message = f"{where}: wrapper.image{found}; it must be the environment's latest"
                demand(found is None, "image", message)
        self.gaze = np.array([row["gaze"] for row in ours], np.float64)

    def _check_row(
        self, where: str, row: Any, inner: Any, gaze: NDArray[np.float64], clause: str = ""
    ) -> NDArray[Any]:
        """One row's observation, against the environment's; gives the image."""
        check_observation(self.space, row, where, clause or "observation")
        image = inner
        if isinstance(inner, Mapping):
            gone = [key for key in inner if key not in row]
            message = f"{where}: one entry of {sorted(inner)} is the image, {gone} are not shown"
            demand(len(gone) == 1, clause or "observation", message)
            image = inner[gone[0]]
            for key in set(inner) - set(gone):
                found = difference(row[key], inner[key])
                message = f"{where}: {key!r}{found}; it must pass unchanged"
                demand(found is None, clause or "observation", message)
        found = difference(row["gaze"], gaze, CLOSE)
        message = f"{where}: gaze{found}; an action moves it, an episode begins where the first did"
        demand(found is None, clause or "gaze", message)
        fovea = row["fovea"]
        if self.see is not None:
            wanted, known = self.see(image, row["gaze"]), np.ones(fovea.shape, np.bool_)
        else:
            wanted, known = see_slowly(image, row["gaze"], fovea.shape, self.arguments)
        found = difference(np.where(known, fovea, 0.0), np.where(known, wanted, 0.0), CLOSE)
        message = "{}: fovea{}, at gaze {}; it must show what is there, outside of the image zero"
        demand(found is None, clause or "fovea", message, where, found, row["gaze"])
        return np.asarray(image)

    def _check_nan(self, action: Any) -> None:
        """A gaze of NaN is refused before anything moves; a GPU is not asked to look at it."""
        on_gpu = self.device is not None and self.device.type != "cpu"
        if isinstance(self.action, spaces.MultiDiscrete) or on_gpu:
            return
        gaze = action["gaze"] if isinstance(self.action, spaces.Dict) else action[..., -2:]
        gaze[...] = np.nan
        given, before = hand_over(action, self.device), len(self.spy.calls)
        must_refuse("gaze", "an action with NaN for its gaze", self.wrapper.step, given)
        message = "an action with NaN for its gaze has moved the environment; look at it first"
        demand(len(self.spy.calls) == before, "gaze", message)


def _check_record(wrapper: Any, seed: int) -> None:
    """Clause record."""
    demand(
        isinstance(wrapper, RecordConstructorArgs),
        "record",
        f"{type(wrapper).__name__} must subclass gymnasium.utils.RecordConstructorArgs, and give "
        "it its arguments",
    )
    spec = None if isinstance(wrapper, VectorEnv) else wrapper.spec
    if spec is None:
        return
    again = call("record", "gymnasium.make(wrapper.spec)", gymnasium.make, copy.deepcopy(spec))
    try:
        for name in ("observation_space", "action_space"):
            got, wanted = getattr(again, name), getattr(wrapper, name)
            message = f"made again from its spec, {name} is {got}, it was {wanted}"
            demand(got == wanted, "record", message)
        got, wanted = (freeze(each.reset(seed=seed)[0]) for each in (again, wrapper))
        found = difference(got, wanted)
        message = f"made again from its spec, the first observation{found}"
        demand(found is None, "record", message)
    finally:
        again.close()
