"""Does gaze learned by Stable-Baselines3's PPO beat random gaze, in minutes on a CPU?

    python scripts/learn_sb3.py --env-id saccade/ClutteredDigits-v0 --minutes 10 [--seed S]
        [--steps N] [--gaze learned random] [--action-mode MODE] [--options JSON]
        [--threads N] [--json PATH]

For each gaze an agent is trained equally long and judged on episodes of another seed (of digits:
with other images) at the policy's mode. With random gaze, the place to look at is drawn uniformly
over the scene in the agent's stead, and the agent learns all that is left, when and what to
decide; in Search nothing is left. PPO is feed-forward: it acts by its current glimpse.

What did not learn in these minutes: a Gaussian gaze (`--action-mode box`); classification that is
paid only when the budget is spent (`stop="budget"`), as one step in eight then tells anything.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from rich.console import Console
from rich.table import Table
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

import saccade
from saccade.agents.checkpoint import describe_machine
from saccade.agents.sb3 import GlimpseExtractor, to_vec_env

ROWS = 128
PPO_OPTIONS: dict[str, Any] = {
    "n_steps": 16,
    "batch_size": 512,
    "n_epochs": 4,
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "ent_coef": 0.01,
}
ENV_OPTIONS: dict[str, dict[str, Any]] = {
    # Two windows, the wider of 24 pixels: where a digit is can be seen from afar, not which it is.
    "saccade/ClutteredDigits-v0": {"scales": 2, "glimpses": 4, "stop": "decide"},
    # To an item that is seen it is equally far, wherever one looks.
    "saccade/Search-v0": {"gaze_mode": "relative", "reach": 0.75, "grid": 9},
}


class RandomGaze(VecEnvWrapper):
    """Draws the gaze of every action uniformly; what is left of the action is the agent's."""

    def __init__(self, venv: VecEnv, seed: int) -> None:
        whole = venv.action_space
        if isinstance(whole, spaces.Box):
            rest: spaces.Space = spaces.Box(whole.low[2:], whole.high[2:], dtype=np.float32)
        elif isinstance(whole, spaces.MultiDiscrete):
            rest = spaces.MultiDiscrete(whole.nvec[2:])
        else:
            raise ValueError(f"no gaze can be told in {whole}; take box or multidiscrete")
        super().__init__(venv)
        self.action_space = rest
        self.gaze, self.rng = whole, np.random.default_rng(seed)

    def step_async(self, actions: np.ndarray) -> None:
        """Puts a random gaze before what the agent chose."""
        gaze: np.ndarray
        if isinstance(self.gaze, spaces.MultiDiscrete):
            gaze = self.rng.integers(0, self.gaze.nvec[:2], (self.num_envs, 2))
        else:
            gaze = self.rng.uniform(-1, 1, (self.num_envs, 2)).astype(np.float32)
        self.venv.step_async(np.concatenate([gaze, actions], 1))

    def reset(self) -> Any:
        """Begins episodes in all rows."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """What the environment gives."""
        return self.venv.step_wait()


class Limit(BaseCallback):
    """Stops after so many seconds, and shows how far learning is."""

    def __init__(self, seconds: float, console: Console) -> None:
        super().__init__()
        self.seconds, self.console, self.begun, self.said = seconds, console, time.time(), 0.0

    @property
    def left(self) -> float:
        """Share of the time that is left."""
        return 1 - (time.time() - self.begun) / self.seconds

    def _on_step(self) -> bool:
        if time.time() - self.said > 20 and self.model.ep_success_buffer:
            self.said = time.time()
            share = np.mean(self.model.ep_success_buffer)
            self.console.print(f"{self.num_timesteps:>10,} steps  training success {share:.1%}")
        return self.left > 0


def make(args: argparse.Namespace, gaze: str, seed: int, **options: Any) -> VecEnv:
    """The environment, with the agent's gaze or with random gaze."""
    chosen = ENV_OPTIONS.get(args.env_id, {}) | args.options | options
    if gaze == "random":
        chosen["gaze_mode"] = "absolute"  # uniform over the scene
    venv = gymnasium.make_vec(
        args.env_id, ROWS, autoreset_mode="SameStep", action_mode=args.action_mode, **chosen
    )
    env: VecEnv = to_vec_env(venv)
    env.seed(seed)
    return RandomGaze(env, seed) if gaze == "random" else env


def train(args: argparse.Namespace, gaze: str, console: Console) -> PPO | None:
    """An agent, trained as long as was asked for; None where nothing is left to decide."""
    env = make(args, gaze, args.seed)
    if env.action_space.shape == (0,):
        return None
    limit = Limit(args.minutes * 60 if args.minutes else math.inf, console)
    model = PPO(
        "MultiInputPolicy",
        env,
        learning_rate=lambda left: args.lr * max(0.02, min(left, limit.left)),
        policy_kwargs={
            "features_extractor_class": GlimpseExtractor,
            "net_arch": [128],
            "activation_fn": torch.nn.ReLU,
        },
        seed=args.seed,
        device="cpu",
        **(PPO_OPTIONS | args.ppo),
    )
    return model.learn(args.steps, callback=limit)


def judge(args: argparse.Namespace, gaze: str, model: PPO | None) -> tuple[float, int]:
    """Share of successes of at least `args.episodes` episodes, and how many they were."""
    test = {"split": "test"} if "Digits" in args.env_id else {}
    env = make(args, gaze, args.seed + 10**6, **test)
    each = math.ceil(args.episodes / ROWS)  # of every row: short episodes are not over-represented
    found: list[list[bool]] = [[] for _ in range(ROWS)]
    observation: Any = env.reset()
    while min(map(len, found)) < each:
        if model is None:
            action = np.zeros((ROWS, 0), env.action_space.dtype)
        else:
            action, _ = model.predict(observation, deterministic=True)
        observation, _, dones, infos = env.step(action)
        for row in np.flatnonzero(dones).tolist():
            found[row].append(bool(infos[row]["is_success"]))
    env.close()
    flat = [success for row in found for success in row[:each]]
    return float(np.mean(flat)), len(flat)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-id", default="saccade/ClutteredDigits-v0", help="environment")
    parser.add_argument("--seed", type=int, default=0, help="decides training and test episodes")
    parser.add_argument("--minutes", type=float, default=0, help="longest training of each gaze")
    parser.add_argument("--steps", type=int, default=10**8, help="most steps of each gaze")
    parser.add_argument("--gaze", nargs="+", default=["learned", "random"], help="who looks")
    parser.add_argument("--action-mode", default="multidiscrete", help="box or multidiscrete")
    parser.add_argument("--options", type=json.loads, default={}, help="of the environment")
    parser.add_argument("--ppo", type=json.loads, default={}, help="of PPO")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate at the start")
    parser.add_argument("--episodes", type=int, default=4000, help="episodes to judge by")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    return parser.parse_args()


def main() -> None:
    """Trains and judges each gaze and prints the table."""
    args, console = parse(), Console()
    torch.set_num_threads(args.threads)
    rows = []
    for gaze in args.gaze:
        begun = time.time()
        model = train(args, gaze, console)
        seconds = time.time() - begun
        success, episodes = judge(args, gaze, model)
        rows.append(
            {
                "case": args.env_id,
                "method": f"ppo-{gaze}",
                "value": round(success, 4),
                "seed": args.seed,
                "steps": 0 if model is None else model.num_timesteps,
                "seconds": round(seconds, 1),
                "episodes": episodes,
                "action_mode": args.action_mode,
                "options": ENV_OPTIONS.get(args.env_id, {}) | args.options,
                "threads": args.threads,
            }
        )
        console.print(rows[-1])
    table = Table(title=f"{args.env_id}, seed {args.seed}")
    for name in ("gaze", "success", "steps", "seconds"):
        table.add_column(name, justify="left" if name == "gaze" else "right")
    for row in rows:
        table.add_row(
            row["method"], f"{row['value']:.1%}", f"{row['steps']:,}", f"{row['seconds']:.0f}"
        )
    console.print(table)
    if args.json is not None:
        machine = describe_machine(torch.device("cpu")) | {"saccade": saccade.__version__}
        args.json.write_text(json.dumps([row | machine for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
