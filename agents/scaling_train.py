"""Trainings of `scripts/bench_scaling.py`: the agent and the family, resumable, by counter."""

import math
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.agents.dense import CROP, DenseReader, Member, crop_true
from saccade.agents.objectives import cross_entropies
from saccade.agents.scaling_agent import (
    GLIMPSES,
    PLACES,
    PlaceAgent,
    coarse_look,
    episode_loss,
    rows_for,
)
from saccade.counter import fold, integers, make_key, normal, row_keys, uniform
from saccade.plates import PlateMaker, PlateScene
from saccade.scenes import missing_sharpness, random_warp

SIDES = (100, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)  # the agent learns on
OFTEN = (*SIDES, 2048, 3072, 4096, 4096)  # sides of stored coarse looks; these are the hardest
PLATES = ((64, 40), (96, 64), (160, 128), (288, 256))  # side of a scene of one plate, and its side
# Pieces of scenes that the family learns on in the detail series: side, plate, other plates.
PIECES = ((100, 40, 3), (160, 64, 3), (256, 40, 3), (320, 128, 3), (288, 256, 0), (512, 40, 3))
WHOLE = ((100, 40, 3), (256, 40, 3))  # scenes, for who sees them at one small side
LARGEST = 2048  # side of the proportional scenes that the family learns on at most
WARM = 0.9  # share of the agent's updates in which it follows a script
STORED = 1024  # coarse looks of each side that the map learns from first
CHUNK = 50  # updates between two savings


@dataclass(frozen=True)
class Plan:
    """How long to learn, and how fast.

    Attributes:
        updates: Steps of the optimizer.
        lr: Greatest learning rate; it rises over the first 100 updates and falls by a cosine.
    """

    updates: int
    lr: float = 2e-3


PLANS = {
    ("detail", "agent"): Plan(10_000),
    ("detail", "dense"): Plan(10_000),
    ("proportional", "agent"): Plan(6000),
    ("proportional", "dense"): Plan(6000),
    # The cheapest that comes near the agent: as many minutes as it has, and more.
    ("detail", "fcn-8/2"): Plan(50_000),
}


def learn(
    network: nn.Module, plan: Plan, loss_of: "LossOf", path: Path, seed: int = 0
) -> tuple[nn.Module, float]:
    """Trains a network, or takes up where `path` left off; returns it and the minutes it took.

    Args:
        network: With fresh weights.
        plan: How long.
        loss_of: What each update lowers.
        path: Where its state is kept.
        seed: Of the scenes.

    Raises:
        ValueError: If what is kept there was begun by another plan.
    """
    adam = torch.optim.AdamW(network.parameters(), lr=plan.lr, weight_decay=1e-3)
    begun, seconds = 0, 0.0
    if path.exists():
        state = torch.load(path, weights_only=True)
        if state.get("plan") != asdict(plan):
            raise ValueError(f"{path} was begun by another plan; remove it to begin anew")
        network.load_state_dict(state["network"])
        adam.load_state_dict(state["adam"])
        begun, seconds = state["updates"], state["seconds"]
    network.train()
    start, key = time.process_time(), fold(make_key(seed), "scaling")
    for update in range(begun, plan.updates):
        done = max(0.0, update - 100) / max(1, plan.updates - 100)
        for group in adam.param_groups:
            warm = min(1.0, (update + 1) / 100)
            group["lr"] = plan.lr * warm * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        loss = loss_of(update / plan.updates, fold(key, update))
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        adam.step()
        if (update + 1) % CHUNK == 0 or update + 1 == plan.updates:
            spent = seconds + time.process_time() - start
            state = {"network": network.state_dict(), "adam": adam.state_dict()}
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".part")
            state |= {"updates": update + 1, "seconds": spent, "plan": asdict(plan)}
            torch.save(state, beside)
            beside.replace(path)
            print(
                f"{path.stem} {update + 1}/{plan.updates} {spent:.0f} s {loss_of.line()}",
                flush=True,
            )
            seconds, start = spent, time.process_time()
    return network.eval(), seconds / 60


class LossOf(ABC):
    """What gives the loss of an update, with running means for the log."""

    def __init__(self, maker: PlateMaker, network: nn.Module) -> None:
        self.maker, self.network = maker, network
        self.sharpen = missing_sharpness(maker.digits.images)
        self.seen: dict[str, float] = {}

    def scenes(self, key: Tensor, count: int, **where: object) -> tuple[PlateScene, Tensor]:
        """Fresh scenes with augmented digits, and their keys."""
        keys, digits = row_keys(key, count), self.maker.digits
        index = integers(fold(keys, "digit"), len(digits), 1)[:, 0]
        moved = random_warp(digits.images[index], fold(keys, "affine"), sharpen=self.sharpen)
        background = "photo" if float(uniform(fold(key, "ground")[None], 1)) < 0.5 else "black"
        maker = self.maker.at(
            digits=replace(digits, images=moved, labels=digits.labels[index]),
            background=background,
            **where,
        )
        return maker(torch.arange(count), keys), keys

    def note(self, name: str, value: Tensor) -> None:
        """Keeps a running mean."""
        self.seen[name] = 0.95 * self.seen.get(name, float(value)) + 0.05 * float(value)

    @abstractmethod
    def __call__(self, done: float, key: Tensor) -> Tensor:
        """The loss of an update.

        Args:
            done: Share of the updates that lie behind.
            key: Of all that this update draws.
        """

    def line(self) -> str:
        """For the log."""
        return " ".join(f"{name} {100 * value:.1f}" for name, value in sorted(self.seen.items()))


class AgentLoss(LossOf):
    """First the reader follows a script, then the agent plays; the map is taught all the time."""

    stored: dict[int, tuple[Tensor, Tensor]] | None = None  # of a side: coarse looks, middles

    def __call__(self, done: float, key: Tensor) -> Tensor:
        """The loss of an update."""
        network = self.network
        assert isinstance(network, PlaceAgent)
        # A batch is of one side: in the end its own statistics must not be what it is read by.
        network.encoder.train(done < WARM / 2)
        seen, middles = self.looks(fold(key, "stored"))
        with torch.autocast("cpu", torch.bfloat16):
            priority, spots = network.find(seen)
        follow = imitation_loss(priority.float(), spots.float(), middles)
        self.note("follow", follow.detach())
        lesson = self.script(network, done, key) if done < WARM else self.play(network, key)
        return lesson + 0.2 * follow

    def script(self, network: PlaceAgent, done: float, key: Tensor) -> Tensor:
        """What reading along a script costs."""
        draw = uniform(fold(key, "sizes")[None], 2)[0].tolist()
        side = SIDES[int(draw[0] * sum(each <= 1024 for each in SIDES))]
        made, keys = self.scenes(key, 64, side=side)
        script = scripted(made, keys, done > WARM / 8)
        logits = self.follow(network, made, script)
        entropies = cross_entropies(logits, made.labels)
        self.note("warm", (logits[:, -1].argmax(-1) == made.labels).float().mean())
        loss = entropies.mean() + 0.5 * entropies[:, -1].mean()
        if self.maker.series == "detail":  # more digits, one look at each
            side, plate = PLATES[int(draw[1] * len(PLATES))]
            made, keys = self.scenes(fold(key, "single"), 128, side=side, plate=plate, others=0)
            first = scripted(made, keys, False)[:, :1]
            logits = self.follow(network, made, first)
            self.note("single", (logits[:, 0].argmax(-1) == made.labels).float().mean())
            loss = loss + cross_entropies(logits, made.labels).mean()
        return loss

    def follow(self, network: PlaceAgent, made: PlateScene, script: Tensor) -> Tensor:
        """Logits after each look of a script."""
        scene = network.fovea.prepare(made.images, looks=script.shape[1])
        with torch.autocast("cpu", torch.bfloat16):
            return network.follow(scene, coarse_look(made.images), script).float()

    def play(self, network: PlaceAgent, key: Tensor) -> Tensor:
        """What playing costs."""
        side = SIDES[int(float(uniform(fold(key, "side")[None], 1)) * len(SIDES))]
        count, rollouts = rows_for(side)
        made, keys = self.scenes(key, count, side=side)
        scene = network.fovea.prepare(made.images, looks=rollouts * (GLIMPSES - 1))
        members = torch.arange(count * rollouts) % rollouts
        row_key = fold(keys.repeat_interleave(rollouts), members)
        played = network(scene, coarse_look(made.images), row_key, rollouts)
        loss, right = episode_loss(played, made.labels.repeat_interleave(rollouts), rollouts)
        self.note(f"{side:04d}", right[-1])
        return loss

    def looks(self, key: Tensor) -> tuple[Tensor, Tensor]:
        """64 stored coarse looks at scenes of one side, turned or flipped, with their middles."""
        if self.stored is None:  # a scene of 4096 x 4096 takes as long as a batch of coarse looks
            self.stored = {side: self._store(side) for side in SIDES}
        draw = uniform(fold(key, "how")[None], 4)[0].tolist()
        coarse, middles = self.stored[OFTEN[int(draw[0] * len(OFTEN))]]
        rows = integers(fold(key, "rows")[None], len(coarse), 64)[0]
        coarse, middles = coarse[rows], middles[rows]
        for axis in (0, 1):
            if draw[1 + axis] < 0.5:
                coarse, middles = coarse.flip(-1 - axis), middles.clone()
                middles[..., axis] = PLACES - middles[..., axis]
        if draw[3] < 0.5:
            coarse, middles = coarse.transpose(-1, -2), middles.flip(-1)
        return coarse.contiguous(), middles

    def _store(self, side: int) -> tuple[Tensor, Tensor]:
        """Coarse looks at STORED scenes of a side or a few more, and what is worth a look there."""
        looks, middles, step = [], [], max(1, min(64, 2**26 // side**2))
        for start in range(0, STORED, step):
            key = fold(fold(fold(make_key(0), "stored"), side), start)
            made, _ = self.scenes(key, min(step, STORED), side=side)
            looks.append(coarse_look(made.images))
            middles.append(middles_of(made))
        return torch.cat(looks), torch.cat(middles)


def middles_of(scenes: PlateScene) -> Tensor:
    """The middles of all plates, or of the digit where none are, `(N, P, 2)` in places."""
    middles = scenes.places[:, None]
    if scenes.plates.shape[1]:
        middles = scenes.plates + (scenes.places - scenes.plates[:, 0])[:, None]
    return middles * (PLACES / scenes.images.shape[-1])


def imitation_loss(priority: Tensor, spots: Tensor, middles: Tensor) -> Tensor:
    """How far a priority map is from the middles of what is worth a look.

    Cross-entropy over places, and the distance of the spots there, smooth near 0, in places.

    Args:
        priority: `(N, places)`, see `PlaceAgent.find`.
        spots: `(N, places, 2)`.
        middles: `(N, P, 2)`, see `middles_of`.
    """
    cells = middles.long().clamp(0, PLACES - 1)
    index = cells[..., 1] * PLACES + cells[..., 0]  # (N, P)
    there = (spots.gather(1, index[..., None].expand(-1, -1, 2)) + 1) * (PLACES / 2)
    miss = F.smooth_l1_loss(there, middles, beta=0.02)
    return 16 * miss - priority.log_softmax(1).gather(1, index).mean()


def scripted(scenes: PlateScene, key: Tensor, all_over: bool) -> Tensor:
    """Looks that a reader is warmed up on, `(N, 6, 2)`: near the digit alone, or `all_over`.

    Then they are at the plates in any order; in the proportional series half of them are near the
    digit, the others anywhere.
    """
    side, looks = scenes.images.shape[-1], GLIMPSES - 1
    noise = normal(fold(key, "noise"), looks, 2)
    order = uniform(fold(key, "order"), looks)
    if scenes.plates.shape[1]:
        middle = scenes.places - scenes.plates[:, 0]  # from a plate's corner
        which = torch.cat([order[:, :4].argsort(dim=1), (order[:, 4:] * 4).long()], 1)
        which = which if all_over else torch.zeros_like(which)
        corners = scenes.plates.gather(1, which[..., None].expand(-1, -1, 2))
        spread = 4 + 8 * side / 4096  # pixels: the coarser the cells, the farther a look may be off
        return (corners + middle[:, None] + spread * noise) * (2 / side) - 1
    near = scenes.places[:, None] * (2 / side) - 1 + 0.15 * noise
    return torch.where(
        order[..., None] < (0.5 if all_over else 2),
        near,
        uniform(fold(key, "any"), looks, 2) * 2 - 1,
    )


class DenseLoss(LossOf):
    """Cross-entropy on pieces of scenes: single plates first, then several."""

    def __init__(self, maker: PlateMaker, network: DenseReader, crop: bool = False) -> None:
        super().__init__(maker, network)
        self.member, self.crop = network.member, crop

    def __call__(self, done: float, key: Tensor) -> Tensor:
        """The loss of an update."""
        draw = float(uniform(fold(key, "piece")[None], 1))
        if self.crop:
            made, _ = self.scenes(key, 128, side=100)
            prepared = crop_true(made.images, made.places, self.maker.series)
        else:
            if self.maker.series == "detail":
                first, fixed = done < 0.5, self.member.fixed
                pieces = WHOLE if fixed else PIECES
                side, plate, others = pieces[int(draw * len(pieces))]
                if first:
                    side, plate, others = (side, plate, 0) if fixed else (48, 40, 0)
                count = 128 if first and not fixed else min(32, 32 * 320**2 // side**2)
                made, _ = self.scenes(key, count, side=side, plate=plate, others=others)
            else:
                side = 100 if self.member.fixed else self.sides[int(draw * len(self.sides))]
                made, _ = self.scenes(key, 64 if side < 512 else 16, side=side)
            prepared = self.member.prepare(made.images)
        labels = made.labels
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.network(prepared)
        self.note("right", (logits.argmax(1) == labels).float().mean())
        return F.cross_entropy(logits.float(), labels)

    @property
    def sides(self) -> list[int]:
        """Sides of the proportional series that fit."""
        return [side for side in SIDES if side <= LARGEST and self.member.fits(side)]


def train_agent(maker: PlateMaker, plan: Plan, path: Path) -> tuple[PlaceAgent, float]:
    """The agent of a series."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PlaceAgent()
    _, minutes = learn(network, plan, AgentLoss(maker, network), path)
    return network, minutes


def train_dense(
    member: Member, maker: PlateMaker, plan: Plan, path: Path
) -> tuple[DenseReader, float]:
    """A member of the family, or the reader of the crop."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DenseReader(member)
    loss = DenseLoss(maker, network, crop=member == CROP)
    _, minutes = learn(network, plan, loss, path)
    return network, minutes
