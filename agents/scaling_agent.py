"""An agent for scenes of any side: a coarse look finds places, sharp looks read them.

Glimpse 1 is a coarse look: the scene's means on a fixed grid. A small convolutional network makes
of it a priority map (Itti & Koch 2001) over places, with an offset inside each. Every further
glimpse goes to the place of highest priority, where places that were looked at are inhibited, until
what is remembered gives one class a belief above `sure`. While learning, places are drawn from the
map's softmax: REINFORCE (Williams 1992) learns map and inhibition, with the dense reward and
leave-one-out baseline of `saccade.agents.objectives`; cross-entropy after every glimpse learns what
is read. Both are warmed up on scripted looks, and offsets learn from these alone, see
`saccade.agents.scaling_train`.

No part knows the scene's side in pixels, and what a look costs does not depend on it.
"""

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saccade.agents.dense import fold_norms, shrink
from saccade.agents.objectives import (
    cross_entropies,
    dense_rewards,
    leave_one_out,
    normalize,
    returns_to_go,
)
from saccade.counter import fold, uniform
from saccade.network import GRUCore, State
from saccade.retina import Retina, Scene

GRID = 128  # cells along a side of the coarse look
PLACES = 16  # along a side of the priority map
GLIMPSES = 7  # at most; the coarse look is the first


class Episodes(NamedTuple):
    """N episodes of T sharp looks.

    Attributes:
        logits: `(N, T, 10)` after each; gradients to encoder, core and classifier.
        locations: `(N, T, 2)` as (x, y) in [-1, 1].
        log_probs: `(N, T)` of what was chosen; gradients to map and inhibition.
    """

    logits: Tensor
    locations: Tensor
    log_probs: Tensor


class Reading(NamedTuple):
    """What the agent says of N scenes.

    Attributes:
        logits: `(N, 10)` after the last look that was taken.
        looks: `(N,)` int64, how many sharp looks that were; of one scene always on the CPU.
    """

    logits: Tensor
    looks: Tensor


class PlaceAgent(nn.Module):
    """The network of the agent; see the module's docstring."""

    cells: Tensor
    distances: Tensor
    sure: Tensor
    kept: Tensor | None  # what `folded` made ready
    limit: float | None = None  # `sure`, where `folded` has read it: a GPU is waited for no more

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.hidden = hidden
        self.fovea, self.surround = Retina(48, 2), Retina(48, 1)  # of the scene, of the coarse look
        self.glance = nn.Sequential(  # (N, 1, 128, 128) to (N, 3, 16, 16)
            nn.Conv2d(1, 16, 8, 4, 2), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 48, 3, 1, 1), nn.ReLU(), nn.Conv2d(48, 3, 1),
        )  # fmt: skip
        self.encoder = nn.Sequential(  # (N, 3, 48, 48) to (N, hidden)
            nn.Conv2d(3, 32, 6, 4, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(3), nn.Flatten(),
            nn.Linear(1024, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(),
        )  # fmt: skip
        self.core = GRUCore(hidden, hidden)
        self.classifier = nn.Linear(hidden, 10)
        self.inhibition = nn.Parameter(torch.tensor([6.0, 0.0]))  # how deep, and log of how wide
        self.register_buffer("sure", torch.ones(()))  # belief that ends an episode
        steps = (2 * torch.arange(PLACES) + 1) / PLACES - 1
        cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(-1, 2)
        distances = (cells[:, None] - cells).square().sum(-1) * (PLACES / 2) ** 2
        self.register_buffer("cells", cells, persistent=False)
        self.register_buffer("distances", distances, persistent=False)
        self.register_buffer("kept", None, persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, scene: Scene, coarse: Tensor, key: Tensor | None = None, rollouts: int = 1
    ) -> Episodes:
        """Plays episodes to their end.

        Args:
            scene: B square scenes, prepared for `fovea`.
            coarse: `(B, 1, GRID, GRID)` uint8, the coarse look at each; see `coarse_look`.
            key: `(B * rollouts,)` int64, of what is drawn; without it the mode is taken.
            rollouts: M, episodes on each scene.
        """
        count = len(coarse) * rollouts
        rows = torch.arange(count, device=coarse.device)
        around = self.surround.prepare(coarse, looks=1)
        index = None if rollouts == 1 else rows // rollouts
        priority, spots = self.find(coarse)
        bumps = self.bumps()
        if index is not None:
            priority, spots = priority[index], spots[index]
        state: State = (spots.new_zeros(count, self.hidden),)
        features, locations, log_probs = [], [], []
        for t in range(GLIMPSES - 1):
            if key is None:
                choice = priority.argmax(1)
            else:  # Gumbel's way to draw from a softmax
                chance = uniform(fold(fold(key, "place"), t), PLACES**2).clamp(min=1e-7)
                choice = (priority.detach() - (-chance.log()).log()).argmax(1)
            location = spots[rows, choice].detach().clamp(-1, 1)
            if key is not None:
                log_probs.append(priority.log_softmax(1)[rows, choice])
            state = self._see(scene, around, location, index, state)
            features.append(state[0])
            locations.append(location)
            priority = priority - bumps[choice]
        none = spots.new_zeros(count, 0)
        return Episodes(
            self.classifier(torch.stack(features, 1)),
            torch.stack(locations, 1),
            torch.stack(log_probs, 1) if log_probs else none,
        )

    def read(self, scene: Scene, coarse: Tensor) -> Reading:
        """Looks by the mode at N scenes, at each until its belief is above `sure`.

        It ends when all have; what was sure before is not changed by what the others see. On a GPU
        the question waits for the device once a look, as another look may not be taken.
        """
        count, around = len(coarse), self.surround.prepare(coarse, looks=1)
        priority, spots = self.find(coarse)
        rows, bumps = torch.arange(count, device=coarse.device), self.bumps()
        state: State = (spots.new_zeros(count, self.hidden),)
        belief, seen, beliefs = spots.new_zeros(count), [], []
        sure = float(self.sure) if self.limit is None else self.limit
        for _ in range(GLIMPSES - 1):
            choice = priority.argmax(1)
            state = self._see(scene, around, spots[rows, choice], None, state)
            seen.append(self.classifier(state[0]))
            belief = torch.maximum(belief, seen[-1].softmax(1).amax(1))
            beliefs.append(belief)
            if float(belief.min()) > sure:
                break
            priority = priority - bumps[choice]
        if count == 1:
            return Reading(seen[-1], torch.tensor([len(seen)], device="cpu"))  # known here
        doubts = (torch.stack(beliefs, 1) <= sure).sum(1)  # looks that were not enough
        last = doubts.clamp(max=len(seen) - 1)
        return Reading(torch.stack(seen, 1)[rows, last], last + 1)

    def follow(self, scene: Scene, coarse: Tensor, script: Tensor) -> Tensor:
        """Looks where a script says.

        Args:
            scene: N square scenes, prepared for `fovea`.
            coarse: `(N, 1, GRID, GRID)` uint8.
            script: `(N, T, 2)` locations.

        Returns:
            `(N, T, 10)`, the logits after each look.
        """
        around, features = self.surround.prepare(coarse, looks=1), []
        state: State = (script.new_zeros(len(script), self.hidden),)
        for location in script.unbind(1):
            state = self._see(scene, around, location, None, state)
            features.append(state[0])
        return self.classifier(torch.stack(features, 1))

    def find(self, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """The priority map of coarse looks, `(N, places)`, and a spot in each, `(N, places, 2)`.

        A spot is at most one place from the middle of its own.
        """
        found = self.glance(coarse / 255.0).flatten(2)
        return found[:, 0], self.cells + torch.tanh(found[:, 1:].transpose(1, 2)) * (2 / PLACES)

    def bumps(self) -> Tensor:
        """How much a look at each place inhibits every place, `(places, places)`."""
        if self.kept is not None:
            return self.kept
        depth, width = self.inhibition
        return depth * torch.exp(self.distances * (-0.5 * torch.exp(-2 * width)))

    def folded(self) -> "PlaceAgent":
        """A copy for inference: normalization is in the weights."""
        other = copy.deepcopy(self).eval()
        other.encoder = fold_norms(other.encoder)
        other.kept, other.limit = other.bumps().detach(), float(other.sure)
        return other

    def _see(
        self, scene: Scene, coarse: Scene, location: Tensor, index: Tensor | None, state: State
    ) -> State:
        """Takes one sharp glimpse in."""
        sharp = self.fovea.look(scene, location, index)[:, :, 0]
        wide = self.surround.look(coarse, location, index)[:, :, 0]
        return self.core(self.encoder(torch.cat([sharp, wide], 1)), state)


def coarse_look(images: Tensor) -> Tensor:
    """What a coarse look sees: `(B, 1, H, W)` uint8 to `(B, 1, GRID, GRID)`, means by area.

    Scenes smaller than the grid are interpolated.
    """
    return shrink(images, GRID)


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
