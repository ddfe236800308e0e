"""What does looking cost against the size of the scene, beside reading all of it?

    taskset -c 0 python scripts/bench_scaling.py [--quick] [--json PATH] [--scenes N]

Scenes of side 100 to 4096 in two series, on black and on photographs (`saccade/plates.py`); a
saccadic agent, a family of small fully convolutional networks, and a network on the crop at the
true place (`agents/scaling.py` defines what is measured). Weights that are missing from
docs/results/scaling are trained first, in runs/scaling, and can be taken up again; so can the
errors. All is measured on the CPU and, where there is one, on a GPU (--devices). A whole run, on
MNIST and photographs, of 500 scenes or more, writes docs/results/scaling.json, docs/scaling.png and
the table of docs/scaling.md, and keeps their rows of other devices. --quick takes choices and
errors from docs/results/scaling.json and only times the agent and the chosen; --retime takes errors
alone, times all systems, and writes what a whole run does. Errors (and choices) of a device that
has none there are the CPU's.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # For all systems alike: large pages, and memory that is kept between readings, or giving pages
    # out takes up to half of a large network's time. Read when Python or torch starts.
    memory = {
        "THP_MEM_ALLOC_ENABLE": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**40),
    }
    if not os.environ.items() >= memory.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | memory)

import cv2
import torch
from rich.console import Console
from rich.table import Table

from saccade.agents import scaling
from saccade.agents.checkpoint import describe_machine
from saccade.agents.scaling_cost import count_cost, time_systems
from saccade.agents.scaling_page import draw_scaling, make_table, place_of, write_page
from saccade.agents.scaling_pairs import pair, renamed
from saccade.agents.scaling_train import PLANS, train_agent, train_dense
from saccade.data import load
from saccade.plates import PlateMaker, part_rows, photo_files

ROOT = Path(__file__).parent.parent
RESULTS, WEIGHTS = ROOT / "docs/results/scaling.json", ROOT / "docs/results/scaling"
WORK = ROOT / "runs/scaling"
Row = dict[str, Any]
TIMED = 16  # scenes of each side that systems are timed on


def train_missing(series: str, data: str, weights: Path) -> None:
    """Trains what has no weights yet.

    Raises:
        SystemExit: If the weights that are published would be of other data.
    """
    maker = None
    for member in (None, *scaling.members(series)):
        name = "saccade" if member is None else scaling.member_name(member)
        file = scaling.file_name(name, series)
        if (weights / f"{file}.safetensors").exists():
            continue
        if weights == WEIGHTS and not is_real(data):
            sys.exit(f"{file} has no weights, and those of {weights} are of MNIST and photographs: "
                     "set SACCADE_DATA, or give --weights FOLDER")  # fmt: skip
        maker = maker or scaling.part_maker(data, "train", series)
        state, path = WORK / f"{file}.pt", weights / f"{file}.safetensors"
        if member is None:
            agent, minutes = train_agent(maker, PLANS[series, "agent"], state)
            unseen = scaling.part_maker(data, "validation", series)
            agent.sure.fill_(scaling.find_sure(agent, unseen))
            scaling.store(agent, path, minutes)
        else:
            plan = PLANS.get((series, name), PLANS[series, "dense"])
            reader, minutes = train_dense(member, maker, plan, state)
            scaling.store(reader, path, minutes)


def measure(
    series: str, systems: list[scaling.System], args: argparse.Namespace, errors: bool
) -> list[Row]:
    """Rows of a series, without the pairings; errors are None where they are not asked for."""
    maker, device = scaling.part_maker(args.data, "test", series), systems[0].device
    about = {
        "series": series,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "data": args.data,
        "photos": "SACCADE_DATA" if photo_files() else "drawn",
        "commit": commit(),
        **describe_machine(device),
    }
    rows = []
    for side in args.sides:
        there = maker.at(side=side, background="photo")
        drawn = (there(*part_rows("test", 1, len(there.digits), n)) for n in range(TIMED))
        scenes = [each.to(device) for each in drawn]
        times = time_systems(systems, scenes, args.seconds)
        costs = {each.name: count_cost(each, scenes) for each in systems}
        for background in scaling.BACKGROUNDS:
            there = maker.at(side=side, background=background)
            found = errors_of(systems, there, args) if errors else {}
            for each in systems:
                prepare, seconds = times[each.name]
                row = {
                    "side": side,
                    "background": background,
                    "method": each.name,
                    "seconds": seconds,
                    "prepare_seconds": prepare,
                    "total_seconds": prepare + seconds,
                    "error": None,
                    "interval": None,
                    "glimpses": None,
                    "scenes": None,
                    "trained": each.trained(side),
                    "train_minutes": each.minutes,
                    "choice": None,
                    "chosen_at": None,
                    "equal": None,
                    "timed_on": "photo",
                }
                rows.append(row | found.get(each.name, {}) | costs[each.name] | about)
        print(f"{series} {side} measured on {device.type}", file=sys.stderr, flush=True)
    return rows


def errors_of(
    systems: list[scaling.System], maker: PlateMaker, args: argparse.Namespace
) -> dict[str, Row]:
    """Errors on test scenes, the same for all systems."""
    cache = WORK / f"errors-{maker.series}.json"
    wrong = scaling.count_wrong(systems, maker, args.scenes, "test", cache)
    return {
        name: {
            "error": 100 * count / args.scenes,
            "interval": scaling.wilson(count, args.scenes),
            "glimpses": looks,
            "scenes": args.scenes,
        }
        for name, (count, looks) in wrong.items()
    }


def measure_all(args: argparse.Namespace) -> list[Row]:
    """Trains what is missing, times all systems and counts their errors."""
    for series in args.series:
        train_missing(series, args.data, args.weights)
    rows: list[Row] = []
    for device, series in product(args.devices, args.series):
        systems = scaling.load_systems(series, args.weights, None, torch.device(device))
        rows += measure(series, systems, args, errors=True)
    return rows + pair(rows)


def time_again(args: argparse.Namespace, stored: list[Row]) -> list[Row]:
    """Times systems again, with --quick the agent and the chosen; errors are the stored rows'."""
    rows: list[Row] = []
    for device, series in product(args.devices, args.series):
        mine = stored_rows(stored, series, device)
        known = {(r["background"], r["side"], r["method"]): r for r in mine}
        pairs = {
            (row["background"], row["method"]): (row["choice"], row["chosen_at"], row["equal"])
            for row in mine
            if row["choice"]
        }
        chosen = {"saccade", "crop-cnn"} | {choice for choice, _, _ in pairs.values()}
        names = chosen if args.quick else None
        systems = scaling.load_systems(series, args.weights, names, torch.device(device))
        fresh = measure(series, systems, args, errors=False)
        for row in fresh:
            old = known.get((row["background"], row["side"], row["method"]), {})
            kept = ("error", "interval", "glimpses", "scenes")
            row |= {name: old[name] for name in kept if name in old}
            for name in ("data", "photos", "commit", "hardware", "device"):
                if name in old:  # of the run that counted the errors
                    row[f"errors_{name}"] = old.get(f"errors_{name}", old[name])
            row["errors_from"] = "docs/results/scaling.json"
        rows += fresh
        if not args.quick:
            continue
        for (background, method), (choice, side, equal) in pairs.items():
            here = [row for row in fresh if row["background"] == background]
            rows += renamed(here, method, choice, side, equal)
    return rows if args.quick else rows + pair(rows)


def commit() -> str | None:
    """The commit that is checked out."""
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None


def show(rows: list[Row]) -> None:
    """Prints the agent, the pairings and the ceiling."""
    heads = ("series", "background", "side", "method", "ms", "prepare", "sum", "error", "ratio")
    table = Table("on", *heads)
    agents = {place_of(row): row for row in rows if row["method"] == "saccade"}
    for row in rows:
        if row["method"].startswith("fcn"):
            continue
        where = place_of(row)
        times = [row[name] for name in ("seconds", "prepare_seconds", "total_seconds")]
        name = row["method"] + (f" ({row['choice']})" if row["choice"] else "")
        name += " worse" if row.get("equal") is False else ""
        error = "" if row["error"] is None else f"{row['error']:.1f}"
        ratio = row["seconds"] / agents[where]["seconds"]
        cells = [f"{1e3 * each:.2f}" for each in times]
        table.add_row(*map(str, where), name, *cells, error, f"{ratio:,.2f}")
    Console(width=120).print(table)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="time only, choices as stored")
    parser.add_argument("--retime", action="store_true", help="time all, errors as stored")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    parser.add_argument("--scenes", type=int, default=1000, help="test scenes at each side")
    parser.add_argument("--sides", type=int, nargs="+", default=list(scaling.SIDES))
    both = list(scaling.FAMILY)
    parser.add_argument("--series", nargs="+", default=both, choices=both)
    parser.add_argument("--data", choices=("mnist", "digits"), help="default: mnist if it is there")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("--seconds", type=float, default=None, help="to time at each side")
    gpu = ["cuda"] if torch.cuda.is_available() else []
    kinds = ["cpu", *gpu]
    parser.add_argument(
        "--devices", nargs="+", default=kinds, choices=kinds, help="default: all here"
    )
    parser.add_argument("--train-only", action="store_true", help="train what is missing and end")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    if args.json and (args.json.exists() and not args.json.is_file()):
        parser.error(f"--json {args.json} is no file")
    if args.json and not args.json.parent.is_dir():
        parser.error(f"--json: there is no folder {args.json.parent}")
    args.data = args.data or default_data()
    args.seconds = args.seconds or (3.0 if args.quick else 15.0)
    stored: list[Row] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if args.quick and not stored:
        parser.error(f"--quick reads {RESULTS}, which is not there")
    if args.retime and (missing := lacks(args, stored)):
        parser.error(f"--retime needs errors that {RESULTS} lacks: {', '.join(missing[:9])}")
    writes = publishes(args)
    if not (writes or args.quick or args.train_only or args.json):
        parser.error(f"this run is none that {RESULTS} should hold; give --json FILE")
    if args.train_only:
        for series in args.series:
            train_missing(series, args.data, args.weights)
        return
    # Convolutions of a GPU are tried out, and multiply what their type says.
    with torch.backends.cudnn.flags(benchmark=True, allow_tf32=False):
        rows = time_again(args, stored) if args.quick or args.retime else measure_all(args)
    show(rows)
    rows += [row for row in stored if writes and row["device"] not in args.devices]
    for path in [*([RESULTS] if writes else []), *([args.json] if args.json else [])]:
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(rows, indent=1) + "\n")
        beside.replace(path)
    if writes:
        draw_scaling(rows, ROOT / "docs/scaling.png")
        write_page(ROOT / "docs/scaling.md", make_table(rows))


def is_real(data: str) -> bool:
    """Whether scenes are of what docs/results/scaling.json holds."""
    return data == "mnist" and bool(photo_files())


def publishes(args: argparse.Namespace) -> bool:
    """Whether a run is one whose rows docs/results/scaling.json should hold."""
    whole = set(args.sides) == set(scaling.SIDES) and set(args.series) == set(scaling.FAMILY)
    usual = args.weights == WEIGHTS and args.threads == 1
    enough = args.retime or args.scenes >= 500
    return not args.quick and whole and usual and enough and is_real(args.data)


def stored_rows(stored: list[Row], series: str, device: str) -> list[Row]:
    """Rows of a series that stand for a device: the CPU's, then its own, which so count."""
    mine = [r for r in stored if r["series"] == series and r["device"] in ("cpu", device)]
    return sorted(mine, key=lambda row: row["device"] == device)


def lacks(args: argparse.Namespace, stored: list[Row]) -> list[str]:
    """What --retime would need the errors of, and has not."""
    known = {
        (row["series"], row["side"], row["background"], row["method"])
        for row in stored
        if row["error"] is not None
    }
    wanted = {
        (series, side, background, method)
        for series in args.series
        for side in args.sides
        for background in scaling.BACKGROUNDS
        for method in ("saccade", *map(scaling.member_name, scaling.members(series)))
    }
    return sorted(" ".join(map(str, each)) for each in wanted - known)


def default_data() -> str:
    """MNIST, or digits drawn here where there is none."""
    try:
        return "mnist" if load("mnist") else "digits"
    except FileNotFoundError:
        return "digits"


if __name__ == "__main__":
    main()
