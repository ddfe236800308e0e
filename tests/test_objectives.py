"""Losses with numbers worked out by hand, and gradients that go where they are declared to."""

import functools
import math
from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.objectives import (
    ROUTING,
    cross_entropies,
    dense_rewards,
    hybrid_losses,
    leave_one_out,
    normalize,
    returns_to_go,
)
from saccade.agents.rollout import Rollout, rollout
from saccade.counter import make_key, row_keys
from saccade.envs import Classify, GazeCore
from saccade.network import CORES, GaussianPolicy
from saccade.retina import Retina
from saccade.scanpath import Scanpath
from saccade.scenes import SceneMaker
from tests.test_core import noise

CHOICES = {"reward": "terminal", "baseline": "learned", "rollouts": 1}


def record(rewards):
    count, steps = rewards.shape
    return Scanpath(
        locations=torch.zeros(count, steps, 2),
        glimpses=torch.zeros(count, steps, 1, 1, 2, 2),
        beliefs=torch.full((count, steps, 2), 0.5),
        values=torch.zeros(count, steps),
        rewards=rewards,
        stop=torch.full((count,), steps),
        retina=Retina(2, 1),
        height=5,
        width=5,
    )


def by_hand(rewards, values, means, samples, logits=None):
    count, steps = rewards.shape
    logits = torch.zeros(count, steps, 2) if logits is None else logits
    return Rollout(
        scanpath=record(rewards),
        logits=logits,
        core_logits=logits,
        canvas_logits=None,
        asked=None,
        values=values,
        means=means,
        samples=samples,
        target=torch.zeros(count, dtype=torch.int64),
    )


def test_returns_add_up_what_is_still_to_come():
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    assert returns_to_go(rewards, 1.0).tolist() == [[7, 6, 4]]
    assert returns_to_go(rewards, 0.5).tolist() == [[3, 4, 4]]


def test_dense_reward_is_the_drop_in_cross_entropy_from_a_blind_guess():
    paid = dense_rewards(torch.tensor([[1.0, 0.25, 0.5]]), classes=10)
    assert paid[0].tolist() == pytest.approx([math.log(10) - 1, 0.75, -0.25])


def test_leave_one_out_is_the_mean_of_the_others():
    returns = torch.tensor([[0.0], [3.0], [6.0], [1.0], [1.0], [4.0]])
    assert leave_one_out(returns, 3)[:, 0].tolist() == [4.5, 3, 1.5, 2.5, 2.5, 1]


def test_normalized_advantages():
    assert normalize(torch.tensor([[1.0, 3.0]])).tolist()[0] == pytest.approx([-1, 1], abs=1e-3)
    assert normalize(torch.full((4, 2), 0.7)).abs().max() < 1e-3


def test_log_prob_is_the_gaussians_up_to_its_constant():
    means, samples = torch.randn(50, 2), torch.randn(50, 2)
    want = torch.distributions.Normal(means, 0.3).log_prob(samples).sum(-1)
    got = GaussianPolicy.log_prob(samples, means, 0.3)
    assert (want - got).std() < 1e-4


def test_policy_loss_by_hand():
    # Two episodes of two glimpses, one choice each; returns 1 and 0, guesses 0.5 and 0.25.
    means = torch.zeros(2, 1, 2, requires_grad=True)
    played = by_hand(
        rewards=torch.tensor([[0.0, 1.0], [0.0, 0.0]]),
        values=torch.tensor([[0.5], [0.25]], requires_grad=True),
        means=means,
        samples=torch.tensor([[[0.2, 0.0]], [[0.0, 0.4]]]),
    )
    losses = hybrid_losses(played, sigma=0.1, **CHOICES)
    # Advantages 0.5 and -0.25 have mean 0.125 and spread 0.375: normalized 1 and -1.
    # Log-probabilities: -0.04/0.02 = -2 and -0.16/0.02 = -8; loss = -(1*-2 + -1*-8)/2 = -3.
    assert float(losses.policy.detach()) == pytest.approx(-3, abs=2e-3)
    assert float(losses.baseline.detach()) == pytest.approx((0.25 + 0.0625) / 2)
    assert float(losses.reward) == pytest.approx(0.5)
    losses.policy.backward()
    # d/dmean of -A log p / N = -A (sample - mean) / sigma^2 / N: towards the rewarded sample.
    assert means.grad[0, 0].tolist() == pytest.approx([-10, 0], abs=2e-2)
    assert means.grad[1, 0].tolist() == pytest.approx([0, 20], abs=2e-2)


def test_each_choice_is_credited_with_what_it_led_to():
    # Cross-entropies 1.0, 0.6, 0.1 (two classes): choice 1 earned 0.4 + 0.5, choice 2 earned 0.5.
    logits = torch.tensor([[-math.log(math.exp(ce) - 1), 0.0] for ce in (1.0, 0.6, 0.1)])[None]
    played = by_hand(
        rewards=torch.zeros(1, 3),
        values=torch.zeros(1, 2, requires_grad=True),
        means=torch.zeros(1, 2, 2),
        samples=torch.zeros(1, 2, 2),
        logits=logits,
    )
    losses = hybrid_losses(played, sigma=0.1, **{**CHOICES, "reward": "dense"})
    # The baseline's loss is the mean square of the returns, its guess being 0.
    assert float(losses.baseline.detach()) == pytest.approx((0.9**2 + 0.5**2) / 2, abs=1e-5)
    # Rewards of the environment are paid for steps: step t leads to glimpse t + 1.
    paid = played._replace(scanpath=record(torch.tensor([[1.0, 10.0, 100.0]])))
    losses = hybrid_losses(paid, sigma=0.1, **CHOICES)
    assert float(losses.baseline.detach()) == pytest.approx((111**2 + 110**2) / 2)


def test_early_classification_is_a_mean_with_its_weight():
    logits = torch.randn(4, 3, 2)
    played = by_hand(torch.zeros(4, 3), torch.zeros(4, 0), *[torch.zeros(4, 0, 2)] * 2, logits)
    each = cross_entropies(logits, played.target)
    plain = hybrid_losses(played, sigma=0.1, **CHOICES).classify
    both = hybrid_losses(played, sigma=0.1, early=0.5, **CHOICES).classify
    assert torch.allclose(plain, each[:, 2].mean())
    assert torch.allclose(both, each[:, 2].mean() + 0.5 * each[:, :2].mean())
    want = torch.nn.functional.cross_entropy(logits[:, 1], played.target)
    assert torch.allclose(each[:, 1].mean(), want)


def play(
    core_name="rnn", first="center", gaze="learned", rollouts=1, routing="apart", slip=0.0,
    see=None, canvas=0,
):  # fmt: skip
    maker = SceneMaker(noise(), "translated", 20)
    config = TrainConfig(
        core=core_name, size=4, scales=2, glimpses=4, first=first, aim="relative", canvas=canvas
    )
    torch.manual_seed(0)
    network = config.agent_spec(maker.shape, maker.pool.classes).build()
    start = "random" if first == "random" else "center"
    core = GazeCore(Classify(maker), network.retina, 4, 6, rollouts=rollouts, first=start)
    if see is not None:
        network.see = functools.partial(see, network.see)
    played = rollout(
        network,
        core,
        key=row_keys(make_key(0), 6),
        gaze=gaze,
        learned_first=first == "learned",
        sigma=0.2,
        slip=slip,
        routing=routing,
    )
    return network, played


@pytest.mark.parametrize("core_name", CORES)
@pytest.mark.parametrize("first", ["center", "learned"])
@pytest.mark.parametrize("reward", ["terminal", "dense"])
@pytest.mark.parametrize("baseline", ["learned", "leave-one-out"])
@pytest.mark.parametrize(("routing", "canvas"), [("apart", 0), ("shared", 0), ("shared", 3)])
def test_gradients_go_where_they_are_declared_to(
    core_name, first, reward, baseline, routing, canvas
):
    rollouts = 2
    network, played = play(core_name, first, rollouts=rollouts, routing=routing, canvas=canvas)
    rewards = torch.rand_like(played.scanpath.rewards)  # episodes on a scene earn differently
    played = played._replace(scanpath=replace(played.scanpath, rewards=rewards))
    losses = hybrid_losses(
        played, sigma=0.2, reward=reward, baseline=baseline, rollouts=rollouts, early=0.3
    )
    for loss, declared in ROUTING[routing].items():
        network.zero_grad()
        getattr(losses, loss).backward(retain_graph=True)
        reached = {
            name
            for name, module in network.named_children()
            for each in module.parameters()
            if each.grad is not None and each.grad.abs().sum() > 0
        }
        assert reached == declared - (set() if canvas else {"canvas"}), loss


def test_every_parameter_is_trained_by_some_loss():
    network, played = play("lstm", "learned")
    losses = hybrid_losses(played, sigma=0.2, **{**CHOICES, "reward": "dense"})
    (losses.classify + losses.policy + losses.baseline).backward()
    idle = [name for name, each in network.named_parameters() if not each.grad.abs().sum() > 0]
    assert idle == []


def test_the_last_location_is_neither_sampled_nor_scored():
    _, played = play()
    assert played.means.shape == played.samples.shape == (6, 3, 2)  # T - 1 choices
    assert played.values.shape == (6, 3)
    assert torch.equal(played.scanpath.locations[:, 0], torch.zeros(6, 2))
    looked = played.scanpath.locations[:, 1:]
    assert torch.equal(looked, played.samples.clamp(-1, 1))
    _, learned = play(first="learned")
    assert learned.means.shape == (6, 4, 2)
    assert torch.equal(learned.scanpath.locations, learned.samples.clamp(-1, 1))


def test_samples_carry_no_gradient_and_are_not_clipped():
    _, played = play()
    assert not played.samples.requires_grad
    assert not played.scanpath.locations.requires_grad
    assert not played.scanpath.glimpses.requires_grad
    assert not torch.equal(played.samples, played.means.detach())


def test_a_script_leaves_the_policy_alone():
    network, played = play(gaze="random")
    assert played.means.shape == (6, 0, 2)
    losses = hybrid_losses(played, sigma=0.2, **CHOICES)
    assert float(losses.policy) == float(losses.baseline) == 0
    (losses.classify + losses.policy + losses.baseline).backward()
    assert all(each.grad is None for each in network.policy.parameters())


@pytest.mark.parametrize("first", ["center", "random", "learned"])
def test_an_eye_that_slips_is_believed_to_be_where_it_was_sent(first):
    told = []

    def see(real, glimpse, location, state):
        told.append(location)
        return real(glimpse, location, state)

    _, played = play(first=first, rollouts=100, slip=0.05, see=see)
    sent, were = torch.stack(told, 1), played.scanpath.locations
    assert torch.equal(sent[:, -3:], played.samples[:, -3:].clamp(-1, 1))
    if first == "learned":
        assert torch.equal(sent, played.samples.clamp(-1, 1))
    elif first == "center":
        assert not sent[:, 0].any()
    else:  # drawn by the world, and hit
        assert torch.equal(sent[:, 0], were[:, 0])
    beside = (were - sent)[:, first == "random" :]
    free = (were.abs() < 1).all(-1).all(-1)
    assert free.float().mean() > 0.5
    beside = beside[free]
    assert beside.std() == pytest.approx(0.05, rel=0.05)
    assert abs(beside.mean()) < 0.005
    drawn = (played.samples - played.means.detach())[free][:, -3:]
    assert abs(torch.corrcoef(torch.stack([beside[:, -3:], drawn]).flatten(1))[0, 1]) < 0.1
    slips = beside.flatten(1)  # each of its own: places, x and y, episodes on one scene
    assert (torch.corrcoef(slips.T) - torch.eye(slips.shape[1])).abs().max() < 0.2
    assert slips.unique(dim=0).shape == slips.shape
