"""Training that begins from a trained agent: what it has stays as it is, a canvas is added."""

import inspect
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saccade import shipped
from saccade.agent import Agent, AgentSpec, load
from saccade.agents.checkpoint import read_json
from saccade.agents.config import TrainConfig, from_json, read_config
from saccade.network import GazeNetwork

NEW = "canvas."  # weights that are not the trained agent's
TOLD = (
    "recipe", "updates", "images", "complete", "device", "seconds", "hardware", "commit",
    "train_command",
)  # fmt: skip


def config_of(run: str | Path, folder: Path | None = None) -> TrainConfig:
    """How an agent was trained: a shipped one by name, or that of a run folder.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is broken.
    """
    shipped.check_run(run, folder)
    if shipped.is_name(run, folder):
        return from_json(shipped.read(str(run), folder)[1]["recipe"])
    return read_config(Path(run) / "config.json")


def open_begun(config: TrainConfig, spec: AgentSpec) -> Agent:
    """The trained agent that a training begins from, where it can.

    Args:
        config: The training; `begin` names a run folder or a shipped agent.
        spec: The agent to train.

    Raises:
        FileNotFoundError: If there is no such agent.
        ValueError: If it is broken, has a canvas, is another agent than `spec` but for the canvas,
            or has learned from images that this training is validated on.
    """
    run = config.begin
    agent, was = load(run), config_of(run)
    if not shipped.is_name(run) and not (Path(run) / "summary.json").is_file():
        raise ValueError(f"--begin {run}: that agent's training has not ended; --resume it first")
    if agent.network.canvas is not None:
        raise ValueError(f"--begin {run}: that agent has a canvas already")
    mine, its = _told(spec, config), _told(agent.spec, was)
    for name in mine:
        if mine[name] != its[name]:
            raise ValueError(
                f"--begin {run}: that agent has {name} {its[name]}, but {mine[name]} is asked "
                "for; give the options that it was trained with"
            )
    if was.seed != config.seed:
        raise ValueError(
            f"--begin {run}: that agent was trained with seed {was.seed}, and may have learned "
            f"from images that seed {config.seed} is validated on; take --seed {was.seed}"
        )
    return agent


def begin_from(network: GazeNetwork, agent: Agent) -> None:
    """Puts an agent's weights into its network with a canvas, and keeps them from learning."""
    network.load_state_dict({**network.state_dict(), **agent.network.state_dict()})
    for name, weight in network.named_parameters():
        weight.requires_grad_(name.startswith(NEW))


def _told(spec: AgentSpec, config: TrainConfig) -> dict[str, Any]:
    """What two agents must have alike for the one to go on from the other."""
    options = inspect.signature(GazeNetwork).parameters.values()
    usual = {each.name: each.default for each in options if each.default is not each.empty}
    values = usual | asdict(spec) | spec.network | {"gaze": config.gaze}
    return {key: values[key] for key in values if key not in ("network", "canvas", "glimpses")}


def tell_begun(run: str) -> dict[str, Any]:
    """What the row of a benchmark tells of the training that another one began from.

    Raises:
        FileNotFoundError: If it is no seed of a row that was trained and measured.
    """
    path = Path(run) / "result.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; rows begin from seeds of rows that ended")
    result = read_json(path)
    return {key: result[key] for key in TOLD}
