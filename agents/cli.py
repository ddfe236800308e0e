"""The `saccade` command: train, evaluate, doubt, watch, report, export-gaze, demo."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console

from saccade.agents.checkpoint import read_json, write_json
from saccade.agents.config import TrainConfig, read_config
from saccade.agents.doubt import prepare_doubt
from saccade.agents.export import prepare_export
from saccade.agents.fit import Interrupted
from saccade.agents.options import Demo, Doubt, Evaluate, ExportGaze, Report, Train, Watch
from saccade.agents.presets import PRESETS
from saccade.agents.ranks import leads, leave_ranks
from saccade.agents.run import Run, choose_device, show
from saccade.agents.run_world import WorldRun, film, show_world
from saccade.agents.watch import (
    look_at_files,
    make_pictures,
    prepare_report,
    run_episodes,
    shipped_episodes,
    watch_episodes,
)
from saccade.agents.weights import open_trained
from saccade.data import load as load_data
from saccade.shipped import check_run, is_name
from saccade.video import write_gif

Work = Callable[[], None]  # what is left to do once all input has been found good


def train(args: Train, console: Console) -> Work:
    """Prepares `saccade train`."""
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    config = TrainConfig(**{name: getattr(args, name) for name in names})
    if args.resume:
        config = same_run(config)
    if config.env:
        world = WorldRun(config, resume=args.resume)

        def play() -> None:
            show_world(world.train(console), console)
            console.print(f"next: saccade watch {config.out}", soft_wrap=True)

        return play
    run = Run(config, resume=args.resume)

    def work() -> None:
        summary = run.train(console if leads() else Console(quiet=True))
        if leads():
            show(summary, console)
            console.print(f"next: saccade report {config.out}", soft_wrap=True)
        leave_ranks()

    return work


def same_run(config: TrainConfig) -> TrainConfig:
    """The configuration to resume: the run's own, with only the machine's options changed.

    Raises:
        ValueError: If other options differ from the run's.
    """
    saved = read_config(config.out / "config.json")
    free = {name: getattr(config, name) for name in ("out", "device", "threads", "save_seconds")}
    resumed = dataclasses.replace(saved, **free)
    wanted = dataclasses.replace(config, minutes=0.0)  # has become a number of updates
    other = [key for key, value in wanted.to_json().items() if value != resumed.to_json()[key]]
    if other:
        raise ValueError(
            f"{config.out} was begun with another --{other[0].replace('_', '-')}; resume it "
            "without that option, or choose another folder with --out"
        )
    return resumed


def evaluate_run(args: Evaluate, console: Console) -> Work:
    """Prepares `saccade evaluate`."""
    device = choose_device(args.device)
    trained = open_trained(args.run, device)
    splits = load_data(args.data or trained.config.data, seed=trained.config.seed)
    trained.check(splits)
    if args.json is not None and not args.json.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {args.json.parent} to write to")

    def work() -> None:
        torch.set_num_threads(1)  # with others, sums may be added up in another order
        summary = {"agent": str(args.run), **trained.judge(splits, device)}
        show(summary, console)
        console.print(f"test error {summary['error']:.2f} %", highlight=False)
        if args.json is not None:
            write_json(args.json, summary)

    return work


def doubt(args: Doubt, console: Console) -> Work:
    """Prepares `saccade doubt`."""
    return prepare_doubt(
        args.runs,
        console,
        data=args.data,
        out=args.out,
        json=args.json,
        quick=args.quick,
        readers=args.readers,
        references=args.references,
        device=choose_device(args.device),
    )


def watch(args: Watch, console: Console) -> Work:
    """Prepares `saccade watch`."""
    if args.count < 1:
        raise ValueError(f"--count must be 1 or more, got {args.count}")
    check_run(args.run)
    by_name = is_name(args.run)
    out = args.out or (Path("runs") / args.run if by_name else args.run)
    saved = args.run / "config.json"
    if saved.is_file() and read_config(saved).env:
        if args.images is not None:
            raise ValueError("this agent plays in a world of its own; watch it without IMAGES")

        def show_film() -> None:
            out.mkdir(parents=True, exist_ok=True)
            write_gif(out / "gaze.gif", np.stack(list(film(args.run, args.count))), fps=6)
            console.print(str(out / "gaze.gif"), soft_wrap=True)

        return show_film

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    if args.images is not None:
        episodes = look_at_files(args.run, args.images, args.count)
    elif by_name:
        episodes = shipped_episodes(str(args.run), args.count, say)
    else:
        episodes = run_episodes(args.run, args.count)

    return lambda: watch_episodes(episodes, out, args.window, say)


def report(args: Report, console: Console) -> Work:
    """Prepares `saccade report`."""
    make = prepare_report(args.run)
    return lambda: console.print(str(make()), soft_wrap=True)


def export_gaze(args: ExportGaze, console: Console) -> Work:
    """Prepares `saccade export-gaze`."""
    write = prepare_export(
        args.run, args.out, args.format, subject=args.subject, duration_ms=args.duration_ms
    )
    return lambda: console.print(str(write()), soft_wrap=True)


def demo(args: Demo, console: Console) -> Work:
    """Prepares `saccade demo`."""
    config = dataclasses.replace(PRESETS["demo"], out=args.out, threads=args.threads)
    folder, resume = args.out, False
    if (folder / "config.json").is_file():
        saved = read_config(folder / "config.json")
        if dataclasses.replace(saved, threads=args.threads) != config:
            raise ValueError(f"{folder} holds another run; remove it, or choose --out")
        config, resume = saved, True
    done = resume and (folder / "summary.json").is_file()
    run = None if done else Run(config, resume=resume)

    def work() -> None:
        if run is not None:
            run.choose_threads()
        summary = read_json(folder / "summary.json") if run is None else run.train(console)
        pictures = make_pictures(run_episodes(folder, 6), folder)
        page = prepare_report(folder)()
        show(summary, console)
        spent = sum(summary["seconds_by_gaze"].values())
        console.print(f"trained for {spent:.0f} s in all; see")
        for path in (page, *pictures, folder / "summary.json", folder / "model.safetensors"):
            console.print(f"  {path}", soft_wrap=True)

    return work


COMMANDS: dict[str, tuple[type[Any], Callable[[Any, Console], Work]]] = {
    "train": (Train, train),
    "evaluate": (Evaluate, evaluate_run),
    "doubt": (Doubt, doubt),
    "watch": (Watch, watch),
    "report": (Report, report),
    "export-gaze": (ExportGaze, export_gaze),
    "demo": (Demo, demo),
}


def train_defaults(arguments: list[str]) -> Train:
    """The options that `saccade train` begins from: a preset, a file, or the run to resume.

    Raises:
        ValueError: If two of them are named, or the file is no configuration.
        FileNotFoundError: If the file is not there.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--config", type=Path)
    first.add_argument("--out", type=Path)
    first.add_argument("--resume", action="store_true")
    known, _ = first.parse_known_args(arguments)
    if known.preset and known.config:
        raise ValueError("--preset and --config both say what to begin from; give one of them")
    if known.preset not in (None, *PRESETS):
        raise ValueError(f"there is no preset {known.preset!r}; choose from {', '.join(PRESETS)}")
    config = PRESETS[known.preset or "default"]
    if known.config is not None:
        config = read_config(known.config)
    elif known.resume:
        folder = known.out or config.out
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} holds no run to resume; name it with --out")
        config = read_config(folder / "config.json")
    return Train(**{f.name: getattr(config, f.name) for f in dataclasses.fields(TrainConfig)})


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Returns:
        The exit code: 0, 1 where work failed, 2 where it could not begin, 130 where stopped.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print("usage: saccade COMMAND [options]     (saccade COMMAND --help tells the options)\n")
        for command, (kind, _) in COMMANDS.items():
            print(f"  {command:11} {(kind.__doc__ or '').splitlines()[0]}")
        return 0
    if name not in COMMANDS:
        return fail(f"there is no command {name!r}; choose from {', '.join(COMMANDS)}", 2)
    kind, prepare = COMMANDS[name]
    console = Console()
    try:
        default = train_defaults(arguments[1:]) if name == "train" else tyro.MISSING_NONPROP
        args = tyro.cli(kind, args=arguments[1:], prog=f"saccade {name}", default=default)
        work = prepare(args, console)
    except (ValueError, OSError, ImportError) as error:
        return fail(str(error), 2)
    try:
        work()
    except Interrupted as stop:
        return fail(f"{stop}; go on with --resume", 130)
    except KeyboardInterrupt:  # between two networks, or while drawing: all that counts is saved
        return fail("stopped", 130)
    except FloatingPointError as error:
        return fail(str(error), 1)
    return 0


def fail(sentence: str, code: int) -> int:
    """Says what is wrong and passes on the exit code."""
    print(f"saccade: {sentence}", file=sys.stderr)
    return code
