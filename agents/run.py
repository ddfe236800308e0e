"""A training run from its configuration to its summary: everything around the algorithm."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from saccade.agents.begin import open_begun
from saccade.agents.checkpoint import (
    describe_machine,
    read_checkpoint,
    read_json,
    save_episodes,
    write_json,
)
from saccade.agents.config import TrainConfig, thread_count
from saccade.agents.evaluate import Evaluation, evaluate
from saccade.agents.fit import fastest_threads, fit, updates_for
from saccade.agents.gaze import SCRIPTS, Gaze
from saccade.agents.ranks import join_ranks, leads, meet, share
from saccade.agents.reinforce import Reinforce, make_scenes
from saccade.data import Splits, load
from saccade.network import GazeNetwork

GAZES: tuple[Gaze, ...] = ("learned", *SCRIPTS)


def choose_device(name: str) -> torch.device:
    """The device that a configuration names.

    Raises:
        ValueError: If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"--device {name} cannot be used here; try cpu, or auto to take what there is"
        ) from error
    return device


def open_run(config: TrainConfig, resume: bool) -> tuple[Path, torch.device]:
    """The folder and the device of a run, where both are found good; nothing is written.

    Raises:
        ValueError: If the folder holds another run, a checkpoint is broken, or there is no such
            device.
        FileNotFoundError: If there is nothing to resume.
    """
    folder = Path(config.out)
    begun = (folder / "config.json").is_file()
    if begun and not resume:
        raise ValueError(
            f"{folder} already holds a run; continue it with --resume, or choose "
            "another folder with --out"
        )
    if resume and not begun:
        raise FileNotFoundError(f"{folder} holds no run to resume")
    device = join_ranks(choose_device(config.device))
    if resume:
        read_checkpoint(folder, device)  # refuses a broken one
    return folder, device


class Run:
    """A run that is ready to begin: all input has been read and found good.

    Args:
        config: What to do.
        resume: Take up the checkpoint in the run folder.

    Raises:
        ValueError: If an option makes no sense, data is broken, or the folder holds another run.
        FileNotFoundError: If data or, to resume, the checkpoint is not there.
    """

    def __init__(self, config: TrainConfig, *, resume: bool = False) -> None:
        config.check()
        self.folder, self.device = open_run(config, resume)
        share(config.batch)  # refuses a batch that the processes cannot share
        torch.set_num_threads(thread_count(config))
        splits = load(config.data, seed=config.seed, download=config.download)
        self.splits = Splits(
            splits.train.to(self.device),
            splits.validation.to(self.device),
            splits.test.to(self.device),
            splits.name,
        )
        self.config = config
        scenes = make_scenes(config, self.splits.train)  # refuses sizes that do not fit
        if config.begin:  # refuses another agent
            open_begun(config, config.agent_spec(scenes.shape, self.splits.train.classes))
        meet()  # all have looked at the folder before the first writes into it
        if leads():
            self.folder.mkdir(parents=True, exist_ok=True)

    def choose_threads(self) -> TrainConfig:
        """Times how many CPU threads are best, unless that is configured; returns the result."""
        if not self.config.threads:
            threads = fastest_threads(Reinforce(self.config, self.splits, self.device))
            self.config = replace(self.config, threads=threads)
        torch.set_num_threads(self.config.threads)
        return self.config

    def train(self, console: Console) -> dict[str, Any]:
        """Trains the agent, and its readers if asked for; then judges them (`judge`).

        Returns:
            What it has written to `summary.json`; nothing in processes that do not lead.

        Raises:
            Interrupted: If it was stopped by Ctrl-C or a termination signal, after saving.
        """
        if (self.folder / "summary.json").is_file():
            return read_json(self.folder / "summary.json")  # the test set is looked at once
        config = self.config
        if config.minutes:
            begun = time.monotonic()
            config = self.choose_threads()
            left = config.minutes * 60 - (time.monotonic() - begun)
            updates = updates_for(left, Reinforce(config, self.splits, self.device))
            config = self.config = replace(config, updates=updates, minutes=0.0)
            console.print(f"{updates} updates with {config.threads} thread(s) fit the time")
        learner = Reinforce(config, self.splits, self.device)
        seconds = fit(learner, console)
        spent: dict[Gaze, float] = {config.gaze: seconds}
        networks: dict[Gaze, GazeNetwork] = {config.gaze: learner.network}
        for gaze in [each for each in SCRIPTS if config.readers and each != config.gaze]:
            reader = replace(config, gaze=gaze, readers=False, out=self.folder / "readers" / gaze)
            other = Reinforce(reader, self.splits, self.device)
            spent[gaze] = fit(other, console)
            networks[gaze] = other.network
        if not leads():
            return {}
        scenes = {"validation": learner.validation}
        if config.judge == "test":
            scenes["test"] = make_scenes(config, self.splits.test)
        results = {
            split: {
                gaze: evaluate(
                    networks.get(gaze, learner.network),
                    scenes[split],
                    split,
                    glimpses=config.glimpses,
                    first=config.first,
                    gaze=gaze,
                )
                for gaze in dict.fromkeys((config.gaze, *GAZES[1:]))
            }
            for split in scenes
        }
        summary = summarize(config, self.splits, results, spent) | describe_machine(self.device)
        save_episodes(self.folder, results[config.judge][config.gaze])
        write_json(self.folder / "summary.json", summary)  # last: it says that all is there
        return summary


def summarize(
    config: TrainConfig,
    splits: Splits,
    results: dict[str, dict[Gaze, Evaluation]],
    spent: dict[Gaze, float],
) -> dict[str, Any]:
    """The summary of a run: fractions right by glimpse, for each gaze, and how they came about."""
    accuracy = {
        split: {gaze: [round(value, 6) for value in each.accuracy] for gaze, each in gazes.items()}
        for split, gazes in results.items()
    }
    return {
        "judged": config.judge,
        "accuracy": accuracy[config.judge],
        "validation": accuracy["validation"],
        "confusion": results[config.judge][config.gaze].confusion.tolist(),
        "seconds": round(spent[config.gaze], 1),
        "seconds_by_gaze": {gaze: round(value, 1) for gaze, value in spent.items()},
        "readers": "trained" if config.readers else "own",
        "updates": config.updates,
        "images": config.updates * config.batch,
        "augmented": config.augment,
        "data": splits.name,
        "scene": config.scene,
        "images_by_split": {
            "train": len(splits.train),
            "validation": len(splits.validation),
            "test": len(splits.test),
        },
        "seed": config.seed,
    }


def show(summary: dict[str, Any], console: Console) -> None:
    """Prints a summary: right on validation in the end; by glimpse on the judged scenes."""
    if validation := summary.get("validation"):
        words = ", ".join(f"{gaze} {100 * each[-1]:.1f}" for gaze, each in validation.items())
        console.print(f"right on validation, %, which is to choose by: {words}", highlight=False)
    kind = (
        "each gaze with a reader trained for as many updates"
        if summary["readers"] == "trained"
        else "other gazes read by the agent's own reader; --readers trains one for each"
    )
    judged = summary.get("judged", "test")
    count = summary["images_by_split"][judged]
    augmented = ", augmented training" if summary["augmented"] else ""
    made = f"{summary['data']}, {summary['scene']}{augmented}"
    table = Table(
        title=f"Right on {count} {judged} scenes ({made}), %",
        caption=kind,
    )
    gazes = summary["accuracy"]
    table.add_column("gaze")
    for glimpse in range(len(next(iter(gazes.values())))):
        table.add_column(f"{glimpse + 1}", justify="right")
    for gaze, values in gazes.items():
        table.add_row(gaze, *(f"{100 * value:.1f}" for value in values))
    console.print(table)
