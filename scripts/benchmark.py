"""The benchmark suite: trains rows by name, writes docs/results/*.json, makes the table.

    python scripts/benchmark.py ROW [ROW ...]        train rows, seeds side by side
    python scripts/benchmark.py --collect ROW        write rows of the seeds that have ended
    python scripts/benchmark.py --list               the names of all rows
    python scripts/benchmark.py --table              the table, in Markdown
    python scripts/benchmark.py --table --write README.md
    python scripts/benchmark.py --ship ROW           weights and card to saccade/weights/

Rows: `cluttered-60-8g` is an agent, `cluttered-60-8g/random` (`/center`, `/raster`) a reader
trained for a script's gaze, `cluttered-60/fc-64` (`/fc-256`, `/cnn-paper`, `/cnn-small`) a network
that sees whole scenes. Tasks and recipes: `agents/suite.py`; protocol: `agents/results.py`.

A seed that has ended is not trained again; one that was stopped (Ctrl-C) goes on from its
checkpoint when the same command is given once more. `--seed S` trains one seed and writes no row:
for seeds on several machines, whose folders are then brought together under --out. A row that is
written keeps the seeds of the same recipe that only the older one in its place has.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from saccade.agents.checkpoint import read_json
from saccade.agents.config import read_config
from saccade.agents.results import (
    STUDENT,
    check_test_set,
    cut_short,
    make_row,
    read_rows,
    write_row,
)
from saccade.agents.run import choose_device
from saccade.agents.seeds import Order, check_begun, row_folder, train_seed
from saccade.agents.suite import ROWS, TASKS, Row, find_row
from saccade.agents.table import make_table, write_table
from saccade.agents.weights import ship
from saccade.data import load as load_data

ROOT = Path(__file__).resolve().parents[1]
MOST_SEEDS = len(STUDENT) + 1  # of which an interval is known
Work = list[tuple[Row, int]]


def options(arguments: list[str] | None) -> argparse.Namespace:
    """What is typed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("rows", nargs="*", metavar="ROW", help="rows to train")
    add("--collect", action="store_true", help="train nothing, write what has ended")
    add("--list", action="store_true", help="print the names of all rows")
    add("--seeds", type=int, default=0, help="seeds, from 0 on; 0: 5 for headline rows, else 3")
    add("--seed", type=int, help="train this seed alone and write no row")
    add("--minutes", type=float, default=0.0, help="of a seed, in place of the recipe's length")
    add("--updates", type=int, default=0, help="of a seed, in place of the recipe's length")
    add("--preset", default="", help="a recipe in place of the task's own")
    add("--begin", type=Path, metavar="DIR", help="seed S begins from DIR/seed-S, a trained one")
    add("--augment", action=argparse.BooleanOptionalAction, help="as the recipe says unless given")
    add("--data", default="", help="as in `saccade train`; the recipe's unless given")
    add("--device", default="auto", help="cpu, cuda, or auto; several GPUs take turns")
    add("--threads", type=int, default=0, help="CPU threads of a seed; 0: cores over jobs")
    add("--jobs", type=int, default=0, help="seeds side by side; 0: one a GPU, or one a core")
    add("--out", type=Path, default=Order.out, help="folder of the runs")
    add("--results", type=Path, default=ROOT / "docs/results", help="folder of the rows")
    add("--measure", action="store_true", help="look at the test set again, on this machine")
    add("--table", action="store_true", help="print the table of all rows")
    add("--write", type=Path, metavar="FILE", help="put the table between FILE's two markers")
    add("--ship", metavar="ROW", help="copy the seed of least validation error to --weights")
    add("--weights", type=Path, help="folder of the shipped agents")
    return parser.parse_args(arguments)


def run_jobs(work: Work, order: Order, jobs: int, extra: list[str]) -> list[int]:
    """Trains seeds in processes of their own, so many side by side.

    Ctrl-C and termination are passed on to them: they save, and nothing else is begun.

    Returns:
        Their exit codes; 130 for what was stopped or not begun.
    """
    gpus = torch.cuda.device_count()
    running: set[subprocess.Popen[bytes]] = set()
    stop, lock = threading.Event(), threading.Lock()

    def one(number: int) -> int:
        row, seed = work[number]
        config = order.seed(row, seed)
        words = [row.name, "--seed", str(seed), "--out", str(order.out), *order.words(), *extra]
        device = config.device
        if device == "cuda" and gpus > 1:
            device = f"cuda:{number % gpus}"
        words += ["--device", device, "--threads", str(order.threads)]
        config.out.parent.mkdir(parents=True, exist_ok=True)
        path = config.out.with_suffix(".log")
        with path.open("ab") as log:
            to = log if jobs > 1 else None
            with lock:
                if stop.is_set():
                    return 130
                command = [sys.executable, str(Path(__file__).resolve()), *words]
                process = subprocess.Popen(command, stdout=to, stderr=to)
                running.add(process)
            code = process.wait()
            running.discard(process)
        if code and not stop.is_set():
            where = f"; see {path}" if jobs > 1 else ""
            print(f"benchmark: {row.name} seed {seed} ended with {code}{where}", file=sys.stderr)
            return code
        print(f"{row.name} seed {seed}: {'stopped' if code else 'done'}", flush=True)
        return 130 if code else 0

    def halt(*_: Any) -> None:
        stop.set()
        for process in list(running):
            process.send_signal(signal.SIGINT)

    kinds = (signal.SIGINT, signal.SIGTERM)
    old = {kind: signal.signal(kind, halt) for kind in kinds}
    try:
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, range(len(work))))
    finally:
        for kind, handler in old.items():
            signal.signal(kind, handler)


def train_rows(rows: list[Row], order: Order, args: argparse.Namespace) -> int:
    """Trains rows and writes each of which a seed has ended, with all seeds that ever did.

    Raises:
        ValueError: If a recipe makes no sense, a seed was begun by another one, or rows of
            another test set are there.
    """
    if args.seeds > MOST_SEEDS:
        raise ValueError(f"--seeds is up to {MOST_SEEDS}, got {args.seeds}")
    work = [(row, seed) for row in rows for seed in range(args.seeds or row.seeds)]
    for row, seed in work:
        check_begun(order.seed(row, seed).check())
    for row in {row.task: row for row in rows}.values():
        check_test_set(row.task, order.seed(row, 0), args.results)
    gpu = choose_device(order.device).type == "cuda"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    jobs = min(args.jobs or (torch.cuda.device_count() if gpu else cores or 1), len(work))
    if not gpu and not order.threads and jobs > 1:
        order = replace(order, threads=max(1, (cores or 1) // jobs))
    codes = run_jobs(work, order, jobs, ["--measure"] if args.measure else [])
    return max(*codes, write_rows(rows, order, args.results))


def write_rows(rows: list[Row], order: Order, results: Path) -> int:
    """Writes each row of which a seed has ended; returns the exit code, 2 where one has none."""
    code = 0
    for row in rows:
        folders = {seed: order.seed(row, seed).out for seed in range(MOST_SEEDS)}
        seeds = [seed for seed, out in folders.items() if (out / "result.json").is_file()]
        if not seeds:
            print(f"benchmark: no seed of {row.name} has ended in {order.out}", file=sys.stderr)
            code = 2
            continue
        try:
            for seed in seeds:
                check_begun(order.seed(row, seed))
            report(row, order, seeds, results)
        except (ValueError, OSError) as error:  # the other rows are written all the same
            print(f"benchmark: {error}", file=sys.stderr)
            code = 2
    return code


def report(row: Row, order: Order, seeds: list[int], folder: Path) -> None:
    """Writes the row of some finished seeds, and those of smaller budgets read from them.

    Raises:
        ValueError: If the seeds were not trained alike, or on another test set than other rows.
    """
    results = [read_json(order.seed(row, seed).out / "result.json") for seed in seeds]
    first = results[0]
    words = ["python", "scripts/benchmark.py", row.name, "--seeds", str(max(seeds) + 1)]
    device = "cuda" if first["hardware"]["gpu"] else "cpu"  # of these seeds, not of those before
    machine = ["--device", device, "--threads", str(first["threads"])]
    new = make_row(row, results, shlex.join(words + order.words() + machine))
    path, written = write_row(new, folder)
    for glimpses in TASKS[row.task].counts if row.method == "saccade" else ():
        if glimpses < row.glimpses:
            write_row(cut_short(new, results, glimpses), folder)
    said = (
        f"{written['error']:.2f} % {written['interval'] or ''} of seeds {written['seed_numbers']}"
    )
    print(f"{row.name}: {said} in {path}", flush=True)


def ship_row(args: argparse.Namespace) -> Path:
    """Ships the seed with the least validation error of a headline row.

    Raises:
        ValueError: If the row is no agent's, or was not trained.
    """
    kind = find_row(args.ship)
    if kind.method != "saccade":
        raise ValueError(f"{kind.name} is no agent; what is shipped is called like cluttered-60-8g")
    place = (kind.task, kind.glimpses)
    rows = [each for each in read_rows(args.results) if (each["task"], each["glimpses"]) == place]
    row = next((each for each in rows if each["headline"]), None)
    if row is None:
        raise ValueError(f"there is no row {kind.name} in {args.results}; train it first")
    begun = bool(row.get("begun"))
    device = "cpu" if begun and not row["hardware"]["gpu"] else row["device"]
    folder = row_folder(args.out, kind.name, row["augmented"], device, begun)
    best = min(zip(row["validation"], row["seed_numbers"], strict=True))[1]
    run = folder / f"seed-{best}"
    if not (run / "result.json").is_file():
        raise ValueError(f"seed {best} has the least validation error, but {run} is not there")
    result = read_json(run / "result.json")
    if result["error"] != row["errors"][row["seed_numbers"].index(best)]:
        raise ValueError(f"{run} and the row in {args.results} differ; train the row again")
    torch.set_num_threads(1)
    splits = load_data(args.data or read_config(run / "config.json").data)
    path = ship(row, run, result, splits, args.weights)
    shipped = {"name": kind.name, "seed": best, "error": result["error"]}
    for other in rows:
        if "shipped" in other:  # one row alone is what is shipped
            write_row({key: other[key] for key in other if key != "shipped"}, args.results)
    write_row(row | {"shipped": shipped}, args.results)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Does what is asked; returns the exit code."""
    args = options(arguments)
    names = Order.__dataclass_fields__
    order = Order(**{name: getattr(args, name) for name in names})
    try:
        if args.list:
            print("\n".join(ROWS))
        elif args.ship:
            print(ship_row(args))
        elif args.write:
            write_table(read_rows(args.results), args.write)
        elif args.table:
            print(make_table(read_rows(args.results)))
        elif not args.rows:
            raise ValueError("name a row, such as centered-28-6g; --list prints all of them")
        elif args.collect:
            return write_rows([find_row(name) for name in args.rows], order, args.results)
        elif args.seed is None:
            return train_rows([find_row(name) for name in args.rows], order, args)
        else:
            codes = [train_seed(find_row(n), order, args.seed, args.measure) for n in args.rows]
            return max(codes)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
