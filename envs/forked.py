"""A single environment in a process of its own, as Gymnasium's AsyncVectorEnv makes it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread: enough for one row, and more would hang in a forked process.

    GNU's OpenMP cannot start threads in a child of a process that has used them, which is what
    AsyncVectorEnv makes on Linux by default.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
