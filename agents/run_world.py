"""A run in a world without labels, from its configuration to its summary and its film."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from saccade.agent import Agent, load
from saccade.agents import ranks
from saccade.agents.checkpoint import describe_machine, read_json, write_json
from saccade.agents.config import TrainConfig, read_config, thread_count
from saccade.agents.fit import fastest_threads, fit, updates_for
from saccade.agents.player import EVALUATION_SEED, Player
from saccade.agents.run import open_run
from saccade.agents.world import make_world

GAZES = ("learned", "random", "center")


class WorldRun:
    """A run that is ready to begin: its world has been made and found good.

    Args:
        config: What to do; `env` names the world.
        resume: Take up the checkpoint in the run folder.

    Raises:
        ValueError: If an option makes no sense, or the folder holds another run.
        FileNotFoundError: If, to resume, the checkpoint is not there.
    """

    def __init__(self, config: TrainConfig, *, resume: bool = False) -> None:
        self.folder, self.device = open_run(config, resume)
        self.config = config.check()
        if ranks.count() > 1:
            raise ValueError("a world (--env) is trained in by one process; leave torchrun away")
        torch.set_num_threads(thread_count(config))
        make_world(config.env, config.env_options, 1, config.horizon, self.device)
        self.folder.mkdir(parents=True, exist_ok=True)

    def train(self, console: Console) -> dict[str, Any]:
        """Trains the agent, then plays the test episodes once.

        Returns:
            What it has written to `summary.json`.

        Raises:
            Interrupted: If it was stopped by Ctrl-C or a termination signal, after saving.
        """
        if (self.folder / "summary.json").is_file():
            return read_json(self.folder / "summary.json")
        config = self.config
        if config.minutes:
            begun = time.monotonic()
            if not config.threads:
                config = replace(config, threads=fastest_threads(Player(config, self.device)))
            torch.set_num_threads(config.threads)
            left = config.minutes * 60 - (time.monotonic() - begun)
            updates = updates_for(left, Player(config, self.device))
            config = self.config = replace(config, updates=updates, minutes=0.0)
            console.print(f"{updates} updates with {config.threads} thread(s) fit the time")
        learner = Player(config, self.device)
        seconds = fit(learner, console)
        results = {
            split: {gaze: learner.evaluate(split, gaze) for gaze in GAZES}
            for split in EVALUATION_SEED
        }
        summary = {
            "env": config.env,
            "env_options": learner.env_options,
            "test": results["test"],
            "validation": results["validation"],
            "seconds": round(seconds, 1),
            "updates": config.updates,
            "episodes": config.updates * config.batch,
            "seed": config.seed,
        } | describe_machine(self.device)
        write_json(self.folder / "summary.json", summary)
        return summary


def show_world(summary: dict[str, Any], console: Console) -> None:
    """Prints the table of a summary: success and return, by gaze."""
    table = Table(
        title=f"{summary['env']}, test episodes",
        caption="random and center gaze: the agent's own deeds, its eye moved by a script",
    )
    table.add_column("gaze")
    for name in ("success, %", "return"):
        table.add_column(name, justify="right")
    for gaze, found in summary["test"].items():
        table.add_row(gaze, f"{100 * found['success']:.1f}", f"{found['return']:.3f}")
    console.print(table)


@torch.no_grad()
def film(folder: Path, episodes: int) -> Iterator[np.ndarray]:
    """Plays episodes of a trained agent and draws every moment of them.

    Args:
        folder: Run folder.
        episodes: How many, with seeds that neither training nor evaluation uses.

    Yields:
        `(h, w, 3)` uint8 frames, as the environment renders them; the last of an episode thrice.
    """
    config, agent = read_config(folder / "config.json"), load(folder)
    _, options = make_world(config.env, config.env_options, 1, config.horizon, torch.device("cpu"))
    options |= {"render_mode": "rgb_array"}
    if config.env != "saccade/Foveate-v0":
        options |= {"action_mode": "dict"}
    env = gymnasium.make(config.env, **options)
    for episode in range(episodes):
        yield from _play(agent, env, 2_000_000_000 + episode, config.horizon)
    env.close()


def _play(
    agent: Agent, env: gymnasium.Env[Any, Any], seed: int, horizon: int
) -> Iterator[np.ndarray]:
    """One episode's frames."""
    seen, _ = env.reset(seed=seed)
    state, ended = agent.network.start(1), False
    deed_name = "motor" if "fovea" in seen else "decision"
    while not ended and horizon:
        yield _frame(env)
        glimpse: Tensor = torch.from_numpy(seen["fovea" if "fovea" in seen else "glimpse"])
        gaze = torch.from_numpy(seen["gaze"])[None]
        state = agent.network.see(glimpse[None], gaze, state)
        gaze = agent.network.policy(state[0], gaze)[0].clamp(-1, 1).numpy()
        action = {"gaze": gaze, deed_name: int(agent.network.classifier(state[0]).argmax())}
        space = env.action_space
        assert isinstance(space, gymnasium.spaces.Dict)
        seen, _, terminated, truncated, _ = env.step({name: action[name] for name in space})
        ended, horizon = terminated or truncated, horizon - 1
    for _ in range(3):
        yield _frame(env)


def _frame(env: gymnasium.Env[Any, Any]) -> np.ndarray:
    frame = env.render()
    assert isinstance(frame, np.ndarray)
    return frame
