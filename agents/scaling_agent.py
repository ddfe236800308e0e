"""An agent for scenes of any side: a coarse look finds places, sharp looks read them.

Glimpse 1 is a coarse look: the scene's means on a fixed grid. A small convolutional network makes
of it a priority map (Itti & Koch 2001) over places, with an offset inside each. Every further
glimpse goes to a place drawn from that map, where a place that was looked at is inhibited, or, as
what is remembered asks for it, close to where the last one was. Around the chosen spot the gaze is
Gaussian. REINFORCE (Williams 1992) learns map, offsets and corrections, with the dense reward and
leave-one-out baseline of `saccade.agents.objectives`; cross-entropy after every glimpse learns
what is read. Both are warmed up on scripted looks, see `saccade.agents.scaling_train`.

No part knows the scene's side in pixels, and what an episode costs does not depend on it.
"""

import copy
import math
from typing import NamedTuple

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.agents.dense import fold_norms
from saccade.agents.objectives import (
    cross_entropies,
    dense_rewards,
    leave_one_out,
    normalize,
    returns_to_go,
)
from saccade.counter import fold, normal, uniform
from saccade.network import GRUCore, State
from saccade.retina import Retina, Scene

GRID = 128  # cells along a side of the coarse look
PLACES = 16  # along a side of the priority map
GLIMPSES = 6  # the coarse look is the first
JUMP = 0.05  # spread of a jump while learning, in places
NEAR, REACH = 3.0, 24.0  # of a correction, in pixels: spread while learning, and farthest


class Episodes(NamedTuple):
    """N episodes of T sharp looks.

    Attributes:
        logits: `(N, T, 10)` after each; gradients to encoder, core and classifier.
        locations: `(N, T, 2)` as (x, y) in [-1, 1].
        log_probs: `(N, T)` of what was chosen; gradients to map, offsets and corrections.
    """

    logits: Tensor
    locations: Tensor
    log_probs: Tensor


class PlaceAgent(nn.Module):
    """The network of the agent; see the module's docstring."""

    cells: Tensor
    bumps: Tensor

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.hidden = hidden
        self.fovea, self.surround = Retina(40, 2), Retina(40, 1)  # of the scene, of the coarse look
        self.glance = nn.Sequential(  # (N, 1, 128, 128) to (N, 3, 16, 16)
            nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(32, 3, 1),
        )  # fmt: skip
        self.encoder = nn.Sequential(  # (N, 3, 40, 40) to (N, hidden)
            nn.Conv2d(3, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Flatten(), nn.Linear(1600, hidden), nn.ReLU(),
        )  # fmt: skip
        self.core = GRUCore(hidden, hidden)
        self.near = nn.Linear(hidden, 3)  # worth of a correction, and the correction
        self.classifier = nn.Linear(hidden, 10)
        self.inhibition = nn.Parameter(torch.tensor(6.0))
        nn.init.constant_(self.near.bias[:1], -2.0)
        steps = (2 * torch.arange(PLACES) + 1) / PLACES - 1
        cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(-1, 2)
        distance = (cells[:, None] - cells).square().sum(-1) * (PLACES / 2) ** 2
        bumps = F.pad(torch.exp(-distance / 2), (0, 0, 0, 1))  # a correction inhibits nothing
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("bumps", bumps, persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        scene: Scene,
        coarse: Tensor,
        key: Tensor | None = None,
        rollouts: int = 1,
        script: Tensor | None = None,
    ) -> Episodes:
        """Plays episodes on scenes.

        Args:
            scene: B square scenes, prepared for `fovea`.
            coarse: `(B, 1, GRID, GRID)` uint8, the coarse look at each; see `coarse_look`.
            key: `(B * rollouts,)` int64, of what is drawn; without it the mode is taken.
            rollouts: M, episodes on each scene.
            script: `(B * rollouts, T, 2)`, locations to look at in place of the agent's own.
        """
        if script is not None:
            return self._follow(scene, coarse, script)
        count = len(coarse) * rollouts
        index = None if rollouts == 1 else torch.arange(len(coarse)).repeat_interleave(rollouts)
        rows, around = torch.arange(count), self.surround.prepare(coarse, looks=1)
        found = self.glance(coarse / 255.0).flatten(2)  # (N, 3, places)
        found = found if index is None else found[index]
        priority, offsets = found[:, 0], found[:, 1:].transpose(1, 2)
        spots = self.cells + torch.tanh(offsets) * (2 / PLACES)  # (N, places, 2)
        state: State = (spots.new_zeros(count, self.hidden),)
        location = spots.new_zeros(count, 2)
        features, locations, log_probs = [], [], []
        for t in range(GLIMPSES - 1):
            near = self.near(state[0].detach())
            worth = torch.cat([priority, near[:, :1]], 1)
            aim = location + torch.tanh(near[:, 1:]) * (2 * REACH / scene.width)
            if key is None:
                choice = worth.argmax(1)
            else:  # Gumbel's way to draw from a softmax
                chance = uniform(fold(fold(key, "place"), t), worth.shape[1]).clamp(min=1e-7)
                choice = (worth.detach() - (-chance.log()).log()).argmax(1)
            corrects = choice == PLACES**2
            jump = spots[rows, choice.clamp(max=PLACES**2 - 1)]
            mean = torch.where(corrects[:, None], aim, jump)
            location = mean.detach()
            if key is not None:
                spread = torch.where(corrects, 2 * NEAR / scene.width, 2 * JUMP / PLACES)[:, None]
                location = location + spread * normal(fold(fold(key, "spot"), t), 2)
                miss = ((location - mean) / spread).square().sum(1) / 2
                log_probs.append(worth.log_softmax(1)[rows, choice] - miss)
            location = location.clamp(-1, 1)
            state = self._see(scene, around, location, index, state)
            features.append(state[0])
            locations.append(location)
            priority = priority - self.inhibition * self.bumps[choice]
        none = location.new_zeros(count, 0)
        return Episodes(
            self.classifier(torch.stack(features, 1)),
            torch.stack(locations, 1),
            torch.stack(log_probs, 1) if log_probs else none,
        )

    def folded(self) -> "PlaceAgent":
        """A copy for inference: normalization is in the weights."""
        other = copy.deepcopy(self).eval()
        other.encoder = fold_norms(other.encoder)
        return other

    def _see(
        self, scene: Scene, coarse: Scene, location: Tensor, index: Tensor | None, state: State
    ) -> State:
        """Takes one sharp glimpse in."""
        sharp = self.fovea.look(scene, location, index)[:, :, 0]
        wide = self.surround.look(coarse, location, index)[:, :, 0]
        return self.core(self.encoder(torch.cat([sharp, wide], 1)), state)

    def _follow(self, scene: Scene, coarse: Tensor, script: Tensor) -> Episodes:
        """Looks where a script says."""
        around, logits = self.surround.prepare(coarse, looks=1), []
        state: State = (script.new_zeros(len(script), self.hidden),)
        for location in script.unbind(1):
            state = self._see(scene, around, location, None, state)
            logits.append(self.classifier(state[0]))
        return Episodes(torch.stack(logits, 1), script, script.new_zeros(len(script), 0))


def coarse_look(images: Tensor) -> Tensor:
    """What a coarse look sees: `(B, 1, H, W)` uint8 to `(B, 1, GRID, GRID)`, means by area.

    Scenes smaller than the grid are interpolated.
    """
    way = cv2.INTER_AREA if images.shape[-1] >= GRID else cv2.INTER_LINEAR
    cells = [cv2.resize(each, (GRID, GRID), interpolation=way) for each in images[:, 0].numpy()]
    return torch.stack([torch.from_numpy(each) for each in cells])[:, None]


def episode_loss(played: Episodes, labels: Tensor, rollouts: int) -> tuple[Tensor, Tensor]:
    """What learning lowers, and the share of right answers after each look, `(T,)`.

    Args:
        played: Episodes drawn with a key.
        labels: `(N,)` int64.
        rollouts: M, episodes on each scene, neighbors; 2 or more.
    """
    entropies = cross_entropies(played.logits, labels)
    returns = returns_to_go(dense_rewards(entropies.detach(), 10), 1.0)
    advantages = normalize(returns - leave_one_out(returns, rollouts))
    policy = -(played.log_probs * advantages).sum(1).mean()
    right = (played.logits.argmax(-1) == labels[:, None]).float().mean(0)
    return entropies.mean() + 0.5 * entropies[:, -1].mean() + 0.2 * policy, right


def rows_for(side: int, rows: int = 64) -> tuple[int, int]:
    """Scenes in a batch, and rollouts on each, so that their pixels fit: 2**26, about 64 MB."""
    scenes = max(4, min(16, 2 ** int(math.log2(2**26 / side**2))))
    return scenes, rows // scenes
