"""How many images a second saccade learns from, beside what the machine can do at best.

    python scripts/bench_train.py [--threads N] [--device DEVICE] [--seconds S] [--compile]
                                  [--json PATH]

Each row times whole updates (play, judge, learn; `agents/reinforce.py`) on drawn digits at batch
128. `share` is the floating-point work of the network's matrix products, forward and backward,
against the rate of one large float32 matrix product measured in the same run. `--compile` adds
rows whose play and judgement go through `torch.compile` as one graph (minutes a row to compile).
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from saccade.agents.checkpoint import describe_machine
from saccade.agents.config import TrainConfig, thread_count
from saccade.agents.reinforce import Reinforce
from saccade.agents.run import choose_device
from saccade.data import ImageSet, Splits
from saccade.digits import draw_digits

BASE = TrainConfig(batch=128, augment=True, updates=10**9)
CASES = {
    "28x28-g8-s1-t6": replace(BASE, scene="centered", size=8, scales=1, glimpses=6),
    "60x60-g12-s3-t6": replace(BASE, scene="cluttered", side=60, size=12, scales=3, glimpses=6),
    "100x100-g12-s4-t8": replace(
        BASE, scene="cluttered", side=100, clutter=8, size=12, scales=4, glimpses=8
    ),
}


def rate(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Calls a second, over at least so many seconds, after a few calls that do not count."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        work()
    wait()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(5):
            work()
        wait()
        count += 5
    return count / (time.perf_counter() - begun)


def peak_flops(seconds: float, device: torch.device) -> float:
    """Floating-point operations a second of a 2048 x 2048 float32 matrix product."""
    side = 2048
    one = torch.rand(side, side, device=device)
    out = torch.empty_like(one)
    return rate(lambda: torch.mm(one, one, out=out), seconds, device) * 2 * side**3


def flops_per_image(learner: Reinforce) -> float:
    """Operations of the matrix products of one episode.

    Two for each weight and pass: forward, gradient of the weights, and gradient of the input
    where it is needed (not for glimpse, location, and the detached features of the heads).
    """
    network, steps = learner.network, learner.config.glimpses
    first = (network.encoder.what[0], network.encoder.where[0], network.policy.net[0])
    total = 0
    for name, layer in network.named_modules():
        if isinstance(layer, torch.nn.Linear):
            passes = 2 if layer in first or layer is network.baseline else 3
            times = steps - 1 if name.startswith("policy") else steps
            total += 2 * layer.weight.numel() * passes * times
    return total * learner.config.rollouts


def main() -> None:
    """Times every case and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one a core")
    parser.add_argument("--device", default="auto", help="cpu, cuda; auto takes a GPU if any")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each case")
    parser.add_argument("--compile", action="store_true", help="rows with torch.compile too")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    args = parser.parse_args()
    device = choose_device(args.device)
    torch.set_num_threads(thread_count(replace(BASE, threads=args.threads)))
    peak = peak_flops(args.seconds / 2, device)
    digits: ImageSet = draw_digits(4000, seed=0).to(device)
    splits = Splits(digits, digits, digits, "digits")
    rows = []
    for (case, config), compiled in product(CASES.items(), (False, True)[: 1 + args.compile]):
        learner = Reinforce(config, splits, device)
        if compiled:
            learner.trip.compile(fullgraph=True)
        speed = rate(learner.update, args.seconds, device) * config.batch
        work = flops_per_image(learner)
        rows.append(
            {
                "case": case,
                "batch": config.batch,
                "value": round(speed, 1),
                "gflop_per_image": round(work / 1e9, 5),
                "peak_gflops": round(peak / 1e9, 1),
                "share": round(speed * work / peak, 3),
                "threads": torch.get_num_threads(),
                "device": str(device),
                "compiled": compiled,
            }
        )
    table = Table(title=f"Training, batch {BASE.batch}, {device}, {rows[0]['threads']} thread(s)")
    for name in ("case", "images/s", "GFLOP an image", "GFLOP/s of a matrix product", "share"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for row in rows:
        name = f"{row['case']}, compiled" if row["compiled"] else str(row["case"])
        table.add_row(
            name, f"{row['value']:,.0f}", f"{row['gflop_per_image']:.4f}",
            f"{row['peak_gflops']:,.0f}", f"{row['share']:.0%}",
        )  # fmt: skip
    Console().print(table)
    if args.json is not None:
        machine = describe_machine(device)
        args.json.write_text(json.dumps([row | machine for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
