"""What every checker shares: its error, and trees of arrays read, compared and written over.

A tree is what an environment returns: NumPy arrays or torch tensors, in dicts, tuples or object
arrays, to any depth.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor


class ContractError(AssertionError):
    """A clause of a contract is broken. The message begins with its name, and says the mend."""


def demand(kept: bool, clause: str, message: str, *values: Any) -> None:
    """Raises `ContractError` with "clause: message" unless the clause is kept.

    Args:
        kept: Whether it is.
        clause: Its name.
        message: What is wrong, and the mend.
        *values: Put in the place of {} in the message, which costs time only where it is raised.
    """
    if not kept:
        raise ContractError(f"{clause}: {message.format(*values) if values else message}")


def call(clause: str, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls `function`; whatever it raises breaks the clause, described by `what`."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ContractError(f"{clause}: {what} must work, it raised {reason}") from error


def must_refuse(
    clause: str, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any
) -> None:
    """Demands that `function` raises what Gymnasium raises for bad input, described by `what`."""
    try:
        function(*args, **kwargs)
    except (AssertionError, TypeError, ValueError):
        return
    except Exception as error:
        raise ContractError(
            f"{clause}: {what} must raise ValueError or TypeError, it raised {error!r}"
        ) from error
    raise ContractError(f"{clause}: {what} must raise ValueError or TypeError, it was accepted")


def is_array(value: Any) -> bool:
    """Whether this is a NumPy array or a torch tensor."""
    return isinstance(value, np.ndarray | Tensor)


def is_objects(value: Any) -> bool:
    """Whether this is a NumPy array of objects."""
    return isinstance(value, np.ndarray) and value.dtype == np.object_


def children(tree: Any) -> Iterator[tuple[str, Any]]:
    """The branches of a tree with their index as it is written; nothing for a leaf."""
    if isinstance(tree, Mapping):
        yield from ((f"[{key!r}]", value) for key, value in tree.items())
    elif isinstance(tree, tuple | list) or (is_objects(tree) and tree.ndim):
        yield from ((f"[{i}]", value) for i, value in enumerate(tree))


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a tree with the path to it, such as `['gaze']`."""
    if isinstance(tree, Mapping | tuple | list) or is_objects(tree):
        for index, branch in children(tree):
            yield from leaves(branch, path + index)
    else:
        yield path, tree


def freeze(tree: Any) -> Any:
    """The same tree in NumPy, sharing no memory with it."""
    if isinstance(tree, Mapping):
        return {key: freeze(value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(freeze(value) for value in tree)
    if is_objects(tree):
        frozen = np.empty(len(tree), np.object_)
        for i, value in enumerate(tree):
            frozen[i] = freeze(value)
        return frozen
    if isinstance(tree, Tensor):
        return tree.detach().cpu().numpy().copy()
    return tree.copy() if isinstance(tree, np.ndarray) else tree


def to_tensors(tree: Any, device: torch.device) -> Any:
    """The same tree with tensors in the place of NumPy arrays."""
    if isinstance(tree, Mapping):
        return {key: to_tensors(value, device) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(to_tensors(value, device) for value in tree)
    return torch.tensor(tree, device=device) if isinstance(tree, np.ndarray) else tree


def device_of(tree: Any) -> torch.device | None:
    """Where the tree's tensors live; None for a tree without tensors."""
    return next((leaf.device for _, leaf in leaves(tree) if isinstance(leaf, Tensor)), None)


def scribble(tree: Any) -> None:
    """Writes over every array that can be written, and empties every dict."""
    for _, branch in children(tree):
        scribble(branch)
    if isinstance(tree, MutableMapping):
        tree.clear()
    elif isinstance(tree, Tensor):
        with suppress(RuntimeError), torch.no_grad():  # expanded tensors cannot be written
            tree.logical_not_() if tree.dtype == torch.bool else tree.fill_(77)
    elif isinstance(tree, np.ndarray) and tree.flags.writeable:
        if tree.dtype == np.bool_:
            np.logical_not(tree, out=tree)
        elif np.issubdtype(tree.dtype, np.number):
            tree[...] = 77


def difference(got: Any, expected: Any, tolerance: float = 0.0) -> str | None:
    """Where two trees of NumPy arrays differ, in words; None where they are the same.

    Args:
        got: A tree.
        expected: The tree it should be.
        tolerance: How far floats may be apart, absolutely and relatively. NaN equals NaN.
    """
    ours, theirs = dict(leaves(got)), dict(leaves(expected))
    if set(ours) != set(theirs):
        return f" has {sorted(ours)}, expected {sorted(theirs)}"
    for path, value in ours.items():
        wanted = theirs[path]
        try:
            one, other = np.asarray(value), np.asarray(wanted)
        except ValueError:
            one, other = np.empty(0), np.empty(1)
        if one.shape != other.shape:
            return f"{path} is {value!r}, expected {wanted!r}"
        if np.issubdtype(one.dtype, np.inexact) and np.issubdtype(other.dtype, np.inexact):
            same = np.isclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)
        else:
            same = np.asarray(one == other)
        if not same.all():
            at = tuple(int(i) for i in np.argwhere(~same)[0])
            index = f"[{', '.join(map(str, at))}]" if at else ""
            return f"{path}{index} is {one[at]}, expected {other[at]}"
    return None
