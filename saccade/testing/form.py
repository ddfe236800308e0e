"""The form of what one call of a vector environment returns: types, shapes, ranges, masks."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from torch import Tensor

from saccade.testing.contract import call, demand, freeze, is_array, is_objects, leaves
from saccade.testing.play import Rows, Turn, rows_of


def check_turn(env: VectorEnv[Any, Any, Any], turn: Turn, device: torch.device | None) -> None:
    """Clauses observation, reward, flags, info.

    Args:
        env: The environment.
        turn: What a call of it returned.
        device: Where its tensors live; None for NumPy.
    """
    count = env.num_envs
    for path, leaf in leaves(turn.raw[0]):
        if is_array(leaf):
            _check_kind("observation", f"{turn.name}: observation{path}", leaf, device)
    check_observation(env.observation_space, turn.observation, f"{turn.name}: observation")
    if turn.is_step:
        _check_column("reward", f"{turn.name}: reward", turn.raw[1], count, device)
        _check_column("flags", f"{turn.name}: terminated", turn.raw[2], count, device)
        _check_column("flags", f"{turn.name}: truncated", turn.raw[3], count, device)
    _check_info(turn.raw[-1], count, device, f"{turn.name}: info", covered=False)


def check_observation(
    space: gymnasium.Space[Any], value: Any, where: str, clause: str = "observation"
) -> None:
    """Demands that a tree of NumPy arrays is in its space, with the very shapes and dtypes."""
    if isinstance(space, spaces.Dict):
        kept = isinstance(value, Mapping) and set(value) == set(space.spaces)
        got = sorted(value) if isinstance(value, Mapping) else type(value).__name__
        demand(kept, clause, f"{where} must have the keys {sorted(space.spaces)}, got {got}")
        for key, branch in space.spaces.items():
            check_observation(branch, value[key], f"{where}[{key!r}]", clause)
        return
    if isinstance(space, spaces.Tuple):
        kept = isinstance(value, tuple) and len(value) == len(space.spaces)
        demand(kept, clause, f"{where} must be a tuple of {len(space.spaces)}, got {value!r}")
        for i, branch in enumerate(space.spaces):
            check_observation(branch, value[i], f"{where}[{i}]", clause)
        return
    if isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        kept = isinstance(value, np.ndarray | np.generic)
        demand(kept, clause, f"{where} must be an array, got {type(value).__name__}")
        value = np.asarray(value)
        kept = value.shape == space.shape and value.dtype == space.dtype
        message = "{} must be {} of shape {} as its space says, got {} of shape {}"
        found = (where, space.dtype, space.shape, value.dtype, value.shape)
        demand(kept, clause, message, *found)
    kept = space.contains(value)
    message = "{} must lie in {}, got {!r}; widen the space or clip"
    demand(kept, clause, message, where, space, value)


def final_rows(
    env: VectorEnv[Any, Any, Any],
    info: Mapping[str, Any],
    ended: Rows,
    name: str,
    clause: str = "same-step",
) -> tuple[Any, ...]:
    """The last observations of the rows that ended, from either form of `final_obs`."""
    final = info["final_obs"]
    if is_objects(final):
        return tuple(final[i] for i in np.flatnonzero(ended))
    what = f"{name}: reading final_obs as a batch of observations"
    rows: tuple[Any, ...] = call(clause, what, rows_of, env.observation_space, final, ended)
    return rows


def check_final(env: VectorEnv[Any, Any, Any], turn: Turn) -> None:
    """Clause same-step: `final_obs` and its mask say which rows ended, and on what."""
    ended, mask = turn.ended, turn.info.get("_final_obs")
    where = f"{turn.name}: info['_final_obs']"
    if not ended.any():
        kept = mask is None or not mask.any()
        demand(kept, "same-step", f"{where} is {mask}, but no row has ended")
        return
    kept = "final_obs" in turn.info and mask is not None
    demand(
        kept,
        "same-step",
        f"{turn.name}: rows {np.flatnonzero(ended)} ended, so info must have final_obs, their "
        f"last observations, and the mask _final_obs; got {sorted(turn.info)}",
    )
    kept = isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and np.array_equal(mask, ended)
    message = "{} is {}, but the rows that ended are {}"
    demand(kept, "same-step", message, where, mask, ended)
    rows = final_rows(env, turn.info, ended, turn.name)
    for row, i in zip(rows, np.flatnonzero(ended), strict=True):
        where = f"{turn.name}: final_obs of row {i}"
        check_observation(env.single_observation_space, row, where, "same-step")


def _check_kind(clause: str, where: str, value: Any, device: torch.device | None) -> None:
    if device is None:
        kept, wanted = isinstance(value, np.ndarray), "a NumPy array"
    else:
        kept = isinstance(value, Tensor) and value.device == device
        wanted = f"a tensor on {device}"
    got = f"a tensor on {value.device}" if isinstance(value, Tensor) else type(value).__name__
    demand(kept, clause, f"{where} must be {wanted}, as the observation is, got {got}")


def _check_column(
    clause: str, where: str, value: Any, count: int, device: torch.device | None
) -> None:
    """One number or flag for each row."""
    _check_kind(clause, where, value, device)
    column = freeze(value)
    kept = column.shape == (count,)
    demand(kept, clause, f"{where} must have shape ({count},), got {column.shape}")
    if clause == "flags":
        kept, wanted = column.dtype == np.bool_, "bool"
    else:
        kept, wanted = np.issubdtype(column.dtype, np.floating), "floating point"
    demand(bool(kept), clause, f"{where} must be {wanted}, got {column.dtype}; convert it")
    kept = bool(np.isfinite(column).all())
    demand(kept, clause, "{} must be finite, got {}", where, column)


def _check_info(
    info: Mapping[str, Any], count: int, device: torch.device | None, where: str, covered: bool
) -> None:
    """Every leaf is an array of one entry a row, with a mask beside it or around it."""
    for key, value in info.items():
        name = f"{where}[{key!r}]"
        if key.startswith("_"):
            kept = key[1:] in info
            demand(kept, "info", f"{name} is a mask without info[{key[1:]!r}]; leave it out")
            _check_array(value, count, device, name)
            kept = freeze(value).dtype == np.bool_
            demand(kept, "info", f"{name} is a mask and must be bool, got {value.dtype}")
            continue
        masked = covered or f"_{key}" in info
        if isinstance(value, Mapping) and key != "final_obs":
            _check_info(value, count, device, name, masked)
            continue
        demand(masked, "info", f"{name} must have a mask _{key} of the rows that it is for")
        if key != "final_obs":  # a batch or an array of objects, see check_final
            _check_array(value, count, device, name)


def _check_array(value: Any, count: int, device: torch.device | None, name: str) -> None:
    kept = isinstance(value, np.ndarray) or (device is not None and isinstance(value, Tensor))
    kind = "a NumPy array" if device is None else "an array"
    got = type(value).__name__
    demand(kept, "info", f"{name} must be {kind} with one entry for each row, got {got}")
    kept = value.ndim > 0 and len(value) == count
    demand(kept, "info", f"{name} must have one entry for each of {count} rows, got {value!r}")
    message = f"{name} must not be an array of objects, which no tool can convert; give numbers"
    demand(not is_objects(value), "info", message)
