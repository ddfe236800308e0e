"""Measures a trained seed of the benchmark by the protocol of `results`: its `result.json`."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from saccade.agent import load as load_agent
from saccade.agents.begin import tell_begun
from saccade.agents.checkpoint import read_json, write_json
from saccade.agents.config import TrainConfig, read_config
from saccade.agents.evaluate import digest, evaluate, figures
from saccade.agents.reinforce import make_scenes
from saccade.agents.suite import Row, train_command
from saccade.data import load as load_data
from saccade.shipped import halve

APART = 0.2  # points by which the CPU and the device that trained may differ
FREE = (
    "seed", "out", "begin", "device", "threads", "compile", "updates", "minutes", "save_seconds",
    "log_every", "eval_every",
)  # fmt: skip


def recipe(config: TrainConfig) -> dict[str, Any]:
    """What a configuration has other than the default, without what may differ between seeds."""
    default = TrainConfig().to_json()
    values = config.to_json()
    return {
        name: value
        for name, value in values.items()
        if value != default[name] and name not in (*FREE, "data", "download")
    }


def round_weights(folder: Path) -> None:
    """Rounds a trained run's stored weights to what is shipped of them, so that all looks agree."""
    path = folder / "model.safetensors"
    save_file(halve(load_file(path)), path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def measure(folder: Path) -> dict[str, Any]:
    """Looks at the test set with a run's stored weights, on the CPU in one thread.

    Returns:
        `figures`, and `test_digest` of the test set.

    Raises:
        RuntimeError: If the training's own look at the test set says something else.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        agent, config = load_agent(folder), read_config(folder / "config.json")
        maker = make_scenes(config, load_data(config.data, seed=config.seed).test)
        spec = agent.spec
        seen = evaluate(
            agent.network, maker, "test", glimpses=spec.glimpses, first=spec.first, gaze=config.gaze
        )
        found = figures(seen.correct, len(maker.pool)) | {"test_digest": digest(maker, "test")}
    finally:
        torch.set_num_threads(threads)
    told = 100 - 100 * read_json(folder / "summary.json")["accuracy"][config.gaze][-1]
    if abs(told - found["error"]) > APART:
        raise RuntimeError(
            f"{folder}: its weights have a test error of {found['error']:.2f} %, but its summary "
            f"says {told:.2f} %"
        )
    return found


def seed_result(
    row: Row, folder: Path, found: dict[str, Any], summary: dict[str, Any], **facts: Any
) -> dict[str, Any]:
    """What is kept of one trained seed, in `result.json` of its folder.

    Args:
        row: What was trained.
        folder: Its run folder.
        found: `figures` on the test set, and `test_digest`.
        summary: Of the run, as `run.summarize` makes it; `validation` is by gaze.
        facts: preset, commit, and complete: whether it was trained to its recipe's end.
    """
    config = read_config(folder / "config.json")
    accuracy = summary["validation"][row.gaze or row.method]
    before = tell_begun(config.begin) if config.begin else None
    on_gpu = summary["hardware"]["gpu"] or (before and before["device"] == "cuda")
    keys = ("seconds", "updates", "images", "versions", "hardware", "images_by_split")
    result = {
        "row": row.name,
        "seed": config.seed,
        **found,
        "validation": round(100 - 100 * accuracy[-1], 6),
        "validation_by_glimpse": [round(100 - 100 * each, 6) for each in accuracy],
        "device": "cuda" if on_gpu else "cpu",  # a GPU had a part in it
        "data": summary["data"],
        "augmented": config.augment,
        **{key: summary[key] for key in keys},
        "threads": summary["hardware"]["threads"],
        "recipe": recipe(config),
        "begun": before,
        "train_command": train_command(config, facts["preset"]) if row.gaze else None,
        **facts,
        "complete": facts["complete"] and (before is None or before["complete"]),
    }
    write_json(folder / "result.json", result)
    return result
