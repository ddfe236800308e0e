"""What the optimizer does to weights that nothing is learned about."""

from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.optimize import Optimizer
from saccade.agents.reinforce import Reinforce
from saccade.data import Splits
from saccade.digits import draw_digits

DIGITS = draw_digits(40, seed=0)
SMALL = TrainConfig(what=8, where=4, hidden=8, policy_hidden=4, batch=8, warmup=0, updates=10)


@pytest.mark.parametrize(("kind", "kept"), [("adam", 1.0), ("adamw", 1 - 0.1 * 0.5)])
def test_decay_is_decoupled_or_not_there(kind, kept):
    config = replace(SMALL, optimizer=kind, lr=0.1, weight_decay=0.5)
    network = Reinforce(
        config, Splits(DIGITS, DIGITS, DIGITS, "digits"), torch.device("cpu")
    ).network
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    nothing = sum(0.0 * value.sum() for value in network.parameters())
    Optimizer(config, network).step(nothing, 0)
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] * kept)
