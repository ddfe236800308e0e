"""What is learned from a rollout: returns, baselines and losses, as pure functions.

The hybrid objective of Mnih et al. 2014 (section 3): cross-entropy trains what sees and
remembers, REINFORCE (Williams 1992) trains where to look, regression trains the baseline.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.agents.ranks import mean_over_ranks
from saccade.agents.rollout import Rollout
from saccade.network import GaussianPolicy

# Which loss trains which modules of the network, and no other. Where all is shared, what sees and
# remembers also learns from REINFORCE what is needed to choose a place.
_APART = {
    "classify": frozenset({"encoder", "core", "classifier", "canvas"}),
    "policy": frozenset({"policy"}),
    "baseline": frozenset({"baseline"}),
}
ROUTING: dict[str, dict[str, frozenset[str]]] = {
    "apart": _APART,
    "shared": _APART | {"policy": frozenset({"encoder", "core", "policy"})},
}


class Losses(NamedTuple):
    """The three losses, each a scalar, unweighted, and the mean return they were made from."""

    classify: Tensor
    policy: Tensor
    baseline: Tensor
    reward: Tensor


def cross_entropies(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy after each glimpse: `(N, T, K)` logits and `(N,)` labels to `(N, T)`."""
    batch, steps, classes = logits.shape
    flat = F.cross_entropy(
        logits.reshape(-1, classes), target.repeat_interleave(steps), reduction="none"
    )
    return flat.view(batch, steps)


def dense_rewards(entropies: Tensor, classes: int) -> Tensor:
    """Reward for each glimpse: by how much it lowered the cross-entropy.

    Args:
        entropies: `(N, T)` cross-entropy after each glimpse.
        classes: K; before the first glimpse the cross-entropy is that of a blind guess, log K.

    Returns:
        `(N, T)`; entry t is the reward of the choice that led to glimpse t.
    """
    blind = torch.full_like(entropies[:, :1], math.log(classes))
    return -torch.diff(entropies, dim=1, prepend=blind)


def returns_to_go(rewards: Tensor, discount: float) -> Tensor:
    """Discounted sum of this and all later rewards, `(N, T)` to `(N, T)`."""
    total, out = torch.zeros_like(rewards[:, 0]), []
    for reward in reversed(rewards.unbind(1)):
        total = reward + discount * total
        out.append(total)
    return torch.stack(out[::-1], 1)


def leave_one_out(returns: Tensor, rollouts: int) -> Tensor:
    """The mean return of the other rollouts on the same scene (Kool et al. 2019).

    Args:
        returns: `(B * rollouts, A)`, rows of a scene being neighbors.
        rollouts: M, 2 or more.

    Returns:
        `(B * rollouts, A)` baselines, each independent of its own row.
    """
    grouped = returns.view(-1, rollouts, returns.shape[1])
    others = (grouped.sum(1, keepdim=True) - grouped) / (rollouts - 1)
    return others.view_as(returns)


def normalize(advantages: Tensor) -> Tensor:
    """Zero mean and unit deviation over the whole batch; spreads below 1e-4 stay small."""
    centered = advantages - mean_over_ranks(advantages.mean())
    spread = mean_over_ranks(centered.square().mean()).sqrt()
    return centered / (spread + 1e-4)


def hybrid_losses(
    rollout: Rollout,
    *,
    sigma: float,
    reward: str,
    baseline: str,
    rollouts: int,
    discount: float = 1.0,
    early: float = 0.0,
    alone: bool = False,
) -> Losses:
    """The three losses of a rollout.

    Args:
        rollout: What was played, with gradients.
        sigma: Spread that its locations were drawn with.
        reward: "terminal", the environment's rewards, or "dense", the drop in cross-entropy.
        baseline: "learned" or "leave-one-out".
        rollouts: M, rows that share a scene.
        discount: Of later rewards, in [0, 1].
        early: Weight of the mean cross-entropy after the glimpses before the last.
        alone: Whether a canvas learns to answer alone, not with the core. A core that was trained
            before knows its images so well that nothing would be left to learn.
    """
    # Before the end the core is paid, and pays, for what it can tell itself: a canvas that is read
    # after some glimpses of a row would make its rewards jump.
    core = answers = cross_entropies(rollout.core_logits, rollout.target)  # (N, T)
    if rollout.canvas_logits is not None:
        judged = rollout.canvas_logits if alone else rollout.logits
        answers = cross_entropies(judged, rollout.target)
    entropies = torch.cat([core[:, :-1], answers[:, -1:]], 1)
    classify = entropies[:, -1].mean()
    if early and entropies.shape[1] > 1:
        classify = classify + early * core[:, :-1].mean()
        if rollout.asked is not None:
            asked = rollout.asked[:, :-1]
            count = mean_over_ranks(asked.sum())
            classify = classify + early * (answers[:, :-1] * asked).sum() / count

    # Entry t is what glimpse t paid, t from 0; the last one, at T, is what the decision paid.
    total, chosen = entropies.shape[1], rollout.means.shape[1]  # T, A
    nothing = torch.zeros_like(entropies[:, :1].detach())
    if reward == "dense":
        gained = dense_rewards(entropies.detach(), rollout.logits.shape[-1])
        paid = torch.cat([gained, nothing], 1)
    else:
        paid = torch.cat([nothing, rollout.scanpath.rewards], 1)  # step t leads to glimpse t + 1
    if not chosen:
        return Losses(classify, nothing.sum(), nothing.sum(), paid.sum(1).mean())
    returns = returns_to_go(paid, discount)[:, total - chosen : total]  # (N, A)
    guess = leave_one_out(returns, rollouts) if baseline == "leave-one-out" else rollout.values
    advantages = normalize(returns - guess.detach())
    log_probs = GaussianPolicy.log_prob(rollout.samples, rollout.means, sigma)  # (N, A)
    return Losses(
        classify=classify,
        policy=-(log_probs * advantages).sum(1).mean(),
        baseline=F.mse_loss(rollout.values, returns),
        reward=paid.sum(1).mean(),
    )
