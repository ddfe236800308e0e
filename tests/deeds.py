"""What the tests of tasks begin with and do: keys, and one row's deed."""

import torch

from saccade.counter import make_key, row_keys
from saccade.envs import Deed


def keys(count, seed=0):
    return row_keys(make_key(seed), count)


def deed(x=0.0, y=0.0, *, side=2, decision=-1, counts=True, t=2):
    """One row's deed; x and y in pixels of a scene of this side (2: a location plus one)."""
    location = torch.tensor([[x, y]]) / side * 2 - 1
    return Deed(location, torch.tensor([decision]), torch.tensor([counts]), torch.tensor([t]))
