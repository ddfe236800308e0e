"""When to stop looking: rules by confidence, by entropy and learned, and batches that shrink.

A rule turns what an agent thinks after a glimpse into a *readiness*, and stops where that reaches
the rule's `threshold`. Since stopping changes nothing of what came before, one look with the
whole budget (`full_look`) tells what every threshold would have done: all curves and all
thresholds are found without looking again. `stop_early` then does it: rows that have stopped leave
the batch.

The learned rule is a stop action with a price a glimpse (Graves 2016, "Adaptive Computation
Time", has the price; Mnih et al. 2014 mention the action): a small head on the frozen agent,
which is paid 1 for the right answer less the price of its glimpses. Its readiness is the price,
as minus the log, at which it would as soon stop as look on; in training each episode has a price
of its own, so that one head serves all prices. The gradient is REINFORCE's with the sum over the
T moments to stop taken exactly instead of sampled.
"""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.agent import Agent, first_location
from saccade.agents.full_look import FullLook
from saccade.counter import fold, integers, make_key, row_keys, uniform
from saccade.scanpath import Scanpath

Kind = Literal["confidence", "entropy", "learned"]
RULES: tuple[Kind, ...] = ("confidence", "entropy", "learned")
PRICES = (1e-3, 0.3)  # the cheapest and the dearest glimpse that the learned rule is trained for


class StopHead(nn.Module):
    """The learned rule's head: for how dear a glimpse must be, to stop now, as minus its log.

    Args:
        hidden: Width H of the agent's features.
        glimpses: T, the budget.
        units: Of the one layer in between.
    """

    def __init__(self, hidden: int, glimpses: int, units: int = 64) -> None:
        super().__init__()
        self.glimpses = glimpses
        self.mean, self.scale = nn.Buffer(torch.zeros(hidden)), nn.Buffer(torch.ones(hidden))
        self.net = nn.Sequential(nn.Linear(hidden + 4, units), nn.ReLU(), nn.Linear(units, 1))
        self.sharpness = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]

    def forward(self, logits: Tensor, features: Tensor, t: Tensor) -> Tensor:
        """`(..., K)`, `(..., H)` and glimpses taken `(...)` to readiness `(...)`."""
        best = logits.softmax(-1).topk(2, -1).values
        told = [
            best[..., 0],
            (1 - best[..., 0] + 1e-6).log() / 4,
            (best[..., 1] + 1e-9).log() / 4,
            t / self.glimpses,
        ]
        features = (features - self.mean) / self.scale
        more = self.net(torch.cat([features, torch.stack(told, -1)], -1))[..., 0]
        return 4 * (more - told[1])  # begins as the chance of being wrong: the rule by confidence

    def stop_logit(self, readiness: Tensor, price: Tensor) -> Tensor:
        """The logit of stopping at a price a glimpse: 0 where readiness is minus its log."""
        return self.sharpness.exp() * (readiness + price.log())


@dataclass(frozen=True)
class StopRule:
    """Stops where readiness reaches a threshold; at the end of the budget in any case.

    Attributes:
        kind: "confidence": readiness is the highest class probability. "entropy": it is less the
            entropy of the belief, in nats. "learned": what the head says, on the scale of minus
            the log of a price.
        threshold: Of readiness; higher thresholds look longer.
        head: For "learned".
    """

    kind: Kind
    threshold: float = 0.0
    head: StopHead | None = None

    def readiness(self, logits: Tensor, features: Tensor, t: int) -> Tensor:
        """How ready to stop each row is after glimpse t, counted from 1.

        Args:
            logits: `(N, K)`.
            features: `(N, H)`.
            t: Glimpses taken.

        Returns:
            `(N,)`.
        """
        if self.kind == "confidence":
            return logits.softmax(-1).amax(-1)
        if self.kind == "entropy":
            return (logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
        if self.head is None:
            raise ValueError("a learned rule has a head; train one with `learn_to_stop`")
        return self.head(logits, features, torch.full_like(logits[:, 0], float(t)))

    @torch.no_grad()
    def scores(self, look: FullLook) -> Tensor:
        """Readiness after every glimpse, `(N, T)`."""
        total = look.logits.shape[1]
        each = [self.readiness(look.logits[:, t], look.features[:, t], t + 1) for t in range(total)]
        return torch.stack(each, 1)

    def at(self, threshold: float) -> "StopRule":
        """The same rule with another threshold."""
        return replace(self, threshold=threshold)


def stops(scores: Tensor, threshold: float | Tensor) -> Tensor:
    """How many glimpses a threshold takes.

    Args:
        scores: `(N, T)` readiness after each glimpse.
        threshold: One, or `(P, 1)` for P of them.

    Returns:
        `(N,)` int64, 1..T, or `(P, N)`.
    """
    highest = scores[:, :-1].cummax(1).values  # (N, T - 1)
    if isinstance(threshold, Tensor):
        return 1 + sum(
            (highest[:, t] < threshold).long() for t in range(highest.shape[1])
        ) + torch.zeros_like(threshold, dtype=torch.int64)  # fmt: skip
    return 1 + (highest < threshold).sum(1)


class Curve(NamedTuple):
    """What P thresholds come to.

    Attributes:
        threshold: `(P,)` rising.
        glimpses: `(P,)` mean glimpses.
        accuracy: `(P,)` share right.
    """

    threshold: Tensor
    glimpses: Tensor
    accuracy: Tensor


def sweep(scores: Tensor, right: Tensor, points: int = 200) -> Curve:
    """Accuracy over glimpses for thresholds from where all stop at once to where none does.

    Args:
        scores: `(N, T)` readiness after each glimpse.
        right: `(N, T)` bool, whether the answer would be right.
        points: About P; fewer where thresholds fall together.
    """
    values = scores[:, :-1].cummax(1).values.flatten().sort().values
    if len(values):
        picked = torch.linspace(0, len(values) - 1, points, device=values.device).round().long()
        threshold = torch.unique(values[picked])
    else:
        threshold = values
    threshold = torch.cat([threshold, threshold.new_full((1,), float("inf"))])
    when = stops(scores, threshold[:, None])  # (P, N)
    got = right.float().T.gather(0, when - 1)  # right at each row's stop
    return Curve(threshold, when.double().mean(1), got.double().mean(1))


def threshold_for_budget(scores: Tensor, budget: float) -> float:
    """The highest threshold whose mean number of glimpses is no more than `budget`.

    Exact: with M_t the highest readiness of a row up to glimpse t, the mean is 1 plus the number
    of M_t (t < T) under the threshold over N; so the threshold is one of them, by rank.

    Args:
        scores: `(N, T)` readiness, on validation scenes.
        budget: Mean glimpses wanted, 1 to T.

    Raises:
        ValueError: If the budget is out of range.
    """
    count, total = scores.shape
    if not 1 <= budget <= total:
        raise ValueError(f"a mean budget is 1 to {total} glimpses here, got {budget}")
    values = scores[:, :-1].cummax(1).values.flatten().sort().values
    place = int((budget - 1) * count + 1e-6)
    return float(values[place]) if place < len(values) else float("inf")


def threshold_for_error(
    scores: Tensor, right: Tensor, tolerance: float, points: int = 1000
) -> float:
    """The lowest threshold down to which no more errors are made than with the whole budget.

    Coming from above it is the last threshold before the error first exceeds the whole budget's
    by more than the tolerance, so that a lucky low one is not taken.

    Args:
        scores: `(N, T)` readiness, on validation scenes.
        right: `(N, T)` bool, whether the answer would be right.
        tolerance: Share of scenes, such as 0.001, that may be lost.
        points: Thresholds that are tried.
    """
    curve = sweep(scores, right, points)
    good = curve.accuracy >= curve.accuracy[-1] - tolerance - 1e-12
    fit = good.flip(0).long().cumprod(0).sum()
    return float(curve.threshold[len(good) - int(fit)])


def learn_to_stop(
    look: FullLook, labels: Tensor, *, steps: int = 400, batch: int = 256, seed: int = 0
) -> StopHead:
    """Trains the learned rule's head on look training scenes; the agent stays as it is.

    Args:
        look: N episodes on training scenes.
        labels: `(N,)` int64.
        steps: Of AdamW.
        batch: Episodes in a step.
        seed: Decides weights, episodes and prices.
    """
    count, total, hidden = look.features.shape
    device = labels.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = StopHead(hidden, total).to(device)
    head.mean.copy_(look.features.mean((0, 1)))
    head.scale.copy_(look.features.std((0, 1)).clamp(min=1e-3))
    right = (look.logits.argmax(-1) == labels[:, None]).float()  # (N, T)
    adam = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.1)
    low, high = torch.tensor(PRICES).log().tolist()
    taken = torch.arange(1, total + 1, device=device, dtype=torch.float32)
    key = fold(make_key(seed, device), "learn to stop")
    for step in range(steps):
        keys = row_keys(fold(key, step), batch)
        rows = integers(fold(keys, "row"), count, 1)[:, 0]
        price = torch.exp(low + (high - low) * uniform(fold(keys, "price"), 1))  # (batch, 1)
        ready = head(look.logits[rows], look.features[rows], taken.expand(batch, -1))
        asked = head.stop_logit(ready, price)  # (batch, T)
        go_on, stop = F.logsigmoid(-asked), F.logsigmoid(asked)
        before = F.pad(go_on[:, :-1].cumsum(1), (1, 0))  # log of the chance to get so far
        chance = torch.cat([before[:, :-1] + stop[:, :-1], before[:, -1:]], 1).exp()  # (batch, T)
        reward = (chance * (right[rows] - price * taken)).sum(1)
        # Dear glimpses would drown the cheap ones' small differences.
        loss = -(reward / (price[:, 0] ** 0.5)).mean()
        adam.zero_grad()
        loss.backward()
        for group in adam.param_groups:
            group["lr"] = 3e-3 * (1 - step / steps)
        adam.step()
    return head.eval()


@torch.no_grad()
def stop_early(agent: Agent, images: Tensor, rule: StopRule, *, seed: int = 0) -> Scanpath:
    """Looks as `Agent.look` does, but each row only until the rule stops it.

    Rows that have stopped leave the batch: nothing is computed for them any more. It waits for
    the device once a glimpse, to learn who is left.

    Args:
        agent: Who looks.
        images: `(B, C, H, W)`, uint8 or float in [0, 1].
        rule: When to stop.
        seed: Decides the first location where the agent's is random.

    Returns:
        A Scanpath whose `stop` says how many glimpses each row took. After its stop a row's
        beliefs, locations and values go on as they were; its glimpses are zero.
    """
    spec, network = agent.spec, agent.network
    images = images.to(network.classifier.weight.device)
    count, device = len(images), images.device
    scene, state = spec.retina.prepare(images, looks=spec.glimpses), network.start(count)
    location = first_location(spec.first, network, row_keys(make_key(seed), count))
    rows = torch.arange(count, device=device)
    stop = torch.full((count,), spec.glimpses, device=device)
    kept: dict[str, Tensor] = {}
    for t in range(spec.glimpses):
        glimpse = spec.retina.look(scene, location, None if len(rows) == count else rows)
        state = network.see(glimpse, location, state)
        features = state[0]
        logits = network.answer(state)
        news = {
            "locations": location,
            "glimpses": glimpse,
            "beliefs": logits.softmax(-1),
            "values": network.baseline(features)[..., 0],
        }
        for name, value in news.items():
            if not t:
                kept[name] = value.new_zeros(count, spec.glimpses, *value.shape[1:])
            if name == "glimpses":
                kept[name][rows, t] = value
            else:
                kept[name][rows, t:] = value[:, None]
        if t + 1 == spec.glimpses:
            break
        done = rule.readiness(logits, features, t + 1) >= rule.threshold
        stop[rows[done]] = t + 1
        alive = (~done).nonzero()[:, 0]
        if not len(alive):
            break
        rows, state = rows[alive], tuple(part[alive] for part in state)
        location = network.policy(state[0], location[alive])
    return Scanpath(
        **kept,
        rewards=torch.zeros_like(kept["values"]),
        stop=stop,
        retina=spec.retina,
        height=scene.height,
        width=scene.width,
    )
