"""The contract that a row of a vector environment lives as a single environment does."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import iterate

from saccade.testing.contract import demand, difference, is_objects
from saccade.testing.form import final_rows
from saccade.testing.play import Rows, Script, Turn, rows_of

Env = VectorEnv[Any, Any, Any]
Maker = Callable[[], gymnasium.Env[Any, Any]]
CLOSE = 1e-5  # how far floats may be from a single environment's, which may be another device's


def maker_from_spec(env: Env) -> Maker | None:
    """Makes single environments from what `gymnasium.make_vec` has recorded, if it can be."""
    spec = env.spec if env is env.unwrapped else None
    if spec is None or spec.entry_point is None or "wrappers" in spec.kwargs:
        return None
    ours = ("num_envs", "vectorization_mode", "vector_kwargs", "autoreset_mode")
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in ours}
    name = spec.id

    def make() -> gymnasium.Env[Any, Any]:
        return gymnasium.make(name, disable_env_checker=True, **kwargs)

    try:
        make().close()
    except TypeError:  # an argument that only the vector environment has
        return None
    return make


def check_single(env: Env, script: Script, turns: list[Turn], maker: Maker) -> None:
    """Clause single, and what only a single environment can show of the autoreset modes."""
    reference = SyncVectorEnv([maker] * script.count, autoreset_mode=script.mode)
    try:
        for name in ("single_observation_space", "single_action_space"):
            ours, theirs = getattr(env, name), getattr(reference, name)
            message = f"{name} is {ours}, a single environment's is {theirs}"
            demand(ours == theirs, "single", message)
        for one, other in zip(script.play(reference), turns, strict=True):
            _compare(env, script, one, other)
    finally:
        reference.close()


def _compare(env: Env, script: Script, one: Turn, ours: Turn) -> None:
    """Demands that a turn of ours is `one`, that of single environments."""
    mend = f"row i must live as a single environment with seed {script.seed} + i"
    for name in ("reward", "terminated", "truncated"):
        found = difference(getattr(ours, name), getattr(one, name), CLOSE)
        demand(found is None, "single", f"{one.name}: {name}{found}; {mend}")
    pairs = (iterate(env.observation_space, each.observation) for each in (ours, one))
    for i, (got, wanted) in enumerate(zip(*pairs, strict=True)):
        clause, rule = "single", mend
        if one.pending[i]:
            clause, rule = "next-step", "the step after an end must show the reset"
        elif one.ended[i] and script.mode is AutoresetMode.SAME_STEP:
            clause, rule = "same-step", "the step that ends must show the reset"
        elif one.ended[i]:
            clause = "disabled" if script.mode is AutoresetMode.DISABLED else "next-step"
            rule = "a row that has ended must show its last observation, before any reset"
        found = difference(got, wanted, CLOSE)
        demand(found is None, clause, f"{one.name}: observation of row {i}{found}; {rule}")
    if script.mode is AutoresetMode.SAME_STEP and one.ended.any():
        got, wanted = (final_rows(env, each.info, one.ended, one.name) for each in (ours, one))
        found = difference(got, wanted, CLOSE)
        message = f"{one.name}: final_obs of ended row{found}; it must be the last observation"
        demand(found is None, "same-step", message)
    _compare_infos(one.info, ours.info, one.rows, f"{one.name}: info", mend)


def _compare_infos(
    one: Mapping[str, Any], ours: Mapping[str, Any], rows: Rows, where: str, mend: str
) -> None:
    """Demands that infos agree in the keys and rows that both have."""
    for key in sorted(set(one) & set(ours) - {"final_obs", "episode"}):  # episode holds a clock
        if key.startswith("_"):
            continue
        both = rows & one.get(f"_{key}", rows) & ours.get(f"_{key}", rows)
        if isinstance(one[key], Mapping) and isinstance(ours[key], Mapping):
            _compare_infos(one[key], ours[key], both, f"{where}[{key!r}]", mend)
        elif not is_objects(one[key]):
            found = difference(ours[key][both], one[key][both], CLOSE)
            demand(found is None, "single", f"{where}[{key!r}]{found}; {mend}")


def check_final_differs(env: Env, turns: list[Turn]) -> None:
    """Clause same-step where no single environment shows what the last observation is."""
    ends = [turn for turn in turns if turn.ended.any()]
    finals = [final_rows(env, turn.info, turn.ended, turn.name) for turn in ends]
    shown = [rows_of(env.observation_space, turn.observation, turn.ended) for turn in ends]
    varies = any(difference(turn.observation, turns[0].observation) for turn in turns)
    demand(
        difference(tuple(finals), tuple(shown)) is not None or not varies,
        "same-step",
        "final_obs is always what the step shows: one of them must be the last observation of "
        "the episode that ended, the other the first of the next",
    )
