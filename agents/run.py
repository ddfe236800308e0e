"""A training run from its configuration to its summary: everything around the algorithm."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from saccade.agents.checkpoint import (
    describe_machine,
    read_checkpoint,
    read_json,
    save_checkpoint,
    save_config,
    save_episodes,
    write_json,
)
from saccade.agents.config import TrainConfig, thread_count
from saccade.agents.evaluate import Evaluation, evaluate
from saccade.agents.gaze import SCRIPTS, Gaze
from saccade.agents.log import Metrics, check_finite
from saccade.agents.reinforce import Reinforce, make_scenes
from saccade.data import Splits, load
from saccade.network import GazeNetwork

GAZES: tuple[Gaze, ...] = ("learned", *SCRIPTS)


class Interrupted(Exception):
    """The user asked a run to stop; it has been saved."""


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
        self.folder = Path(config.out)
        begun = (self.folder / "config.json").is_file()
        if begun and not resume:
            raise ValueError(
                f"{self.folder} already holds a run; continue it with --resume, or choose "
                "another folder with --out"
            )
        if resume and not begun:
            raise FileNotFoundError(f"{self.folder} holds no run to resume")
        config.check()
        self.device = choose_device(config.device)
        if resume:
            read_checkpoint(self.folder, self.device)  # refuses a broken one
        torch.set_num_threads(thread_count(config))
        splits = load(config.data, seed=config.seed, download=config.download)
        self.splits = Splits(
            splits.train.to(self.device),
            splits.validation.to(self.device),
            splits.test.to(self.device),
            splits.name,
        )
        self.config = config
        make_scenes(config, self.splits.train)  # refuses sizes that do not fit
        self.folder.mkdir(parents=True, exist_ok=True)

    def choose_threads(self) -> TrainConfig:
        """Times how many CPU threads are best, unless that is configured; returns the result."""
        if not self.config.threads:
            threads = fastest_threads(self.config, self.splits, self.device)
            self.config = replace(self.config, threads=threads)
        torch.set_num_threads(self.config.threads)
        return self.config

    def train(self, console: Console) -> dict[str, Any]:
        """Trains the agent, and its readers if they are asked for; then looks at the test set.

        Returns:
            What it has written to `summary.json`.

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
            updates = updates_for(left, config, self.splits, self.device)
            config = self.config = replace(config, updates=updates, minutes=0.0)
            console.print(f"{updates} updates with {config.threads} thread(s) fit the time")
        learner, seconds = fit(config, self.splits, self.device, console)
        spent: dict[Gaze, float] = {config.gaze: seconds}
        networks: dict[Gaze, GazeNetwork] = {config.gaze: learner.network}
        for gaze in [each for each in SCRIPTS if config.readers and each != config.gaze]:
            reader = replace(config, gaze=gaze, readers=False, out=self.folder / "readers" / gaze)
            other, spent[gaze] = fit(reader, self.splits, self.device, console)
            networks[gaze] = other.network
        scenes = {
            "validation": learner.validation,
            "test": make_scenes(config, self.splits.test),
        }
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
        save_episodes(self.folder, results["test"][config.gaze])
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
        "accuracy": accuracy["test"],
        "validation": accuracy["validation"],
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


def fit(
    config: TrainConfig, splits: Splits, device: torch.device, console: Console
) -> tuple[Reinforce, float]:
    """Trains one network to the end, from its folder's checkpoint where there is one.

    Returns:
        The learner, and the seconds it was trained in all.

    Raises:
        Interrupted: If it was stopped, after saving.
        FloatingPointError: If losses are no longer numbers; the last checkpoint is kept.
    """
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    learner = Reinforce(config, splits, device)
    before, pending = 0.0, None
    saved_state = read_checkpoint(folder, device)
    if saved_state is not None:
        learner.network.load_state_dict(saved_state["weights"])
        learner.load_state_dict(saved_state["learner"])
        before, pending = saved_state["seconds"], saved_state["metrics"]
    if learner.updates >= config.updates:
        return learner, before
    save_config(folder, config, learner)
    metrics = Metrics(folder, learner.updates, pending)
    begun = saved = time.monotonic()
    with _stop_signals() as stopped, _bar(config, learner, console) as advance:
        while learner.updates < config.updates:
            metrics.add(learner.update())
            done = learner.updates
            last = done == config.updates
            if done % config.log_every == 0 or last:
                line = metrics.mean()
                check_finite(line, done)
                metrics.write(done, line | {"lr": learner.learning_rate(done - 1)})
                advance(done, line["accuracy"][-1])
            if done % config.eval_every == 0 or last:
                metrics.write(done, {"validation": _validate(learner)})
            if stopped() or last or time.monotonic() - saved > config.save_seconds:
                saved = time.monotonic()
                save_checkpoint(folder, learner, metrics.pending(), before + saved - begun)
            if stopped():
                metrics.close()
                raise Interrupted(f"stopped after {done} of {config.updates} updates; saved")
    metrics.close()
    return learner, before + time.monotonic() - begun


def _validate(learner: Reinforce) -> dict[str, list[float]]:
    """Accuracy by glimpse on validation: the run's own gaze, then scripts read by this network.

    A learned gaze no better than random or center is a collapsed policy.
    """
    gazes: dict[Gaze, None] = dict.fromkeys((learner.config.gaze, "random", "center"))
    return {gaze: learner.validate(gaze).accuracy for gaze in gazes}


def fastest_threads(config: TrainConfig, splits: Splits, device: torch.device) -> int:
    """One CPU thread or the usual number, whichever is faster here and now.

    Networks are small, so on a busy machine threads that wait for each other cost more than they
    bring.
    """
    learner = Reinforce(config, splits, device)
    seconds = {}
    for threads in dict.fromkeys((thread_count(config), 1)) if device.type == "cpu" else (1,):
        torch.set_num_threads(threads)
        _time_updates(learner, 0.5)
        seconds[threads] = _time_updates(learner, 1.5)
    return min(seconds, key=lambda threads: seconds[threads])


def updates_for(seconds: float, config: TrainConfig, splits: Splits, device: torch.device) -> int:
    """How many updates, with their validations, fit into so many seconds.

    A throw-away learner is timed for a hundredth of the time (4 s at least), after a first second
    that is not counted, and the updates are laid out for 93 % of what remains.
    """
    learner = Reinforce(config, splits, device)
    start = time.monotonic()
    _time_updates(learner, 1.0)
    each = _time_updates(learner, max(4.0, seconds / 100))
    begun = time.monotonic()
    _validate(learner)
    each += (time.monotonic() - begun) / config.eval_every
    left = seconds - (time.monotonic() - start)
    return max(1, int(0.93 * left / each))


def _time_updates(learner: Reinforce, seconds: float) -> float:
    """Seconds an update takes, measured for at least so long."""
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        learner.update()["reward"].item()  # waits for the device
        count += 1
    return (time.monotonic() - begun) / count


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns Ctrl-C and termination into a wish that is met between two updates."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    old = {kind: signal.signal(kind, lambda *_: asked.set()) for kind in kinds}
    try:
        yield asked.is_set
    finally:
        for kind, handler in old.items():
            signal.signal(kind, handler)


@contextmanager
def _bar(
    config: TrainConfig, learner: Reinforce, console: Console
) -> Iterator[Callable[[int, float], None]]:
    """A progress bar with the accuracy of the last batches."""
    name = "agent" if config.gaze == "learned" else f"reader of {config.gaze} gaze"
    columns = (
        TextColumn(f"{name:22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[right]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=config.updates, completed=learner.updates, right="")

        def advance(done: int, accuracy: float) -> None:
            progress.update(task, completed=done, right=f"{accuracy:6.1%} right")

        yield advance


def show(summary: dict[str, Any], console: Console) -> None:
    """Prints the table of a summary: accuracy after each glimpse, by gaze."""
    kind = (
        "each gaze with a reader trained for as many updates"
        if summary["readers"] == "trained"
        else "other gazes read by the agent's own reader; --readers trains one for each"
    )
    count = summary["images_by_split"]["test"]
    augmented = ", augmented training" if summary["augmented"] else ""
    table = Table(
        title=f"Right on {count} test scenes ({summary['data']}, {summary['scene']}{augmented}), %",
        caption=kind,
    )
    gazes = summary["accuracy"]
    table.add_column("gaze")
    for glimpse in range(len(next(iter(gazes.values())))):
        table.add_column(f"{glimpse + 1}", justify="right")
    for gaze, values in gazes.items():
        table.add_row(gaze, *(f"{100 * value:.1f}" for value in values))
    console.print(table)
