"""Run folders: what a training leaves on disk, never half-written.

`config.json`: the whole configuration, the agent's shape, versions, command, hardware
`model.safetensors`: the weights
`trainer.pt`: optimizer and count of updates, loaded with weights_only
`metrics.jsonl`: one line of metrics at a time
`summary.json`: the results, once training has ended
`scanpath.safetensors`, `scenes.safetensors`: some episodes it was judged by, and their scenes
"""

import json
import os
import platform
import shlex
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from saccade.agent import AgentSpec, save_weights
from saccade.agents.config import TrainConfig
from saccade.agents.evaluate import Evaluation
from saccade.scanpath import Scanpath

if TYPE_CHECKING:
    from saccade.agents.fit import Learner


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Writes JSON beside and renames it."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(values, indent=1) + "\n")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file of a run.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} holds no {path.name}; give the folder of a run")
    try:
        return json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Versions, command and hardware, for the record."""
    names = ("torch", "numpy", "gymnasium", "stable-baselines3", "opencv-python")
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = version(name)
        except ModuleNotFoundError:
            continue
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "versions": versions,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "hardware": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpu": gpu,
        },
    }


def _processor() -> str:
    """The processor's model, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def save_config(folder: Path, config: TrainConfig, spec: AgentSpec, device: torch.device) -> None:
    """Writes config.json, from which the run can be repeated and the agent built again."""
    values = {"config": config.to_json(), "agent": asdict(spec)}
    write_json(folder / "config.json", values | describe_machine(device))


def save_checkpoint(
    folder: Path, learner: "Learner", metrics: dict[str, Any], seconds: float
) -> None:
    """Writes weights and trainer state.

    The trainer's file holds the weights once more: a kill between the two files must not join
    weights of one update with an optimizer of another.
    """
    save_weights(learner.network, folder)
    state = {
        "learner": learner.state_dict(),
        "weights": learner.network.state_dict(),
        "metrics": metrics,
        "seconds": seconds,
    }
    beside = folder / "trainer.pt.part"
    torch.save(state, beside)
    beside.replace(folder / "trainer.pt")


def read_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote last, or None where nothing was saved yet.

    Raises:
        ValueError: If the file is broken.
    """
    path = folder / "trainer.pt"
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        state["learner"], state["weights"], state["metrics"], state["seconds"]
    except Exception as error:  # a broken pickle fails in many ways
        raise ValueError(
            f"{path} is broken and cannot be resumed ({type(error).__name__}); remove it to begin "
            "this run anew"
        ) from error
    return state


def save_episodes(folder: Path, evaluation: Evaluation) -> None:
    """Writes the episodes of an evaluation and the scenes and labels that belong to them."""
    evaluation.scanpath.save(folder / "scanpath.safetensors")
    beside = folder / "scenes.safetensors.part"
    beside.write_bytes(save({"scenes": evaluation.scenes, "labels": evaluation.labels}))
    beside.replace(folder / "scenes.safetensors")


def load_episodes(folder: Path) -> tuple[Scanpath, Tensor, Tensor]:
    """Reads what `save_episodes` wrote: scanpath, scenes `(N, C, H, W)` uint8, labels `(N,)`.

    Raises:
        FileNotFoundError: If the run has not ended.
    """
    for name in ("scanpath.safetensors", "scenes.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} holds no {name}; let the run end (--resume)")
    saved = load_file(folder / "scenes.safetensors")
    return Scanpath.load(folder / "scanpath.safetensors"), saved["scenes"], saved["labels"]
