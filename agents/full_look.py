"""Episodes looked to their end, from which everything about stopping and doubt is found.

The gaze at the policy's mode does not know whether anyone will stop it, so one look with the whole
budget tells what every way of stopping would have seen.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from saccade.agent import Agent, first_location
from saccade.agents.gaze import SCRIPTS, Script
from saccade.counter import fold, normal, uniform
from saccade.scenes import SceneMaker


class FullLook(NamedTuple):
    """N episodes of T glimpses, all looked to their end.

    Attributes:
        logits: `(N, T, K)` after each glimpse.
        features: `(N, T, H)` what the heads read after each glimpse.
        locations: `(N, T, 2)` where it looked.
    """

    logits: Tensor
    features: Tensor
    locations: Tensor

    @staticmethod
    def cat(parts: "list[FullLook]") -> "FullLook":
        """Joins batches of episodes."""
        return FullLook(*(torch.cat(part) for part in zip(*parts, strict=True)))


@torch.no_grad()
def look_fully(
    agent: Agent,
    images: Tensor,
    key: Tensor,
    *,
    gaze: Script | None = None,
    sigma: float = 0.0,
    random_first: bool = False,
    batch: int = 500,
) -> FullLook:
    """Looks at scenes with the whole budget, as `evaluate` does with the same keys.

    Args:
        agent: Who looks.
        images: `(N, C, H, W)`, of any size, on the agent's device.
        key: `(N,)` int64 of the scenes, as in `evaluate.split_keys`.
        gaze: Chooses in the policy's place.
        sigma: Spread of noise around where the policy would look.
        random_first: The first glimpse goes anywhere, whatever the agent's rule is.
        batch: Scenes at a time.
    """
    spec, network, parts = agent.spec, agent.network, []
    total = spec.glimpses
    for rows, keys in zip(images.split(batch), key.split(batch), strict=True):
        member = fold(keys, 0)  # as in `rollout`: the first of the rollouts on a scene
        own = fold(member, "gaze")
        noise = sigma * normal(own, total, 2) if sigma else None
        scene, state = spec.retina.prepare(rows, looks=total), network.start(len(rows))
        location = first_location("center" if gaze else spec.first, network, keys)
        if spec.first == "random" or random_first:
            location = uniform(fold(member, "first"), 2) * 2 - 1
        logits, features, locations = [], [], []
        for t in range(total):
            # Scripts that are a whole path begin it; random gaze begins as the agent does.
            if gaze is not None and (t or gaze is not SCRIPTS["random"]):
                location = gaze(t, total, own)
            location = location.clamp(-1, 1)
            state = network.see(spec.retina.look(scene, location), location, state)
            logits.append(network.answer(state))
            features.append(state[0])
            locations.append(location)
            location = network.policy(state[0], location)
            if noise is not None and t + 1 < total:
                location = location + noise[:, t + 1]
        parts.append(FullLook(*(torch.stack(each, 1) for each in (logits, features, locations))))
    return FullLook.cat(parts)


class Seen(NamedTuple):
    """Scenes of a split that an agent has looked at to the end."""

    look: FullLook
    labels: Tensor

    @property
    def right(self) -> Tensor:
        """`(N, T)` bool, whether it would have answered rightly after each glimpse."""
        return self.look.logits.argmax(-1) == self.labels[:, None]


def look_at_split(agent: Agent, maker: SceneMaker, keys: Tensor, batch: int = 500) -> Seen:
    """Looks at the first images of a maker's pool, one scene for each key."""
    index, parts = torch.arange(len(keys), device=keys.device), []
    for rows, part in zip(index.split(batch), keys.split(batch), strict=True):
        parts.append(look_fully(agent, maker(rows, fold(part, "scene")), part))
    return Seen(FullLook.cat(parts), maker.pool.labels[: len(keys)])
