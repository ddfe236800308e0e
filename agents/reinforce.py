"""Learning to look by REINFORCE, in the order in which it happens.

Mnih, Heess, Graves & Kavukcuoglu 2014, "Recurrent Models of Visual Attention", section 3:
a hybrid of cross-entropy, for what sees and remembers, and REINFORCE, for where to look. Deltas:

- AdamW with warm-up, cosine and gradient clipping, in place of SGD with momentum
- advantages are normalized over the batch; the REINFORCE loss has a weight of its own
- the policy has a hidden layer and a tanh mean, may aim by a move from where the eye is, and,
  unless the routing is shared as in the paper, sees the core's state detached
- the last location, at which nothing looks, is neither sampled nor scored
- optional: several rollouts a scene with leave-one-out baseline; dense reward (the drop in
  cross-entropy); cross-entropy after every glimpse; random affine and elastic augmentation;
  corruption; an eye that slips; half as much augmentation and slip at last; a convolution over
  each glimpse; a canvas that answers with the core, and beside an agent that was trained before
  learns to answer alone

All randomness is by counter (`saccade.counter`): update u of seed s is the same wherever and
whenever it is run, so there is no random state to store, and resuming is exact.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from saccade.agents.begin import begin_from, open_begun
from saccade.agents.config import TrainConfig
from saccade.agents.evaluate import Evaluation, evaluate
from saccade.agents.gaze import Gaze
from saccade.agents.objectives import Losses, hybrid_losses
from saccade.agents.optimize import Optimizer
from saccade.agents.precision import products
from saccade.agents.ranks import count, mean_over_ranks, share
from saccade.agents.recorded import Recorded
from saccade.agents.rollout import Rollout, rollout
from saccade.counter import fold, integers, make_key, row_keys
from saccade.data import ImageSet, Splits
from saccade.envs.classify import Classify
from saccade.envs.core import GazeCore
from saccade.network import GazeNetwork
from saccade.scenes import GENTLE, SceneMaker, default_side


def make_scenes(
    config: TrainConfig, pool: ImageSet, *, training: bool = False, strength: Tensor | None = None
) -> SceneMaker:
    """The scenes that a configuration asks for, made from the images of one split.

    Only scenes to train on are augmented and corrupted.
    """
    return SceneMaker(
        pool,
        config.scene,
        config.side or default_side(config.scene, *pool.images.shape[-2:]),
        config.clutter,
        config.clutter_size,
        augment=training and config.augment,
        bend=config.bend if training else 0.0,
        corrupt=config.corrupt if training else 0.0,
        strength=strength,
    )


def _asks(config: TrainConfig, first: int) -> list[slice]:
    """Rows whose canvas is read after each glimpse: a quarter of them once before the end, too.

    Args:
        config: What to do.
        first: The number, in the whole batch, of the first row here.
    """
    before = config.glimpses - 1
    step = min(4 * before, config.batch * config.rollouts)
    return [slice((t - first) % step, None, step) for t in range(before)] + [slice(None)]


class _Trip(nn.Module):
    """A function as the forward pass of a network's owner, which is what DDP averages around."""

    def __init__(self, network: GazeNetwork, trip: Callable[..., Any]) -> None:
        super().__init__()
        self.network, self.trip = network, trip

    def forward(self, update: Tensor, index: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What `Reinforce.update` plays and judges."""
        return self.trip(update, index)


class Reinforce:
    """A learner: network, optimizer and the number of updates done, which is all its state.

    Args:
        config: What to do.
        splits: Images to learn from and to validate on, on the device.
        device: Where to compute.
    """

    def __init__(self, config: TrainConfig, splits: Splits, device: torch.device) -> None:
        self.config, self.device = config, device
        eases = config.refine and (config.augment or config.slip)
        # Of augmentation and slip, where it is not always 1.
        self.strength = torch.tensor(1.0, device=device) if eases else None
        self.scenes = make_scenes(config, splits.train, training=True, strength=self.strength)
        self.validation = make_scenes(config, splits.validation)
        self.spec = config.agent_spec(self.scenes.shape, splits.train.classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network: GazeNetwork = self.spec.build()
        if config.begin:
            begin_from(self.network, open_begun(config, self.spec))
        self.network.to(device)
        # Where ranks talk to each other within an update it is not recorded.
        recorded = config.compile and device.type == "cuda" and count() == 1
        self.optimizer = Optimizer(config, self.network, recorded)
        self.share = share(config.batch)  # this process's scenes of each batch
        self.core = GazeCore(
            Classify(self.scenes),
            self.spec.retina,
            config.glimpses,
            self.share.stop - self.share.start,
            rollouts=config.rollouts,
            first="random" if config.first == "random" else "center",
            device=device,
        )
        self.asks = _asks(config, self.share.start * config.rollouts)
        self.key = make_key(config.seed, device)
        self.products = products(config, device)
        self.trip: nn.Module = _Trip(self.network, self._trip)
        if config.compile:
            keys = row_keys(self.key, self.core.rows)
            self.core.begin(index=torch.zeros_like(keys), key=keys)  # or the first batch is special
            self.trip.compile(fullgraph=True)
        if count() > 1:
            unused = config.gaze != "learned" or config.glimpses == 1  # policy and baseline
            self.trip = DistributedDataParallel(self.trip, find_unused_parameters=unused)
        self.updates = 0
        scenes = self.share.stop - self.share.start
        self._index = torch.zeros(scenes, dtype=torch.int64, device=device)
        self._learn: Callable[[], dict[str, Tensor]] = self._work
        self._record()
        self._epoch, self._order = -1, torch.empty(0)

    def update(self) -> dict[str, Tensor]:
        """One batch of fresh scenes, one step of the optimizer.

        Returns:
            Metrics of this update, tensors on the device: nothing here waits for it.
        """
        self._index.copy_(self._next_images()[self.share])
        self.optimizer.schedule(self.updates)
        if self.strength is not None:
            late = self.updates >= (1 - self.config.refine) * self.config.updates
            self.strength.fill_(GENTLE if late else 1.0)
        metrics = self._learn()
        self.updates += 1
        return metrics

    def _record(self) -> None:
        """Begins anew to have updates recorded, where they are."""
        if self.optimizer.recorded:
            self._learn = Recorded(self._work, self.device)

    def _work(self) -> dict[str, Tensor]:
        """The update whose number and images were filled in."""
        loss, metrics = self.trip(self.optimizer.number, self._index)
        # 3. Learn.
        return metrics | self.optimizer.descend(loss)

    def _trip(self, update: Tensor, index: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Episodes of an update `()` on images `(B,)`: what is to be lowered, and metrics."""
        config = self.config
        key = row_keys(fold(fold(self.key, "update"), update), config.batch)[self.share]
        slip: float | Tensor = config.slip
        if slip and self.strength is not None:
            slip = slip * self.strength
        # 1. Play: every scene of the batch is new, so is every draw of the policy.
        with self.products:
            played = rollout(
                self.network,
                self.core,
                key=key,
                index=index,
                gaze=config.gaze,
                learned_first=config.first == "learned",
                sigma=config.sigma,
                slip=slip,
                routing=config.routing,
                asks=self.asks,
            )
        # 2. Judge: three losses, each for its own modules (`objectives.ROUTING`).
        losses = hybrid_losses(
            played,
            sigma=config.sigma,
            reward=config.reward,
            baseline=config.baseline,
            rollouts=config.rollouts,
            discount=config.discount,
            early=config.early,
            alone=bool(config.begin),
        )
        loss = losses.classify + config.policy_weight * losses.policy + losses.baseline
        return loss, self._metrics(played, losses)

    def look(self, gaze: Gaze) -> Evaluation:
        """Looks at the validation set, with this network's own reader behind any gaze."""
        config = self.config
        return evaluate(
            self.network,
            self.validation,
            "validation",
            glimpses=config.glimpses,
            first=config.first,
            gaze=gaze,
        )

    def validate(self) -> dict[str, list[float]]:
        """Accuracy by glimpse on validation: its own gaze, then scripts read by this network.

        A learned gaze no better than random or center is a collapsed policy.
        """
        gazes: dict[Gaze, None] = dict.fromkeys((self.config.gaze, "random", "center"))
        return {gaze: self.look(gaze).accuracy for gaze in gazes}

    @property
    def label(self) -> str:
        """What the progress bar calls it."""
        gaze = self.config.gaze
        return "agent" if gaze == "learned" else f"reader of {gaze} gaze"

    def headline(self, metrics: dict[str, Any]) -> str:
        """The accuracy of the last batches."""
        return f"{metrics['accuracy'][-1]:6.1%} right"

    def diagnosis(self, validation: dict[str, Any], metrics: dict[str, Any]) -> str:
        """Right on validation by gaze, what the policy does, and what looks like a collapse."""
        right = {gaze: values[-1] for gaze, values in validation.items()}
        words = ", ".join(f"{gaze} {value:.1%}" for gaze, value in right.items())
        words = f"validation {words}"
        if "policy_spread" in metrics:
            words += f"; gaze spread {metrics['policy_spread']:.2f}"
            words += f", {metrics['clipped']:.1%} outside"
        scripts = [value for gaze, value in right.items() if gaze != "learned"]
        chosen = self.config.glimpses > 1 and self.config.gaze == "learned"
        if chosen and right["learned"] <= max(scripts):
            words += "; the learned gaze is no better than a script (collapsed, if it stays so)"
        if metrics.get("at_edge", 0.0) > 0.5:
            words += (
                "; the gaze has run to the edge, where its tanh has no gradient to bring it back: "
                "begin again with a lower --lr, or with a lower --policy-lr-scale"
            )
        return words

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the weights."""
        return {"updates": self.updates, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where `state_dict` was taken; the weights are loaded apart."""
        self.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self._record()  # Adam has other tensors now

    def _next_images(self) -> Tensor:
        """Numbers of the images of this update: each epoch shows every image once."""
        epoch, place = divmod(self.updates * self.config.batch, len(self.scenes.pool))
        parts: list[Tensor] = []
        missing = self.config.batch
        while missing:
            part = self._epoch_order(epoch)[place : place + missing]
            parts.append(part)
            missing, epoch, place = missing - len(part), epoch + 1, 0
        return torch.cat(parts)

    def _epoch_order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            key = fold(fold(self.key, "epoch"), epoch)
            draws = integers(row_keys(key, len(self.scenes.pool)), 2**31, 1)[:, 0]
            self._epoch, self._order = epoch, draws.argsort(stable=True)
        return self._order

    def _metrics(self, played: Rollout, losses: Losses) -> dict[str, Tensor]:
        """What shows a run that goes wrong; README, "What the metrics mean"."""
        right = played.logits.detach().argmax(-1) == played.target[:, None]  # (N, T)
        outside = (played.samples.abs() > 1).any(-1)
        metrics = {
            "accuracy": right.float().mean(0),
            "loss_classify": losses.classify.detach(),
            "loss_policy": losses.policy.detach(),
            "loss_baseline": losses.baseline.detach(),
            "reward": losses.reward.detach(),
        }
        if played.means.numel():
            means = played.means.detach()
            moments = mean_over_ranks(torch.stack([means.mean(0), means.square().mean(0)]))
            spread = (moments[1] - moments[0].square()).clamp(min=0).sqrt()
            metrics["policy_spread"] = spread.mean()
            metrics["clipped"] = outside.float().mean()
            metrics["at_edge"] = (means.abs() > 0.99).any(-1).float().mean()
        return metrics
