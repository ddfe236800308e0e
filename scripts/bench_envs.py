"""How many steps a second the environments make, beside ap-gym's of the same shape.

    taskset -c 0 python scripts/bench_envs.py [--quick] [--json PATH]

`saccade/Digits-v0` with 28x28 grey images, glimpses of 5x5 at one scale and 16 of them, N rows
at a time, in NumPy and in torch; beside it, where `ap_gym` can be imported, its MNIST environment
on random images of that shape (its own need a network). Actions are random and drawn beforehand,
resets count, torch has one thread. All methods of a case are timed in turn, several times; `value`
is the median, `ratio` the median of the ratios to ap-gym in the same turn.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import saccade  # noqa: F401 (registers the environments)
from saccade.agents.checkpoint import describe_machine

ID = "saccade/Digits-v0"
OPTIONS: dict[str, Any] = {"size": 5, "scales": 1, "glimpses": 16}
ROWS = (1, 64, 256)
DRAWN = 64  # actions drawn beforehand, of which each is used again and again

Run = Callable[[int], int]  # makes so many calls of step, returns the steps of all rows


def vector_run(env: gymnasium.vector.VectorEnv[Any, Any, Any], *, tensors: bool = False) -> Run:
    """Steps a vector environment, which begins episodes anew by itself."""
    env.action_space.seed(0)
    drawn = [env.action_space.sample() for _ in range(DRAWN)]
    actions = cycle([torch.from_numpy(each) for each in drawn] if tensors else drawn)
    env.reset(seed=0)

    def run(calls: int) -> int:
        for _ in range(calls):
            env.step(next(actions))
        return calls * env.num_envs

    return run


def single_run(env: gymnasium.Env[Any, Any]) -> Run:
    """Steps a single environment, and resets it when its episode has ended."""
    env.action_space.seed(0)
    actions = cycle([env.action_space.sample() for _ in range(DRAWN)])
    env.reset(seed=0)

    def run(calls: int) -> int:
        for _ in range(calls):
            _, _, terminated, truncated, _ = env.step(next(actions))
            if terminated or truncated:
                env.reset()
        return calls

    return run


def ap_gym_env(rows: int | None) -> Any:
    """ap-gym's MNIST environment on random images; a single one without `rows`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ap_gym.envs.image import ImageClassificationDataset, ImagePerceptionConfig
        from ap_gym.envs.image_classification import (
            ImageClassificationEnv,
            ImageClassificationVectorEnv,
        )

    class RandomImages(ImageClassificationDataset):
        images = np.random.default_rng(0).integers(0, 256, (4000, 28, 28, 1), dtype=np.uint8)
        labels = np.arange(4000) % 10

        def _get_num_classes(self) -> int:
            return 10

        def _get_num_channels(self) -> int:
            return 1

        def _get_length(self) -> int:
            return len(self.images)

        def _get_data_point_batch(self, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return self.images[idx], self.labels[idx]

    config = ImagePerceptionConfig(dataset=RandomImages(), sensor_size=(5, 5), step_limit=16)
    if rows is None:
        return ImageClassificationEnv(config)
    return ImageClassificationVectorEnv(rows, config)


def lack_of_ap_gym() -> str | None:
    """Why ap-gym is not timed, or None if it can be."""
    if find_spec("ap_gym") is None:
        return "ap-gym is not installed here: its column stays empty (pip install ap-gym==0.7.1)"
    try:
        ap_gym_env(1).close()
    except ImportError as error:
        return f"ap-gym cannot be imported ({error}): its column stays empty"
    return None


def runs_of(rows: int | None, with_ap_gym: bool) -> dict[str, Run]:
    """What is timed side by side, by the method's name; single environments without `rows`."""
    if rows is None:
        runs = {"saccade": single_run(gymnasium.make(ID, **OPTIONS).unwrapped)}
        return runs | ({"ap-gym": single_run(ap_gym_env(None))} if with_ap_gym else {})
    options = {**OPTIONS, "num_envs": rows}
    runs = {
        "saccade": vector_run(gymnasium.make_vec(ID, **options)),
        "saccade-torch": vector_run(
            gymnasium.make_vec(ID, **options, output="torch"), tensors=True
        ),
    }
    return runs | ({"ap-gym": vector_run(ap_gym_env(rows))} if with_ap_gym else {})


def rate(run: Run, seconds: float) -> float:
    """Steps a second, over at least so many seconds."""
    begun, steps = time.perf_counter(), 0
    while (taken := time.perf_counter() - begun) < seconds:
        steps += run(16)
    return steps / taken


def bench(seconds: float, repeats: int, with_ap_gym: bool) -> list[dict[str, Any]]:
    """The rows of the table."""
    found = []
    for rows in (*ROWS, None):
        runs = runs_of(rows, with_ap_gym)
        for run in runs.values():
            rate(run, seconds / 4)  # does not count
        turns = [{name: rate(run, seconds) for name, run in runs.items()} for _ in range(repeats)]
        for name in runs:
            speeds = [turn[name] for turn in turns]
            ratios = [turn[name] / turn["ap-gym"] for turn in turns if "ap-gym" in turn]
            found.append(
                {
                    "case": f"28x1-g5-{'single' if rows is None else f'n{rows}'}",
                    "method": name,
                    "value": round(median(speeds), 1),
                    "low": round(min(speeds), 1),
                    "high": round(max(speeds), 1),
                    "ratio": round(median(ratios), 2) if ratios else None,
                }
            )
    return found


def main() -> None:
    """Times every case and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each measurement")
    parser.add_argument("--repeats", type=int, default=7, help="turns, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="less exact, in under a minute")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    args = parser.parse_args()
    if args.quick:
        args.seconds, args.repeats = 0.5, 5
    torch.set_num_threads(1)
    console = Console()
    if lack := lack_of_ap_gym():
        console.print(lack)
    rows = bench(args.seconds, args.repeats, lack is None)
    table = Table(title=f"{ID}, 28x28, glimpses of 5x5, 16 of them, one thread")
    for name in ("case", "method", "steps/s", "range", "times ap-gym"):
        table.add_column(name, justify="left" if name in ("case", "method") else "right")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        spread = f"{row['low']:,.0f} to {row['high']:,.0f}"
        table.add_row(row["case"], row["method"], f"{row['value']:,.0f}", spread, ratio)
    console.print(table)
    if args.json is not None:
        about = describe_machine(torch.device("cpu"))
        about |= {} if lack else {"ap_gym": version("ap_gym")}
        args.json.write_text(json.dumps([row | about for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
