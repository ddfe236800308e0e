"""The loop around a learner: progress, metrics, checkpoints, Ctrl-C, time budgets."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from saccade.agent import AgentSpec
from saccade.agents import ranks
from saccade.agents.checkpoint import read_checkpoint, save_checkpoint, save_config
from saccade.agents.config import TrainConfig, thread_count
from saccade.agents.log import Means, MetricsFile
from saccade.agents.optimize import BrokenGradientError, Optimizer
from saccade.agents.precision import deterministic
from saccade.agents.recorded import WARM
from saccade.network import GazeNetwork


class Interrupted(Exception):
    """The user asked a run to stop; it has been saved."""


class Learner(Protocol):
    """What is fitted: a network, its optimizer and the number of updates done.

    Attributes:
        config: What to do.
        device: Where it computes.
        spec: How to build the agent again around its weights.
        network: What learns.
        optimizer: How.
        updates: Updates done so far.
    """

    config: TrainConfig
    device: torch.device
    spec: AgentSpec
    network: GazeNetwork
    optimizer: Optimizer
    updates: int

    @property
    def label(self) -> str:
        """What the progress bar calls it."""
        ...

    def update(self) -> dict[str, Tensor]:
        """One batch, one step of the optimizer; metrics on the device."""
        ...

    def validate(self) -> dict[str, Any]:
        """What the metrics file shall say of the validation set."""
        ...

    def headline(self, metrics: dict[str, Any]) -> str:
        """The few words of the metrics that the progress bar shows."""
        ...

    def diagnosis(self, validation: dict[str, Any], metrics: dict[str, Any]) -> str:
        """How it goes, in a line, and what looks like a collapse."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the weights."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where `state_dict` was taken."""
        ...


def fit(learner: Learner, console: Console) -> float:
    """Trains one network to the end, from its folder's checkpoint where there is one.

    Returns:
        The seconds it was trained in all.

    Raises:
        Interrupted: If it was stopped, after saving.
        FloatingPointError: If a gradient is not a number; the state before it is saved.
    """
    config = learner.config
    folder = Path(config.out)
    before, pending = 0.0, None
    saved_state = read_checkpoint(folder, learner.device)
    if saved_state is not None:
        learner.network.load_state_dict(saved_state["weights"])
        learner.load_state_dict(saved_state["learner"])
        before, pending = saved_state["seconds"], saved_state["metrics"]
    if learner.updates >= config.updates:
        return before
    file = None
    if ranks.leads():
        folder.mkdir(parents=True, exist_ok=True)
        save_config(folder, config, learner.spec, learner.device)
        file = MetricsFile(folder, learner.updates)
    means, line = Means(pending), dict[str, Any]()
    begun = saved = time.monotonic()

    def save(place: Path) -> None:
        waiting = means.pending()  # of all processes
        if ranks.leads():
            save_checkpoint(place, learner, waiting, before + time.monotonic() - begun)

    with deterministic(), _stop_signals() as asked, _bar(learner, console) as advance:
        while learner.updates < config.updates:
            means.add(learner.update())
            done = learner.updates
            last = done == config.updates
            logs = done % config.log_every == 0 or last
            stop, due = asked(), time.monotonic() - saved > config.save_seconds
            if ranks.count() > 1:  # the leader decides for all, where they meet anyway
                stop, due = (logs and bool(ranks.from_leader(each)) for each in (stop, due))
            if logs or stop or due:
                _check(learner, folder)
            if logs:
                line = means.take()
                if file is not None:
                    file.write(done, line | {"lr": learner.optimizer.learning_rate(done - 1)})
                advance(done, learner.headline(line))
            if (done % config.eval_every == 0 or last) and file is not None:
                seen = learner.validate()
                file.write(done, {"validation": seen})
                words = f"{done:,}: {learner.diagnosis(seen, line)}"
                console.print(words, highlight=False, soft_wrap=True)
            if stop or last or due:
                saved = time.monotonic()
                save(folder)
            if stop:
                if file is not None:
                    file.close()
                raise Interrupted(f"stopped after {done} of {config.updates} updates; saved")
    if file is not None:
        file.close()
    return before + time.monotonic() - begun


def _check(learner: Learner, folder: Path) -> None:
    """Stops where gradients are no longer numbers, with the state just before it saved.

    Raises:
        FloatingPointError: Naming the update, the modules and the folder.
    """
    try:
        learner.optimizer.check()
    except BrokenGradientError as error:
        place = folder / "broken"
        learner.updates = error.update
        if ranks.leads():
            place.mkdir(exist_ok=True)
            config = replace(learner.config, out=place)
            save_config(place, config, learner.spec, learner.device)
            save_checkpoint(place, learner, Means().pending(), 0.0)
        raise FloatingPointError(
            f"{error}; the state before it is in {place}: look there, or train again with a lower "
            "--lr or --clip-norm"
        ) from error


def fastest_threads(learner: Learner) -> int:
    """One CPU thread or the usual number, whichever is faster here and now.

    Networks are small, so on a busy machine threads that wait for each other cost more than they
    bring.

    Args:
        learner: To be thrown away.
    """
    if learner.device.type != "cpu":
        return 1
    seconds = {}
    usual = thread_count(learner.config)
    for threads in dict.fromkeys((usual, 1)):
        torch.set_num_threads(threads)
        _time_updates(learner, 0.5)
        seconds[threads] = _time_updates(learner, 1.5)
    return int(ranks.from_leader(min(seconds, key=lambda threads: seconds[threads])))


def updates_for(seconds: float, learner: Learner) -> int:
    """How many updates, with their validations, fit into so many seconds.

    The learner is timed for a hundredth of the time (4 s at least), after a first second that is
    not counted, and the updates are laid out for 93 % of what remains. What a graph took to be
    compiled is taken off once more, for the learner that counts.

    Args:
        seconds: To spend in all.
        learner: To be thrown away.
    """
    start = time.monotonic()
    while ranks.from_leader(learner.updates <= WARM or time.monotonic() - start < 1.0):
        learner.update()["loss_baseline"].item()  # waits for the device
    if learner.config.compile:
        seconds -= time.monotonic() - start
    each = _time_updates(learner, max(4.0, seconds / 100))
    begun = time.monotonic()
    learner.validate()
    each += (time.monotonic() - begun) / learner.config.eval_every
    left = seconds - (time.monotonic() - start)
    return int(ranks.from_leader(max(1, int(0.93 * left / each))))


@deterministic()
def _time_updates(learner: Learner, seconds: float) -> float:
    """Seconds an update takes, measured for at least so long."""
    begun, count = time.monotonic(), 0
    while ranks.from_leader(time.monotonic() - begun < seconds):
        learner.update()["loss_baseline"].item()  # waits for the device
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
def _bar(learner: Learner, console: Console) -> Iterator[Callable[[int, str], None]]:
    """A progress bar with a few words about the last batches."""
    columns = (
        TextColumn(f"{learner.label:22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(
            "", total=learner.config.updates, completed=learner.updates, words=""
        )

        def advance(done: int, words: str) -> None:
            progress.update(task, completed=done, words=words)

        yield advance
