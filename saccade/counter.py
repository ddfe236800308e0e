"""Randomness by counter: a random number is a pure function of a key, never of a stream.

A key is an int64 tensor with one entry a row. Rows do not know of each other, so a batch of N
equals N singles; nothing is stored, so any episode or update can be replayed from its numbers
alone. Integers and uniforms are equal on every device; normals agree to about 1e-6.

The mixing function is the finalizer of SplitMix64 (Steele, Lea & Flood 2014).
"""

import math
import zlib

import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # odd, close to 2^64 / golden ratio
MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
MIX_2 = 0x94D049BB133111EB - 2**64


def _mix(z: Tensor) -> Tensor:
    """Scrambles int64 entries; products wrap around, shifts are logical."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * MIX_1
    z = (z ^ ((z >> 27) & (2**37 - 1))) * MIX_2
    return z ^ ((z >> 31) & (2**33 - 1))


@torch.compiler.assume_constant_result
def _hash(name: str) -> int:
    """A number for a name, beyond those that count."""
    return zlib.crc32(name.encode()) + 2**40


def fold(key: Tensor, value: int | str | Tensor) -> Tensor:
    """Derives a new key for a purpose, a counter or a row.

    Args:
        key: `(N,)` or `()` int64.
        value: A name (hashed by CRC-32), a whole number, or an int64 tensor that broadcasts.

    Returns:
        int64 of the broadcast shape.
    """
    if isinstance(value, str):
        value = int(_hash(value))
    if isinstance(value, int):
        value = torch.full_like(key, value)
    return _mix(_mix(key + GOLDEN) + value * GOLDEN)


def make_key(seed: int, device: torch.device | str = "cpu") -> Tensor:
    """The `()` int64 key that a seed stands for."""
    return torch.full((), seed, dtype=torch.int64, device=device)


@torch.compiler.assume_constant_result
def _count(numbers: int, device: torch.device) -> Tensor:
    return torch.arange(numbers, device=device)


def count_up(start: int, stop: int, device: torch.device) -> Tensor:
    """int64 from start to stop - 1, of which a compiler knows nothing.

    Products with numbers as large as these wrap around. Of a loop's own counter, which `arange`
    becomes in compiled C++, a compiler may take that for impossible, and drop the loop's end.
    """
    # The sum is a constant with a name of its own; two of `_count`'s in a graph would share one.
    return _count(stop - start, device) + start


def row_keys(key: Tensor, count: int) -> Tensor:
    """`(count,)` keys, one a row, derived from a `()` key."""
    return fold(key, count_up(0, count, key.device))


def _bits(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`(N, *shape)` int64 of 64 random bits each."""
    count = math.prod(shape)
    steps = count_up(1, count + 1, key.device) * GOLDEN
    return _mix(_mix(key)[:, None] + steps).view(len(key), *shape)


def uniform(key: Tensor, *shape: int) -> Tensor:
    """`(N, *shape)` float32, uniform on the multiples of 2^-24 in [0, 1), from keys `(N,)`."""
    return ((_bits(key, shape) >> 40) & (2**24 - 1)).float() * 2.0**-24


def integers(key: Tensor, high: int | Tensor, *shape: int) -> Tensor:
    """`(N, *shape)` int64, uniform in [0, high), from keys `(N,)`; high is at most 2^31."""
    return (((_bits(key, shape) >> 32) & (2**32 - 1)) * high) >> 32


def normal(key: Tensor, *shape: int) -> Tensor:
    """`(N, *shape)` float32, standard normal by Box and Muller, from keys `(N,)`."""
    radius = (-2 * torch.log1p(-uniform(fold(key, "radius"), *shape))).sqrt()
    return radius * torch.cos(2 * math.pi * uniform(fold(key, "angle"), *shape))
