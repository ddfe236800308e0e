"""Trained agents by name or by run folder, and how a run becomes a shipped agent with its card."""

from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file

from saccade import shipped
from saccade.agent import Agent, load
from saccade.agents.begin import config_of
from saccade.agents.checkpoint import describe_machine
from saccade.agents.config import TrainConfig
from saccade.agents.evaluate import Evaluation, evaluate, figures
from saccade.agents.gaze import SCRIPTS, Gaze
from saccade.agents.presets import PRESETS
from saccade.agents.reinforce import make_scenes
from saccade.agents.suite import TASKS, Row, find_task
from saccade.data import ImageSet, Splits

OF_THE_MACHINE = ("out", "device", "threads", "download")  # what a recipe does not say


class Trained(NamedTuple):
    """A trained agent and the world it was trained in.

    Attributes:
        agent: Ready to look.
        config: Of its training.
        row: The row of the benchmark that it is trained for, such as "cluttered-60-8g", or "".
    """

    agent: Agent
    config: TrainConfig
    row: str

    def look(
        self, images: ImageSet, split: str, gaze: Gaze = "learned", count: int | None = None
    ) -> Evaluation:
        """One episode on each image, or the first `count`, in scenes as in its training."""
        spec = self.agent.spec
        return evaluate(
            self.agent.network,
            make_scenes(self.config, images),
            split,
            glimpses=spec.glimpses,
            first=spec.first,
            gaze=gaze,
            count=count,
        )

    def check(self, splits: Splits) -> None:
        """Refuses data that gives other scenes or classes than it was trained on.

        Raises:
            ValueError: Saying what differs.
        """
        spec, shape = self.agent.spec, make_scenes(self.config, splits.test).shape
        if shape != (spec.channels, spec.height, spec.width):
            raise ValueError(
                f"{splits.name} gives scenes of {shape} (channels, height, width); the agent "
                f"was trained on {(spec.channels, spec.height, spec.width)}"
            )
        if splits.test.classes != spec.classes:
            raise ValueError(f"{splits.name} has other classes than the agent was trained on")

    def judge(self, splits: Splits, device: torch.device) -> dict[str, Any]:
        """What `saccade evaluate` says: its own gaze and the scripts on the test set, and how."""
        config, images = self.config, splits.test.to(device)
        gazes: dict[Gaze, None] = dict.fromkeys((config.gaze, "learned", *SCRIPTS))
        seen = {gaze: self.look(images, "test", gaze) for gaze in gazes}
        return {
            "task": self.row.rpartition("-")[0] or None,
            "glimpses": self.agent.spec.glimpses,
            **figures(seen[config.gaze].correct, len(images)),
            "rollouts": 1,
            "accuracy": {gaze: each.accuracy for gaze, each in seen.items()},
            "readers": "own",
            "data": splits.name,
            "scene": config.scene,
            "augmented": config.augment,
            "images_by_split": {"test": len(images)},
            "seed": config.seed,
            **describe_machine(device),
        }


def open_trained(
    run: str | Path, device: torch.device | str = "cpu", folder: Path | None = None
) -> Trained:
    """Opens a shipped agent by name, or the agent of a run folder.

    Args:
        run: Name or folder.
        device: Where the network shall live.
        folder: Of the shipped agents; the package's own unless given.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is broken.
    """
    if shipped.is_name(run, folder):
        facts = shipped.read(str(run), folder)[1]
        return Trained(load(run, device, weights=folder), config_of(run, folder), facts["row"])
    config, agent = config_of(run), load(run, device)
    task = find_task(config, agent.spec.height)
    return Trained(agent, config, f"{task}-{config.glimpses}g" if task else "")


def ship(
    row: dict[str, Any],
    run: Path,
    result: dict[str, Any],
    splits: Splits,
    folder: Path | None = None,
) -> Path:
    """Writes the agent of a run as a shipped one, with its card beside it.

    Args:
        row: Of `docs/results`: what the card says of all seeds.
        run: The run folder of one of its seeds.
        result: Of this seed, from `results.seed_result`.
        splits: The data it was trained on.
        folder: Where to; the package's own unless given.

    Returns:
        The path of the weights.

    Raises:
        ValueError: If it is too large, or the weights as written do not give, on this machine, the
            very count of right answers that the row has.
    """
    kind = Row(row["task"], row["glimpses"], row["method"])
    name, trained = kind.name, open_trained(run)
    config = trained.config.to_json()
    digits = trained.config.data == "digits"
    data = "digits" if digits else PRESETS[TASKS[kind.task].preset].data
    facts = {
        "row": name,
        "agent": asdict(trained.agent.spec),
        "recipe": {key: config[key] for key in config if key not in OF_THE_MACHINE}
        | {"data": data},
        "test": {key: result[key] for key in ("error", "by_glimpse", "correct", "total")},
        "seed": result["seed"],
    }
    weights = load_file(run / "model.safetensors")
    with TemporaryDirectory() as trial:  # what is shipped already stays until this is found good
        shipped.write(name, weights, facts, Path(trial))
        again = open_trained(name, folder=Path(trial)).look(splits.test, "test")
    if again.correct != result["correct"]:
        raise ValueError(
            f"{name} gets {again.correct} of {result['total']} right on this machine, but the row "
            f"says {result['correct']}; measure the row here (--measure), then ship"
        )
    path = shipped.write(name, weights, facts, folder)
    card = make_card(name, row, result, path.stat().st_size)
    beside = path.with_name(f"{name}.md.part")
    beside.write_text(card)
    beside.replace(path.with_suffix(".md"))
    return path


def make_card(name: str, row: dict[str, Any], result: dict[str, Any], size: int) -> str:
    """The card of a shipped agent, in Markdown."""
    split, recipe = row["images_by_split"], result["recipe"]
    cells, scales = recipe.get("size", 8), recipe.get("scales", 1)
    spread = "" if row["interval"] is None else f", 95 % interval {_percent(row['interval'])}"
    right = f"{result['correct'][-1]:,} of {result['total']:,} right"
    paper = Row(row["task"], row["glimpses"], row["method"]).paper
    warp = "random affine" + (" and elastic" if recipe.get("bend") else "")
    slip = f"; in training the eye slips by {recipe['slip']}" if "slip" in recipe else ""
    end = "to the end of its recipe" if result["complete"] else "not to the end of its recipe"
    machine = result["hardware"]["gpu"] or f"CPU, {result['threads']} thread(s)"
    lines = {
        "task": f'{row["task"]}: Mnih et al. 2014, "Recurrent Models of Visual Attention"',
        "test error of these weights": f"{result['error']:.2f} % ({right})",
        "after each glimpse": f"{_percent(result['by_glimpse'])} %",
        f"mean over {row['seeds']} seed(s)": f"{row['error']:.2f} %{spread}",
        "this seed": f"{result['seed']}, of the least validation error, "
        f"{result['validation']:.2f} %",
        "the paper": f"{paper} %",
        "data": f"{row['data']}: {split['train']:,} images to learn from, "
        f"{split['validation']:,} for validation, {split['test']:,} for the test",
        "augmentation": (f"{warp}, of training images" if row["augmented"] else "none") + slip,
        "extra supervision": row["extra_supervision"],
        "trained": f"{end}: {result['updates']:,} updates, {result['images']:,} scenes, "
        f"{result['seconds']:,.0f} s on {machine}",
        "commit": ", ".join(row["commit"]),
        "weights": f"{size / 1e6:.2f} MB, float16, computed with in float32",
        "license": "MIT, as the package",
    }
    before, first = result.get("begun"), ""
    if before:
        lines["before, without its canvas"] = (
            f"{before['updates']:,} updates, {before['images']:,} scenes, "
            f"{before['seconds']:,.0f} s on {before['hardware']['gpu'] or 'CPU'}"
        )
        first = (
            f"    {before['train_command']} --out runs/begun\n\n"
            "and, its weights rounded to float16 and a canvas added to it, by\n\n"
        )
    table = "\n".join(f"| {key} | {value} |" for key, value in lines.items())
    options = ", ".join(f"{key} {value}" for key, value in sorted(recipe.items()))
    return f"""# {name}

An agent that looks {row["glimpses"]} times, at {cells}x{cells} cells in {scales} scale(s), and
says which digit it saw. `saccade.load("{name}")`, `saccade evaluate {name}`,
`saccade watch {name}`.

| | |
|---|---|
{table}

Protocol: the weights after the last update; test scenes of one fixed seed, looked at when training
had ended; one episode an image, at the policy's mode, on the CPU in one thread. The seed was chosen
by validation error.

Trained by

{first}    {result["train_command"]}

which is: {options}.

Limits: it knows scenes of the kind and size it was trained on, bright digits on black. Other sizes,
contrasts, alphabets or clutter are answered all the same, with no warning and often wrongly; what
its belief is worth is in docs/doubt of the repository. Another processor or version of torch may
differ in single images.
"""


def _percent(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
