"""The contract of a vector environment, checked from outside."""

import copy
from collections.abc import Callable
from itertools import islice
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from saccade.testing.contract import (
    call,
    demand,
    device_of,
    difference,
    freeze,
    must_refuse,
)
from saccade.testing.form import check_final, check_turn
from saccade.testing.play import Script, Turn, expect_same, hand_over, reset_rows, rows_of
from saccade.testing.single import check_final_differs, check_single, maker_from_spec

Env = VectorEnv[Any, Any, Any]


def check_vector_env(
    env: VectorEnv[Any, Any, Any],
    single: Callable[[], gymnasium.Env[Any, Any]] | None = None,
    *,
    steps: int = 200,
    seed: int = 0,
) -> None:
    """Proves that a vector environment keeps the contract that its users rely on.

    Any Gymnasium `VectorEnv` of NumPy arrays or torch tensors, and any of the three autoreset
    modes. It is reset and stepped with random actions, some ten times `steps`, and not closed.

    | clause         | what is demanded                                                         |
    |----------------|--------------------------------------------------------------------------|
    | autoreset-mode | `AutoresetMode` in metadata, and the same as an attribute                |
    | spaces         | equal `batch_space` of the single spaces                                 |
    | reset, step    | return what Gymnasium says; a reset forgets what was under way           |
    | observation    | in its space, with its very shapes and dtypes, all NumPy or all torch    |
    | reward, flags  | `(N,)` finite floats; `(N,)` bools                                       |
    | info           | every leaf an array of N with a mask `_key`, its own or its dict's       |
    | action         | is not written into                                                      |
    | ends           | episodes end within `steps`, otherwise the rest could not be judged      |
    | staggered      | rows end independently of each other                                     |
    | next-step      | the step after an end gives reward 0, no flags and what a reset gives,   |
    |                | whatever the action                                                      |
    | same-step      | `final_obs` and `_final_obs` tell the last observations of ended rows,   |
    |                | the observation is that of the reset                                     |
    | disabled       | a row that ended shows its last observation until it is reset            |
    | reset-mask     | `options={"reset_mask": mask}` resets just these rows, in every mode;    |
    |                | a mask of wrong shape or dtype, or without True, is refused              |
    | seed           | an int s is `[s, s+1, ...]`; equal seeds give equal episodes, also after |
    |                | the first; a row's seed decides its episodes, not its place              |
    | single         | row i with seed s lives as a single environment with seed s + i          |
    | alias          | what was returned does not change later, and may be written into         |
    | render         | with "rgb_array": N uint8 frames (H, W, 3), render_fps; changes nothing  |
    | close          | a second environment from `env.spec` closes twice                        |

    Where Gymnasium's own `SyncVectorEnv` falls short of what one might wish, less is demanded:
    `final_obs` may be an array of objects, an observation for each row that ended and None for
    the others, as well as a batch (other arrays of objects are refused); a mask is given in
    NumPy alone, never as a tensor; a refusal may be an AssertionError beside ValueError and
    TypeError; actions outside of their space are not tried, as they end an `AsyncVectorEnv`.
    Rows must be resettable one by one, so rows that share a scene cannot be judged.

    Args:
        env: What is judged.
        single: Makes the single environment of which `env` has N. Without it one is made from
            `env.spec`; where that cannot be, the clauses single and disabled are not judged.
        steps: Length of a play in steps, enough for episodes to end.
        seed: Seed of the plays and of the actions.

    Raises:
        ContractError: If a clause is broken; the message begins with its name.
        ValueError: If steps is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    _check_declarations(env)
    script = Script(env, seed, steps)
    turns = _first_play(env, script)
    _check_ends(script, turns)
    _check_seeds(env, script, turns)
    _check_writing(env, script, turns)
    if script.mode is AutoresetMode.NEXT_STEP:
        _check_next_step(env, script, turns)
    _check_reset_mask(env, script, turns)
    _check_render(env, script, turns)
    maker = single or maker_from_spec(env)
    if maker is not None:
        check_single(env, script, turns, maker)
    elif script.mode is AutoresetMode.SAME_STEP:
        check_final_differs(env, turns)
    _check_close(env)


def _check_declarations(env: Env) -> None:
    """Clauses autoreset-mode and spaces."""
    mode = env.metadata.get("autoreset_mode")
    demand(
        isinstance(mode, AutoresetMode),
        "autoreset-mode",
        f"metadata['autoreset_mode'] must be an AutoresetMode, got {mode!r}; set it in a copy of "
        "the class's metadata",
    )
    attribute = getattr(env.unwrapped, "autoreset_mode", None)
    demand(
        attribute is mode,
        "autoreset-mode",
        f"the attribute autoreset_mode is {attribute!r}, metadata says {mode}; set both in the "
        "constructor, and metadata in a copy that no other instance shares",
    )
    for name in ("observation_space", "action_space"):
        alone, batch = getattr(env, f"single_{name}"), getattr(env, name)
        kept = batch == batch_space(alone, env.num_envs)
        wanted = f"batch_space(single_{name}, {env.num_envs})"
        demand(kept, "spaces", f"{name} must be {wanted}, got {batch} for {alone}")


def _first_play(env: Env, script: Script) -> list[Turn]:
    """All clauses that one play can show."""
    turns: list[Turn] = []
    device = None
    for turn in script.play(env):
        device = device_of(turn.raw[0]) if not turns else device
        check_turn(env, turn, device)
        if turn.is_step and script.mode is AutoresetMode.SAME_STEP:
            check_final(env, turn)
        for name in ("reward", "terminated", "truncated"):
            wrong = turn.pending & (getattr(turn, name) != 0) if turn.is_step else turn.pending
            demand(
                not wrong.any(),
                "next-step",
                "{} only resets rows {}: their {} must be 0, got {}",
                *(turn.name, np.flatnonzero(turn.pending), name, getattr(turn, name)),
            )
        if not turn.rows.all():
            now, then = (
                rows_of(env.observation_space, each.observation, ~turn.rows)
                for each in (turn, turns[-1])
            )
            found = difference(now, then)
            demand(
                found is None,
                "reset-mask",
                f"{turn.name} was for rows {np.flatnonzero(turn.rows)} alone, but changed the "
                f"observation of others: {found}",
            )
        turns.append(turn)
    for turn in turns:
        flags = (turn.reward, turn.terminated, turn.truncated) if turn.is_step else ()
        found = difference(freeze(turn.raw), (turn.observation, *flags, turn.info))
        message = f"what {turn.name} returned changed later: {found}; return copies"
        demand(found is None, "alias", message)
    return turns


def _check_ends(script: Script, turns: list[Turn]) -> None:
    """Clauses ends and staggered."""
    ended = np.array([turn.ended for turn in turns if turn.is_step])
    demand(
        bool(ended.any()),
        "ends",
        f"no episode ended in {len(ended)} steps of random actions, so autoreset could not be "
        "judged; pass more steps, or make episodes shorter",
    )
    mixed, idle = ended.any(1) & ~ended.all(1), ~ended.any(1)
    demand(
        script.count == 1 or bool(mixed.any()) or not idle.any(),
        "staggered",
        f"all {script.count} rows always end together, though rows "
        f"{np.flatnonzero(script.staggered)} were reset after one step; count each row's own steps",
    )


def _check_seeds(env: Env, script: Script, turns: list[Turn]) -> None:
    """Clauses seed and reset."""
    seed, space, everyone = script.seed, env.observation_space, np.ones(script.count, np.bool_)
    quiet = next((i for i, each in enumerate(turns) if each.is_step and not each.ended.any()), 0)
    for _ in islice(script.play(env), quiet + 1):  # then no row awaits a reset
        pass
    mend = f"reset(seed={seed}) and the same actions must give the same again"
    expect_same("seed", mend, turns, script.play(env))
    seeds = [seed + i for i in range(script.count)]

    def begin(what: str, **kwargs: Any) -> tuple[Any, ...]:
        observation, _ = call("seed", f"reset({what})", env.reset, **kwargs)
        return rows_of(space, freeze(observation), everyone)

    first = begin(f"seed={seed}", seed=seed)
    then = begin("")
    for what, kwargs, wanted in (
        (f"seed={seeds}", {"seed": seeds}, first),
        ("", {}, then),
        (f"seed={seed}, options={{}}", {"seed": seed, "options": {}}, first),
        (f"seed={seeds[::-1]}", {"seed": seeds[::-1]}, first[::-1]),
    ):
        found = difference(begin(what, **kwargs), wanted)
        message = f"reset({what}) does not begin the episodes of these seeds: {found}"
        demand(found is None, "seed", message)
    must_refuse("seed", "a list of N + 1 seeds", env.reset, seed=[*seeds, seed])

    end = next(i for i, turn in enumerate(turns) if turn.ended.any())
    for _ in islice(script.play(env), end + 1):
        pass
    mend = "a reset of all rows must also forget that some had ended"
    expect_same("reset", mend, turns[: end + 5], script.play(env))


def _check_writing(env: Env, script: Script, turns: list[Turn]) -> None:
    """Clause alias, of what the environment goes on to use."""
    mend = "writing into what was returned, or into the action, changed the world; copy both"
    expect_same("alias", mend, turns, script.play(env, write=True))


def _check_next_step(env: Env, script: Script, turns: list[Turn]) -> None:
    """Clause next-step, of the action and the observation."""
    mend = "the action of a row that is only reset must be ignored"
    expect_same("next-step", mend, turns, script.play(env, disturb=True))
    at = next((i for i, turn in enumerate(turns) if turn.pending.any()), None)
    if at is None:
        return
    for _ in islice(script.play(env), at):
        pass
    rows, space = turns[at].pending, env.observation_space
    wanted = rows_of(space, freeze(reset_rows(env, rows)[0]), rows)
    found = difference(rows_of(space, turns[at].observation, rows), wanted)
    message = f"{turns[at].name} must show what a reset of the ended rows shows: {found}"
    demand(found is None, "next-step", message)
    if at + 1 < len(turns) and turns[at + 1].is_step:
        action = script.actions[sum(turn.is_step for turn in turns[: at + 1])]
        result = env.step(hand_over(action, device_of(turns[at].raw)))
        wanted = rows_of(space, turns[at + 1].observation, rows)
        found = difference(rows_of(space, freeze(result[0]), rows), wanted)
        message = f"rows that were reset by mask are reset again by the next step: {found}"
        demand(found is None, "reset-mask", message)


def _check_reset_mask(env: Env, script: Script, turns: list[Turn]) -> None:
    """Clause reset-mask."""
    mask, space, count = script.staggered, env.observation_space, script.count
    stepped = (turn for turn in script.play(env, stagger=False) if turn.is_step)
    for one, other in zip((turn for turn in turns if turn.is_step), stepped, strict=True):
        for name in ("observation", "reward", "terminated", "truncated"):
            if name == "observation":
                got, wanted = (rows_of(space, each.observation, ~mask) for each in (one, other))
            else:
                got, wanted = getattr(one, name)[~mask], getattr(other, name)[~mask]
            found = difference(got, wanted)
            message = "the reset of rows {} disturbed others in {}: {}{}"
            demand(
                found is None, "reset-mask", message, np.flatnonzero(mask), one.name, name, found
            )

    began = freeze(env.reset(seed=script.seed)[0])
    before = freeze(env.reset(seed=script.seed + 1000)[0])
    after = freeze(reset_rows(env, mask, script.seed)[0])
    for rows, wanted, message in (
        (mask, began, "must begin the episodes of their seeds"),
        (~mask, before, "are not in the mask and must stay as they are"),
    ):
        found = difference(rows_of(space, after, rows), rows_of(space, wanted, rows))
        message = f"reset with a seed and a mask: rows {np.flatnonzero(rows)} {message}: {found}"
        demand(found is None, "reset-mask", message)

    play = script.play(env)
    expect_same("seed", "the same seed and actions must give the same again", turns[:4], play)
    for what, bad in (
        (f"a mask of shape ({count + 1},)", np.ones(count + 1, np.bool_)),
        ("a mask of integers", np.ones(count, np.int64)),
        ("a mask without True", np.zeros(count, np.bool_)),
    ):
        must_refuse("reset-mask", what, env.reset, options={"reset_mask": bad})
    expect_same("reset-mask", "a refused mask must change nothing", turns[4:14], play)


def _check_render(env: Env, script: Script, turns: list[Turn]) -> None:
    """Clause render."""
    if env.render_mode != "rgb_array":
        return
    kept = "render_fps" in env.metadata
    demand(kept, "render", "metadata must have render_fps, by which videos are written")
    shown: list[tuple[Any, Any]] = []
    for one, other in zip(turns[:6], script.play(env), strict=False):
        expect_same("render", "render must not change the world", [one], [other])
        frames = call("render", "render()", env.render)
        kept = isinstance(frames, tuple | list) and len(frames) == script.count
        got = f"{type(frames).__name__} of shape {np.shape(frames)}"
        demand(kept, "render", f"render() must give a tuple of {script.count} frames, got {got}")
        for frame in frames:
            kept = isinstance(frame, np.ndarray) and frame.dtype == np.uint8
            kept = kept and frame.ndim == 3 and frame.shape[-1] == 3
            got = f"{getattr(frame, 'dtype', type(frame).__name__)} {np.shape(frame)}"
            demand(kept, "render", f"a frame must be a uint8 array (H, W, 3), got {got}")
        shown.append((frames, freeze(frames)))
    for frames, then in shown:
        found = difference(freeze(frames), then)
        demand(found is None, "alias", f"a frame that was given changed later: {found}")


def _check_close(env: Env) -> None:
    """Clause close, on a second environment."""
    spec = env.unwrapped.spec
    if spec is None:
        return
    again = call("close", "gymnasium.make_vec(env.spec)", gymnasium.make_vec, copy.deepcopy(spec))
    for what in ("close()", "a second close()"):
        call("close", what, again.close)
