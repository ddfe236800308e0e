"""Rollout: one trip through a batch of episodes, with what the losses need kept along the way."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from saccade.agents.gaze import SCRIPTS, Gaze
from saccade.counter import count_up, fold, normal
from saccade.envs.core import GazeCore
from saccade.network import GazeNetwork
from saccade.scanpath import Scanpath


class Rollout(NamedTuple):
    """N episodes of T glimpses, with A locations that the policy chose.

    A is T - 1, or T where the first location is learned, or 0 where a script chose. Choice a was
    made from what was remembered just before it.

    Attributes:
        scanpath: The record, without gradients.
        logits: `(N, T, K)` after each glimpse: the core's and, where it was asked, the canvas's.
        core_logits: `(N, T, K)`, the core's own; gradients to classifier, core and encoder.
        canvas_logits: `(N, T, K)`, the canvas's own, 0 where it was not asked; gradients to it
            alone. None if there is none.
        asked: `(N, T)`, 1 where the canvas was read, else 0; None if there is none.
        values: `(N, A)` the baseline's guess of the return at each choice; gradients to it alone.
        means: `(N, A, 2)` the policy's mean at each choice; gradients to the policy, and where
            the routing is shared to core and encoder.
        samples: `(N, A, 2)` what was drawn around it, unclipped; no gradients.
        target: `(N,)` int64 labels.
    """

    scanpath: Scanpath
    logits: Tensor
    core_logits: Tensor
    canvas_logits: Tensor | None
    asked: Tensor | None
    values: Tensor
    means: Tensor
    samples: Tensor
    target: Tensor


def rollout(
    network: GazeNetwork,
    core: GazeCore,
    *,
    key: Tensor,
    index: Tensor | None = None,
    gaze: Gaze = "learned",
    learned_first: bool = False,
    sigma: float = 0.0,
    slip: float | Tensor = 0.0,
    routing: str = "apart",
    asks: Sequence[slice] = (),
) -> Rollout:
    """Plays one batch of episodes to their end.

    Gradients are cut here, in this one place: the baseline reads detached features, so does the
    policy unless the routing is shared, and a location is detached where it is sampled (what
    `objectives.ROUTING` declares).

    Args:
        network: Who looks.
        core: The world; all its rows are reset.
        key: `(B,)` int64, one for each scene; decides the scene and the noise of its rows.
        index: `(B,)` int64, which item of the task each scene shows.
        gaze: "learned", or a name in `SCRIPTS`, which then chooses in the policy's place.
        learned_first: Whether the policy chooses the first location too.
        sigma: Spread of the Gaussian around the policy's mean, in locations; 0 gives the mode.
        slip: Spread of the Gaussian by which the eye lands beside the place chosen, in locations.
            Nothing here is told of it: the network takes each glimpse for one of the place
            chosen, while the scanpath says where the eye was. A first place that the world
            draws is hit. A number, or one on the device.
        routing: "apart" or "shared", see `objectives.ROUTING`.
        asks: For each glimpse, the rows whose canvas is read after it; all unless given. A canvas
            takes time to read.
    """
    state, total = network.start(core.rows), core.glimpses
    key = key.repeat_interleave(core.rollouts)
    index = None if index is None else index.repeat_interleave(core.rollouts)
    members = count_up(0, core.rows, core.device) % core.rollouts
    row_key = fold(fold(key, members), "gaze")
    noise = sigma * normal(row_key, total, 2) if sigma else None  # (N, T, 2)
    slips = isinstance(slip, Tensor) or slip > 0
    beside = slip * normal(fold(row_key, "slip"), total, 2) if slips else None  # (N, T, 2)
    before = [state[0]]  # features before each glimpse, then after the last
    means: list[Tensor] = []
    samples: list[Tensor] = []
    seen, rewards, read = [], [], []
    asked = None if network.canvas is None else torch.zeros(core.rows, total, device=core.device)

    center = torch.zeros(core.rows, 2, device=core.device)
    # A script that is a whole path starts it; random gaze starts where the learned one does.
    starts = learned_first if gaze == "learned" else gaze != "random"

    def choose(t: int) -> Tensor:
        """The location of glimpse t, counted from 0."""
        if not (t or starts):
            return center
        if gaze != "learned":
            return SCRIPTS[gaze](t, total, row_key)
        features = before[t] if routing == "shared" else before[t].detach()
        mean = network.policy(features, told if t else center)
        sample = mean.detach() if noise is None else mean.detach() + noise[:, t]
        means.append(mean)
        samples.append(sample)
        return sample

    def land(place: Tensor, t: int) -> Tensor:
        """Where the eye comes down that is sent to a place."""
        return place if beside is None else place.clamp(-1, 1) + beside[:, t]

    told = choose(0)
    drawn = core.first == "random" and not starts
    observation = core.reset(index=index, key=key, location=None if drawn else land(told, 0))
    told = observation.gaze if drawn else told.clamp(-1, 1)
    undecided = torch.zeros(core.rows, dtype=torch.int64, device=core.device)
    for t in range(1, total + 1):
        seen.append(observation)
        state = network.see(observation.glimpse, told, state)
        before.append(state[0])
        if network.canvas is not None and asked is not None:
            rows = asks[t - 1] if asks else slice(None)
            asked[rows, t - 1] = 1
            read.append((rows, network.canvas(state[-1][rows]).float()))
        if t < total:
            place = choose(t)
            observation, result = core.step(land(place, t), undecided)
            told = place.clamp(-1, 1)
            rewards.append(result.reward)
    # In whatever type the products were, losses are of float32.
    core_logits = network.classifier(torch.stack(before[1:], 1)).float()  # (N, T, K)
    logits, canvas_logits = core_logits, None
    if read:
        canvas_logits = torch.zeros_like(core_logits)
        for t, (rows, said) in enumerate(read):
            canvas_logits[rows, t] = said
        logits = core_logits + canvas_logits
    rewards.append(core.move(observation.gaze, logits[:, -1].detach().argmax(-1)).reward)

    values = network.baseline(torch.stack(before, 1).detach())[..., 0].float()  # (N, T + 1)
    chosen = len(means)
    scanpath = Scanpath(
        locations=torch.stack([each.gaze for each in seen], 1),
        glimpses=torch.stack([each.glimpse for each in seen], 1),
        beliefs=logits.detach().softmax(-1),
        values=values[:, 1:].detach(),
        rewards=torch.stack(rewards, 1),
        stop=observation.t,
        retina=core.retina,
        height=core.task.shape[1],
        width=core.task.shape[2],
    )
    none = values.new_zeros(core.rows, 0, 2)
    return Rollout(
        scanpath=scanpath,
        logits=logits,
        core_logits=core_logits,
        canvas_logits=canvas_logits,
        asked=asked,
        values=values[:, total - chosen : total],
        means=torch.stack(means, 1) if means else none,
        samples=torch.stack(samples, 1) if samples else none,
        target=core.state["label"],
    )
