"""Memory that a look fills and forgets: kept, a piece for each name and thread, for the next one.

A fresh piece of megabytes costs more than what is done with it: the system clears its pages first.
"""

import threading
from math import prod

import torch
from torch import Tensor


class _Pieces(threading.local):
    def __init__(self) -> None:
        self.pieces: dict[str, Tensor] = {}


_OWN = _Pieces()


def scratch(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """CPU memory of a shape, with anything in it; the next call of that name may give the same.

    Args:
        name: What it is for; pieces that are in use at the same time have different ones.
        shape: Its shape.
        dtype: Its type.
    """
    size = prod(shape) * dtype.itemsize
    piece = _OWN.pieces.get(name)
    if piece is None or piece.numel() < size:
        piece = _OWN.pieces[name] = torch.empty(size, dtype=torch.uint8, device="cpu")
    return piece[:size].view(dtype).view(shape)
