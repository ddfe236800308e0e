"""Recurrent PPO for any Gymnasium environment, in one file and in the order in which it happens.

    python -m saccade.agents.ppo --env-id saccade/Search-v0 --total-steps 1000000 --seed 0

Schulman et al. 2017, "Proximal Policy Optimization Algorithms", with generalized advantages
(Schulman et al. 2016), and most of what Huang et al. 2022 found to matter ("The 37 Implementation
Details of Proximal Policy Optimization"). Deltas:

- a GRU or LSTM remembers over an episode; a minibatch is some rows with all their steps in order,
  never single steps. Gradients run back to the begin of the episode or of the rollout
- vector environments reset in NEXT_STEP mode: the step that resets a row is played, because it
  must be, and then left out of every loss. In return the last observation of a truncated episode
  is at hand, and its value stands in for the rest
- glimpses go through the what-and-where encoder of `saccade.network`, other observations through
  one layer
- the critic reads the features without shaping them; its loss is not clipped
- all randomness by counter, so one seed gives one run
"""

import json
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import gymnasium
import numpy as np
import torch
import tyro
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor, nn

from saccade.counter import fold, make_key, normal, row_keys, uniform
from saccade.network import CORES, GlimpseEncoder, State

JSON = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="JSON",
    instance_from_str=lambda args: json.loads(args[0]),
    is_instance=lambda value: isinstance(value, dict),
    str_from_instance=lambda value: [json.dumps(value)],
)


@dataclass(frozen=True)
class PPOConfig:
    """What to learn, and how."""

    env_id: str = "saccade/ClutteredDigits-v0"
    """Environment, as for `gymnasium.make_vec`."""
    options: Annotated[dict[str, Any], JSON] = field(default_factory=dict)
    """Keyword arguments of the environment, like '{"size": 8}'."""
    total_steps: int = 1_000_000
    """Steps of all rows together."""
    seed: int = 0
    """Decides everything that is random."""
    num_envs: int = 64
    """Rows stepped at once."""
    num_steps: int = 36
    """Steps of a rollout; best some whole episodes, each with its step of reset."""
    core: Literal["gru", "lstm"] = "gru"
    """What remembers."""
    hidden: int = 128
    """Width of encoder and core."""
    lr: float = 2e-3
    """Learning rate of Adam; falls linearly to 0."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """How far advantages look ahead."""
    epochs: int = 4
    """Times that a rollout is learned from."""
    minibatches: int = 4
    """Parts of a rollout, each with num_envs / minibatches rows."""
    clip: float = 0.2
    """How far a probability may move, as a ratio."""
    entropy: float = 0.01
    """Weight of the entropy."""
    value: float = 0.5
    """Weight of the value loss."""
    clip_norm: float = 0.5
    """Longest gradient."""
    device: str = "cpu"
    """Where the network computes."""
    threads: int = 1
    """CPU threads of the command; in such small steps more of them mostly wait for each other."""
    json: Path | None = None
    """File to write the learning curve to, one line of JSON a report."""

    def __post_init__(self) -> None:
        if self.num_envs % self.minibatches:
            raise ValueError(
                f"num_envs ({self.num_envs}) must be a multiple of minibatches ({self.minibatches})"
            )
        if self.total_steps < self.num_envs * self.num_steps:
            raise ValueError(
                f"total_steps ({self.total_steps}) must be at least one rollout, "
                f"{self.num_envs} x {self.num_steps} steps"
            )


class Reader:
    """Brings observations of a Box, or of a Dict of Boxes, to one tensor `(N, D)`, glimpse first.

    Attributes:
        size: D.
        glimpse: How many of the D numbers are the glimpse's; 0 where there is none.
    """

    def __init__(self, space: spaces.Space) -> None:
        boxes = dict(space.items()) if isinstance(space, spaces.Dict) else {"": space}
        if not all(isinstance(box, spaces.Box) for box in boxes.values()):
            raise ValueError(f"observations must be a Box or a Dict of Boxes, got {space}")
        self.keys = sorted(boxes, key=lambda key: key != "glimpse")
        self.scales = [1 / 255 if boxes[key].dtype == np.uint8 else 1.0 for key in self.keys]
        sizes = [math.prod(boxes[key].shape or ()) for key in self.keys]
        self.size = sum(sizes)
        self.glimpse = sizes[0] if self.keys[0] == "glimpse" and len(sizes) > 1 else 0

    def __call__(self, observation: Any, device: torch.device) -> Tensor:
        """Arrays or tensors `(N, ...)` to `(N, D)` float32 on the device."""
        parts = observation if isinstance(observation, dict) else {"": observation}
        flat = [torch.as_tensor(parts[key], device=device).flatten(1) for key in self.keys]
        return torch.cat([x.float() * scale for x, scale in zip(flat, self.scales, strict=True)], 1)


class ActionHead(nn.Module):
    """The policy's distribution: a Gaussian for a Box, else one categorical for each number.

    An action is `(N, A)`: what was drawn, for a Gaussian before it is clipped; numbers of choices.
    """

    def __init__(self, space: spaces.Space, features: int) -> None:
        super().__init__()
        self.space = space
        if isinstance(space, spaces.Box) and np.isfinite([space.low, space.high]).all():
            self.choices = [math.prod(space.shape)]  # means
            self.log_std = nn.Parameter(torch.zeros(self.choices[0]))
        elif isinstance(space, spaces.Discrete) and space.start == 0:
            self.choices = [int(space.n)]
        elif isinstance(space, spaces.MultiDiscrete) and not space.start.any():
            self.choices = space.nvec.flatten().tolist()
        else:
            raise ValueError(
                f"actions must be Discrete or MultiDiscrete from 0, or a bounded Box; got {space}"
            )
        self.linear = nn.Linear(features, sum(self.choices))
        nn.init.orthogonal_(self.linear.weight, 0.01)
        nn.init.zeros_(self.linear.bias)

    def sample(self, features: Tensor, key: Tensor) -> Tensor:
        """Draws actions `(N, A)` with random keys `(N,)`."""
        out = self.linear(features)
        if isinstance(self.space, spaces.Box):
            return out + self.log_std.exp() * normal(key, out.shape[1])
        gumbel = -torch.log(-torch.log(uniform(key, out.shape[1]) + 2.0**-25))
        return torch.stack([each.argmax(1) for each in (out + gumbel).split(self.choices, 1)], 1)

    def judge(self, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy, each `(...)`, of actions `(..., A)` as drawn."""
        out = self.linear(features)
        if isinstance(self.space, spaces.Box):
            gaussian = torch.distributions.Normal(out, self.log_std.exp(), validate_args=False)
            return gaussian.log_prob(actions).sum(-1), gaussian.entropy().sum(-1)
        log_prob = entropy = torch.zeros(actions.shape[:-1], device=out.device)
        for number, logits in enumerate(out.split(self.choices, -1)):
            logs = logits.log_softmax(-1)
            log_prob = log_prob + logs.gather(-1, actions[..., number, None])[..., 0]
            entropy = entropy - (logs.exp() * logs).sum(-1)
        return log_prob, entropy

    def to_env(self, actions: Tensor) -> Tensor:
        """Actions `(N, A)` as the environment wants them, `(N, ...)`."""
        shape = (len(actions), *(self.space.shape or ()))
        if isinstance(self.space, spaces.Box):
            low, high = (
                torch.as_tensor(each, device=actions.device).flatten()
                for each in (self.space.low, self.space.high)
            )
            actions = low + (actions.clamp(-1, 1) + 1) / 2 * (high - low)
        return actions.view(shape)


class ActorCritic(nn.Module):
    """Reader, encoder, core, and the two heads on its state."""

    def __init__(
        self, observation: spaces.Space, action: spaces.Space, hidden: int, core: str
    ) -> None:
        super().__init__()
        self.read = Reader(observation)
        self.hidden = hidden
        rest = self.read.size - self.read.glimpse
        self.encoder: nn.Module = (
            GlimpseEncoder(self.read.glimpse, hidden, hidden, hidden, "add", places=rest)
            if self.read.glimpse
            else nn.Sequential(nn.Linear(rest, hidden), nn.ReLU())
        )
        make_core, self.state_tensors = CORES[core]
        self.core = make_core(hidden, hidden)
        self.policy = ActionHead(action, hidden)
        # It learns from what the policy made of the past, and does not shape it.
        self.critic = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def start(self, rows: int) -> State:
        """The state before an episode: zeros, each `(rows, hidden)`."""
        zeros = self.policy.linear.weight.new_zeros(rows, self.hidden)
        return (zeros,) * self.state_tensors

    def encode(self, seen: Tensor) -> Tensor:
        """Observations `(..., D)` to `(..., hidden)`."""
        if not self.read.glimpse:
            return self.encoder(seen)
        flat = seen.flatten(0, -2)
        coded = self.encoder(flat[:, : self.read.glimpse], flat[:, self.read.glimpse :])
        return coded.view(*seen.shape[:-1], self.hidden)

    def remember(self, seen: Tensor, first: Tensor, state: State) -> State:
        """The state after observations `(N, D)`; from nothing in rows that begin, `(N,)` bool."""
        kept = (~first)[:, None]
        return self.core(self.encode(seen), tuple(each * kept for each in state))

    def replay(self, seen: Tensor, first: Tensor, state: State) -> Tensor:
        """Features `(T, N, hidden)` of a rollout seen again, from the state at its begin."""
        features = []
        for coded, begins in zip(self.encode(seen), (~first)[..., None], strict=True):
            state = self.core(coded, tuple(each * begins for each in state))
            features.append(state[0])
        return torch.stack(features)

    def values(self, features: Tensor) -> Tensor:
        """Values `(...)` of features `(..., hidden)`; gradients to the critic alone."""
        return self.critic(features.detach())[..., 0]


class Rollout(NamedTuple):
    """T steps of N rows, each `(T, N, ...)`.

    Attributes:
        seen: What the action was chosen by.
        first: Whether it is the first of an episode.
        played: Whether the action was heeded: False where the step only reset the row.
        actions: As drawn.
        log_probs: Of the actions.
        values: `(T + 1, N)`, before each step and after the last.
        rewards: Of each step.
        terminated: Whether the step ended the episode for good.
        ended: Whether it ended it at all.
    """

    seen: Tensor
    first: Tensor
    played: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    terminated: Tensor
    ended: Tensor


class Player:
    """Lives in a vector environment, on from rollout to rollout.

    Attributes:
        state: What the network remembers now.
        returns: Of recent episodes.
        successes: What their last infos said of success, where they do.
    """

    def __init__(self, venv: VectorEnv, network: ActorCritic, seed: int) -> None:
        if AutoresetMode(venv.metadata["autoreset_mode"]) != AutoresetMode.NEXT_STEP:
            raise ValueError("this PPO reads episodes in NEXT_STEP mode: leave autoreset_mode out")
        self.venv, self.network = venv, network
        self.device = network.policy.linear.weight.device
        observation, _ = venv.reset(seed=seed)
        leaf = next(iter(observation.values())) if isinstance(observation, dict) else observation
        self.in_torch = torch.is_tensor(leaf)
        self.seen = network.read(observation, self.device)
        self.state = network.start(venv.num_envs)
        self.first = torch.ones(venv.num_envs, dtype=torch.bool, device=self.device)
        self.ended = ~self.first
        self.score = torch.zeros(venv.num_envs, device=self.device)
        self.returns: deque[float] = deque(maxlen=256)
        self.successes: deque[float] = deque(maxlen=256)

    @torch.no_grad()
    def play(self, steps: int, key: Tensor) -> Rollout:
        """Plays T steps with random keys `(N,)`."""
        network, kept = self.network, []
        for t in range(steps):
            self.state = network.remember(self.seen, self.first, self.state)
            features = self.state[0]
            action = network.policy.sample(features, fold(key, t))
            log_prob, _ = network.policy.judge(features, action)
            before = (
                self.seen,
                self.first,
                ~self.ended,
                action,
                log_prob,
                network.values(features),
            )
            kept.append((*before, *self._step(network.policy.to_env(action))))
        last = network.remember(self.seen, self.first, self.state)  # for its value only
        columns = [torch.stack(column) for column in zip(*kept, strict=True)]
        columns[5] = torch.cat([columns[5], network.values(last[0])[None]])
        return Rollout(*columns)

    def _step(self, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reward, terminated and ended, each `(N,)`."""
        to_env = action if self.in_torch else action.cpu().numpy()
        observation, *told, info = self.venv.step(to_env)
        reward, terminated, truncated = (torch.as_tensor(x, device=self.device) for x in told)
        self.seen = self.network.read(observation, self.device)
        # What ended in the step before has only now begun anew.
        self.first, self.ended = self.ended, terminated | truncated
        self.score = self.score + reward
        self.returns.extend(self.score[self.ended].tolist())
        self.score = torch.where(self.ended, 0, self.score)
        if "is_success" in info:
            speaks = torch.as_tensor(info["_is_success"])
            self.successes.extend(torch.as_tensor(info["is_success"])[speaks].tolist())
        return reward.float(), terminated, self.ended


def advantages_of(played: Rollout, gamma: float, lam: float) -> Tensor:
    """Generalized advantages `(T, N)`, with discount gamma and lambda `lam`.

    In NEXT_STEP mode the observation after an episode's last step is the episode's own, so the
    value of a truncated one stands there; what comes after it belongs to the next episode.
    """
    gains, ahead = torch.zeros_like(played.rewards), torch.zeros_like(played.rewards[0])
    for t in reversed(range(len(gains))):
        after = played.values[t + 1] * ~played.terminated[t]
        error = played.rewards[t] + gamma * after - played.values[t]
        ahead = gains[t] = error + gamma * lam * ahead * ~played.ended[t]
    return gains


def loss_of(
    config: PPOConfig,
    network: ActorCritic,
    part: Rollout,
    gain: Tensor,
    target: Tensor,
    state: State,
) -> Tensor:
    """The loss of some rows; steps that only reset a row count for nothing."""
    features = network.replay(part.seen, part.first, state)
    log_prob, entropy = network.policy.judge(features, part.actions)
    real = part.played
    ratio, gain = (log_prob - part.log_probs).exp()[real], gain[real]
    gain = (gain - gain.mean()) / (gain.std() + 1e-8)
    bounded = ratio.clamp(1 - config.clip, 1 + config.clip)
    policy = -torch.min(ratio * gain, bounded * gain).mean()
    value = 0.5 * (network.values(features) - target)[real].square().mean()
    return policy + config.value * value - config.entropy * entropy[real].mean()


def train(
    config: PPOConfig, report: Callable[[dict[str, float]], None] = print
) -> tuple[ActorCritic, list[dict[str, float]]]:
    """Learns to act.

    Args:
        config: What to do.
        report: Called about a hundred times, with step, return and success of recent episodes.

    Returns:
        The network, and what was reported.

    Raises:
        ValueError: If the environment resets in another mode than NEXT_STEP, or has a space that
            cannot be read.
    """
    rows, rollout = config.num_envs, config.num_envs * config.num_steps
    venv = gymnasium.make_vec(config.env_id, rows, **config.options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = ActorCritic(
            venv.single_observation_space, venv.single_action_space, config.hidden, config.core
        ).to(config.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr, eps=1e-5)
    player, key = Player(venv, network, config.seed), make_key(config.seed, config.device)
    curve: list[dict[str, float]] = []
    updates, begun = config.total_steps // rollout, time.time()
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = config.lr * (1 - update / updates)
        draw = row_keys(fold(fold(key, "update"), update), rows)
        # 1. Play.
        start = player.state
        played = player.play(config.num_steps, draw)
        # 2. Judge.
        gains = advantages_of(played, config.gamma, config.gae_lambda)
        targets = gains + played.values[:-1]
        # 3. Learn, from some rows at a time.
        for epoch in range(config.epochs):
            order = uniform(fold(fold(draw, "epoch"), epoch), 1)[:, 0].argsort(stable=True)
            for some in order.chunk(config.minibatches):
                part = Rollout(*(column[:, some] for column in played))
                state = tuple(each[some] for each in start)
                loss = loss_of(config, network, part, gains[:, some], targets[:, some], state)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
                optimizer.step()
        if (update + 1) % max(1, updates // 100) == 0 or update == updates - 1:
            step = (update + 1) * rollout
            line: dict[str, float] = {"step": step, "per_second": step // (time.time() - begun)}
            for name, values in (("return", player.returns), ("success", player.successes)):
                if values:
                    line[name] = round(sum(values) / len(values), 4)
            curve.append(line)
            report(line)
    venv.close()
    return network, curve


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line."""
    config = tyro.cli(PPOConfig, args=arguments, description=__doc__.splitlines()[0])
    if config.json is not None and not config.json.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {config.json.parent} to write to")
    torch.set_num_threads(config.threads)
    _, curve = train(config)
    if config.json is not None:
        config.json.write_text("".join(json.dumps(line) + "\n" for line in curve))


if __name__ == "__main__":
    main()
