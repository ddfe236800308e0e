"""Rows of what a Gymnasium vector environment gives: observations and infos, each row its own."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

Info = dict[str, Any]


def to_numpy(value: Any) -> NDArray[Any]:
    """An array or a tensor of any device as an array; may share memory with it."""
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)


def copy_out(observation: Any, space: spaces.Space) -> Any:
    """One observation or a batch of them as fresh arrays of the space's dtype."""
    if isinstance(space, spaces.Dict):
        return {key: copy_out(observation[key], sub) for key, sub in space.items()}
    return np.array(to_numpy(observation), dtype=space.dtype)


def pick_rows(batch: Any, rows: list[int]) -> list[Any]:
    """The observations of some rows, views of the batch."""
    if isinstance(batch, dict):
        return [{key: value[row] for key, value in batch.items()} for row in rows]
    return [batch[row] for row in rows]


def final_rows(info: Info, space: spaces.Space, rows: list[int]) -> list[Any]:
    """The last observations of rows that ended in SAME_STEP mode."""
    if "final_obs" not in info:
        raise RuntimeError("an episode ended in SAME_STEP mode, but info has no final_obs")
    final = info["final_obs"]
    if isinstance(final, np.ndarray) and final.dtype == object:  # SyncVectorEnv: one object a row
        return [copy_out(final[row], space) for row in rows]
    return pick_rows(copy_out(final, space), rows)


def same_rows(one: Any, other: Any, which: NDArray[np.bool_]) -> bool:
    """Whether two batches of observations are equal in some rows."""
    if isinstance(one, dict):
        return all(same_rows(one[key], other[key], which) for key in one)
    return np.array_equal(one[which], other[which])


def split_info(info: Info, which: NDArray[np.bool_]) -> list[Info]:
    """Infos of the rows in a mask, taken from a vector environment's; of the others, empty ones.

    Entries are Python numbers where the vector environment has an array with one for each row;
    what has no entry for each row is given to all. Masks and what is kept of ends are left out.
    """
    count = len(which)
    rows: list[Info] = [{} for _ in range(count)]
    for key, values in info.items():
        if key in ("final_obs", "final_info") or (key[:1] == "_" and key[1:] in info):
            continue
        mask = info.get(f"_{key}")
        told = which if mask is None else which & to_numpy(mask)
        if isinstance(values, dict):
            values = split_info(values, told)
        elif isinstance(values, np.ndarray | Tensor) and values.ndim and len(values) == count:
            array = np.array(to_numpy(values))
            values = array.tolist() if array.ndim == 1 else list(array)
        else:
            values = [values] * count
        for row in np.flatnonzero(told).tolist():
            rows[row][key] = values[row]
    return rows
