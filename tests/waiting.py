"""Forbids waiting for a GPU."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def never_waiting() -> Iterator[None]:
    """Within, whatever waits for the device is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of this check about itself: that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
