"""Learning to look and to act where nothing is labeled: REINFORCE alone, in order of execution.

Mnih, Heess, Graves & Kavukcuoglu 2014, section 4.2 (Catch): a policy for gaze and one for what is
done beside it, both learned from reward alone. Their gradient also trains encoder and core, as no
label does. Deltas:

- AdamW with warm-up, cosine and gradient clipping, in place of SGD with momentum
- returns are traced back by generalized advantage estimation (Schulman et al. 2016; `trace` of 1
  is plain REINFORCE with a baseline), advantages are normalized over the batch
- a GRU core unless configured otherwise, and an entropy bonus for what is done

Update u of seed s plays the same episodes wherever it is run: all randomness is by counter.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.agent import AgentSpec
from saccade.agents.config import TrainConfig
from saccade.agents.optimize import Optimizer
from saccade.agents.precision import products
from saccade.agents.world import World, make_world
from saccade.counter import fold, integers, make_key, normal, row_keys, uniform
from saccade.network import GaussianPolicy, GazeNetwork

# Which loss trains which modules of the network, and no other.
ROUTING: dict[str, frozenset[str]] = {
    "act": frozenset({"encoder", "core", "policy", "classifier"}),
    "baseline": frozenset({"baseline"}),
}
EVALUATION_SEED = {"validation": 1_500_000_000, "test": 1_900_000_000}


class Played(NamedTuple):
    """N rows of L steps, with gradients to what chose.

    Attributes:
        log_probs: `(N, L)` of gaze and deed together, as drawn.
        entropy: `(N, L)` of the deed.
        values: `(N, L + 1)` the baseline's guess of the return before each step; the last is 0
            where the episode has ended.
        rewards: `(N, L)`.
        alive: `(N, L)` bool, whether the episode was on before the step.
        success: `(N,)` bool, whether its aim was reached at its end.
    """

    log_probs: Tensor
    entropy: Tensor
    values: Tensor
    rewards: Tensor
    alive: Tensor
    success: Tensor


def play(
    network: GazeNetwork,
    world: World,
    seed: int,
    key: Tensor,
    *,
    sigma: float,
    gaze: str = "learned",
) -> Played:
    """Plays an episode in every row.

    Args:
        network: Who looks and acts.
        world: Where.
        seed: Decides the episodes.
        key: `()` int64, decides the policy's noise.
        sigma: Spread of the gaze around the policy's mean; 0 gives the mode of gaze and deed.
        gaze: "learned", or "random" or "center" in its place.
    """
    keys = row_keys(key, world.rows)
    noise = normal(fold(keys, "gaze"), world.steps, 2)
    draw = uniform(fold(keys, "deed"), world.steps)
    anywhere = uniform(fold(keys, "anywhere"), world.steps, 2) * 2 - 1
    exact = torch.autocast(key.device.type, enabled=False)  # of the world, whatever is around
    state = network.start(world.rows)
    with exact:
        seen = world.begin(seed)
    over = torch.zeros(world.rows, dtype=torch.bool, device=key.device)
    success = over
    log_probs, entropies, values, rewards, alive = [], [], [], [], []
    for t in range(world.steps):
        state = network.see(seen.glimpse, seen.gaze, state)
        mean, logits = network.policy(state[0], seen.gaze), network.classifier(state[0]).float()
        values.append(network.baseline(state[0].detach())[:, 0].float())
        where = (mean + sigma * noise[:, t]).detach()
        log_prob = (
            GaussianPolicy.log_prob(where, mean, sigma) if sigma else torch.zeros_like(draw[:, t])
        )
        if gaze != "learned":
            where = anywhere[:, t] if gaze == "random" else torch.zeros_like(where)
            log_prob = torch.zeros_like(log_prob)
        log_chance = logits.log_softmax(-1)
        chance = log_chance.detach().exp()
        drawn = (chance.cumsum(-1) < draw[:, t, None]).sum(-1).clamp(max=logits.shape[-1] - 1)
        deed = drawn if sigma else chance.argmax(-1)
        log_probs.append(log_prob + log_chance.gather(1, deed[:, None])[:, 0])
        entropies.append(-(log_chance.exp() * log_chance).sum(-1))
        alive.append(~over)
        with exact:
            seen, reward, ended, right = world.step(where, deed)
        rewards.append(reward)
        success = torch.where(over, success, right)
        over = ended
        if world.early and t % 16 == 15 and bool(over.all()):
            break
    state = network.see(seen.glimpse, seen.gaze, state)
    last = network.baseline(state[0].detach())[:, 0].float()
    values.append(torch.where(over, torch.zeros_like(last), last))
    return Played(
        log_probs=torch.stack(log_probs, 1),
        entropy=torch.stack(entropies, 1),
        values=torch.stack(values, 1),
        rewards=torch.stack(rewards, 1),
        alive=torch.stack(alive, 1),
        success=success & over,
    )


def advantages(played: Played, discount: float, trace: float) -> Tensor:
    """Generalized advantage estimates, `(N, L)` (Schulman et al. 2016, equation 16).

    With `trace` of 1 they are the return minus the baseline.
    """
    values, gain = played.values.detach(), torch.zeros_like(played.rewards[:, 0])
    out = []
    for t in reversed(range(played.rewards.shape[1])):
        goes_on = played.alive[:, t + 1] if t + 1 < played.alive.shape[1] else played.alive[:, t]
        surprise = played.rewards[:, t] + discount * values[:, t + 1] * goes_on - values[:, t]
        gain = (surprise + discount * trace * gain * goes_on) * played.alive[:, t]
        out.append(gain)
    return torch.stack(out[::-1], 1)


class Player:
    """A learner without labels: network, optimizer and the number of updates done.

    Args:
        config: What to do; `env` names the world.
        device: Where to compute.

    Raises:
        ValueError: If the world cannot be made.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.world, self.env_options = make_world(
            config.env, config.env_options, config.batch, config.horizon, device
        )
        deeds = tuple(str(each) for each in range(max(1, self.world.deeds)))
        channels, height, width = self.world.shape
        self.spec = AgentSpec(
            retina=self.world.retina,
            glimpses=self.world.steps,
            first="center",
            channels=channels,
            height=height,
            width=width,
            classes=deeds,
            network=config.network(),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network: GazeNetwork = self.spec.build().to(device)
        self.optimizer = Optimizer(config, self.network)
        self._measure()
        self.key = make_key(config.seed, device)
        self.products = products(config, device)
        self.updates = 0

    @torch.no_grad()
    def _measure(self) -> None:
        """Sets the encoder's gain, so that every scale of the glimpses has a mean square of 1.

        Where a pixel of ball is averaged into a coarse cell, little of it is left, and Adam, whose
        steps do not grow with the gradient, would learn from it as much more slowly.
        """
        world, seen = self.world, self.world.begin(0)
        keys = row_keys(make_key(0, self.device), world.rows)
        places, squares = uniform(keys, 8, 2) * 2 - 1, []
        for t in range(min(8, world.steps)):
            squares.append(seen.glimpse.square().mean((0, 2, 3, 4)))
            idle = torch.zeros(world.rows, dtype=torch.int64, device=self.device)
            seen = world.step(places[:, t], idle).seen
        gain = torch.stack(squares).mean(0).clamp(min=1e-4).rsqrt()  # (S,)
        encoder = self.network.encoder
        encoder.gain.copy_(gain.repeat_interleave(encoder.gain.numel() // len(gain)))

    def update(self) -> dict[str, Tensor]:
        """An episode in every row, one step of the optimizer.

        Returns:
            Metrics of this update, tensors on the device.
        """
        config = self.config
        # 1. Play: new episodes, new noise.
        seed = int(integers(row_keys(fold(make_key(config.seed), self.updates), 1), 10**9, 1))
        with self.products:
            played = play(
                self.network, self.world, seed, fold(self.key, self.updates), sigma=config.sigma
            )
        # 2. Judge: each loss for its own modules (`ROUTING`).
        alive, count = played.alive, played.alive.sum()
        gains = advantages(played, config.discount, config.trace)
        targets = gains + played.values[:, :-1].detach()
        mean = gains.sum() / count
        spread = (((gains - mean) ** 2 * alive).sum() / count).sqrt()
        weights = (gains - mean) / (spread + 1e-4) * alive
        act = -(played.log_probs * weights).sum() / count
        bonus = (played.entropy * alive).sum() / count
        baseline = (F.mse_loss(played.values[:, :-1], targets, reduction="none") * alive).sum()
        baseline = baseline / count
        # 3. Learn.
        loss = act - config.entropy * bonus + baseline
        norms = self.optimizer.step(loss, self.updates)
        self.updates += 1
        return {
            "return": played.rewards.sum(1).mean(),
            "success": played.success.float().mean(),
            "steps": alive.sum(1).float().mean(),
            "loss_act": act.detach(),
            "loss_baseline": baseline.detach(),
            "entropy": bonus.detach(),
        } | norms

    @torch.no_grad()
    def evaluate(self, split: str, gaze: str = "learned", batches: int = 4) -> dict[str, float]:
        """Plays fixed episodes at the policy's mode.

        Args:
            split: "validation" or "test": decides the episodes.
            gaze: "learned", or "random" or "center" in its place.
            batches: How many, of an episode in every row.

        Returns:
            `success`, the share that reached the aim, and `return`, the mean sum of rewards.
        """
        success, returns = [], []
        for part in range(batches):
            seed = EVALUATION_SEED[split] + part * self.world.rows
            played = play(
                self.network, self.world, seed, make_key(seed, self.device), sigma=0.0, gaze=gaze
            )
            success.append(played.success.float())
            returns.append(played.rewards.sum(1))
        return {
            "success": float(torch.cat(success).mean()),
            "return": float(torch.cat(returns).mean()),
        }

    def validate(self) -> dict[str, dict[str, float]]:
        """Success and return on validation, by gaze: no better than random is a collapse."""
        return {gaze: self.evaluate("validation", gaze, 1) for gaze in ("learned", "random")}

    @property
    def label(self) -> str:
        """What the progress bar calls it."""
        return "agent"

    def headline(self, metrics: dict[str, Any]) -> str:
        """The success of the last batches."""
        return f"{metrics['success']:6.1%} success"

    def diagnosis(self, validation: dict[str, Any], metrics: dict[str, Any]) -> str:
        """Success on validation by gaze; says what looks like a collapse."""
        success = {gaze: values["success"] for gaze, values in validation.items()}
        words = ", ".join(f"{gaze} {value:.1%}" for gaze, value in success.items())
        words = f"validation {words}"
        if success["learned"] <= success["random"]:
            words += "; the learned gaze is no better than random (collapsed, if it stays so)"
        return words

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the weights."""
        return {"updates": self.updates, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where `state_dict` was taken; the weights are loaded apart."""
        self.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
