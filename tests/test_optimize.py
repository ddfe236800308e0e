"""What the optimizer does to weights that nothing is learned about."""

from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.optimize import BrokenGradientError, Optimizer
from saccade.agents.reinforce import Reinforce
from saccade.data import Splits
from saccade.digits import draw_digits

DIGITS = draw_digits(40, seed=0)
SMALL = TrainConfig(what=8, where=4, hidden=8, policy_hidden=4, batch=8, warmup=0, updates=10)


def make_network(config):
    return Reinforce(config, Splits(DIGITS, DIGITS, DIGITS, "digits"), torch.device("cpu")).network


@pytest.mark.parametrize(("kind", "kept"), [("adam", 1.0), ("adamw", 1 - 0.1 * 0.5)])
def test_decay_is_decoupled_or_not_there(kind, kept):
    config = replace(SMALL, optimizer=kind, lr=0.1, weight_decay=0.5)
    network = make_network(config)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    nothing = sum(0.0 * value.sum() for value in network.parameters())
    Optimizer(config, network).step(nothing, 0)
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] * kept)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_policy_moves_at_its_own_rate(scale):
    """The first step of Adam moves every weight by the learning rate, whatever the gradient."""
    config = replace(SMALL, optimizer="adam", lr=1e-3, policy_lr_scale=scale)
    network = make_network(config)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    Optimizer(config, network).step(sum(value.sum() for value in network.parameters()), 0)
    for name, value in network.named_parameters():
        step = 1e-3 * (scale if name.startswith("policy.") else 1.0)
        torch.testing.assert_close(before[name] - value.detach(), torch.full_like(value, step))


def test_a_policy_at_a_rate_of_its_own_learns_from_no_broken_gradient():
    config = replace(SMALL, policy_lr_scale=0.5)
    network = make_network(config)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = Optimizer(config, network)
    optimizer.step(float("nan") * network.policy.net[0].bias.sum(), 0)
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    with pytest.raises(BrokenGradientError, match="policy"):
        optimizer.check()


def test_a_state_of_another_number_of_rates_is_refused():
    one, two = (replace(SMALL, policy_lr_scale=scale) for scale in (1.0, 0.5))
    state = Optimizer(one, make_network(one)).state_dict()
    with pytest.raises(ValueError, match="group"):
        Optimizer(two, make_network(two)).load_state_dict(state)


@pytest.mark.parametrize("kinds", [(True, True), (True, False), (False, True)])
def test_what_is_recorded_or_not_takes_up_where_the_other_stood(kinds):
    config = replace(SMALL, warmup=3, policy_lr_scale=0.5)
    networks = [make_network(config) for _ in range(2)]

    def learn(optimizer, updates):
        for update in updates:
            loss = sum((value**2).sum() for value in optimizer.network.parameters())
            optimizer.step(loss * (1 + update), update)

    straight = Optimizer(config, networks[0], recorded=kinds[1])
    learn(straight, range(8))
    first = Optimizer(config, networks[1], recorded=kinds[0])
    learn(first, range(4))
    state = first.state_dict()
    assert [group["lr"] for group in state["param_groups"]] == [config.lr] * 2, "plain numbers"
    second = Optimizer(config, networks[1], recorded=kinds[1])
    rates = list(second.rates)
    second.load_state_dict(state)
    learn(second, range(4, 8))
    for group, rate in zip(second.adam.param_groups, rates, strict=True):
        assert group["capturable"] == kinds[1]
        assert (group["lr"] is rate) == kinds[1], "what is recorded reads a rate that stays"
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert float(straight.rates[0]) == pytest.approx(float(second.rates[0]))
