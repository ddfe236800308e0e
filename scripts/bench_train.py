"""How many images a second saccade learns from, beside what the machine can do at best.

    python scripts/bench_train.py [CASE ...] [--threads N] [--device DEVICE] [--seconds S]
                                  [--batch N] [--compile] [--json PATH]

Each row times whole updates (play, judge, learn; `agents/reinforce.py`) on drawn digits: of small
networks at batch 128, and of the presets that train the suite, as they are. `share` is the
floating-point work of the network's matrix products, forward and backward, against the rate of one
large matrix product, in the row's precision, measured in the same run. `--compile` adds rows of
`saccade train --compile`: one graph an update (minutes a row to compile). A case is the name of a
row; without any, all but those for a GPU are timed.
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
from saccade.agents.precision import products
from saccade.agents.presets import PRESETS
from saccade.agents.recorded import WARM
from saccade.agents.reinforce import Reinforce
from saccade.agents.run import choose_device
from saccade.agents.suite import ROWS
from saccade.data import ImageSet, Splits
from saccade.digits import draw_digits

BASE = TrainConfig(batch=128, augment=True, updates=10**9)
FOR_GPU = ("mnist-gpu",)
CASES = {
    "28x28-g8-s1-t6": replace(BASE, scene="centered", size=8, scales=1, glimpses=6),
    "60x60-g12-s3-t6": replace(BASE, scene="cluttered", side=60, size=12, scales=3, glimpses=6),
    "100x100-g12-s4-t8": replace(
        BASE, scene="cluttered", side=100, clutter=8, size=12, scales=4, glimpses=8
    ),
    **{
        name: replace(PRESETS[name], updates=10**9)
        for name in (*dict.fromkeys(row.preset for row in ROWS.values()), *FOR_GPU)
    },
}


def rate(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Calls a second, over at least so many seconds, after some that compile and record."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(WARM + 1):
        work()
    wait()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for _ in range(5):
            work()
        wait()
        count += 5
    return count / (time.perf_counter() - begun)


def peak_flops(config: TrainConfig, seconds: float, device: torch.device) -> float:
    """Floating-point operations a second of a 2048 x 2048 matrix product, in its precision."""
    side = 2048
    one = torch.rand(side, side, device=device)
    with products(config, device):
        one = one @ one  # in the type that such a product has
    out = torch.empty_like(one)
    return rate(lambda: torch.mm(one, one, out=out), seconds, device) * 2 * side**3


def flops_per_image(learner: Reinforce) -> float:
    """Operations of the products of one episode, of matrices and of convolutions.

    Two for each weight and pass: forward, gradient of the weights, and gradient of the input
    where it is needed (not for glimpse, location, and the detached features of the heads).
    """
    config, total = learner.config, 0.0
    sees = "encoder.maps" if config.maps else "encoder.what.0"
    (_, height, width), rows = learner.scenes.shape, learner.core.rows
    shrunk = iter((2, 2, 4))  # sides of what the canvas's three convolutions give, by how much
    for name, weight in learner.network.named_parameters():
        if name.startswith("canvas") and weight.ndim > 1:
            first = name == "canvas.read.0.weight"
            side = next(shrunk) if weight.ndim == 4 else None
            places = -(-height // side) * -(-width // side) if side else 1
            reads = sum(len(range(*each.indices(rows))) for each in learner.asks) / rows
            total += 2 * weight.numel() * (2 if first else 3) * places * reads
        elif weight.ndim > 1:
            apart = name.startswith("policy.net.0") and config.routing == "apart"
            first = apart or name.startswith((sees, "encoder.where.0", "baseline"))
            times = config.glimpses - name.startswith("policy")
            times *= config.size**2 if weight.ndim == 4 else 1  # a convolution, at every cell
            total += 2 * weight.numel() * (2 if first else 3) * times
    return total * config.rollouts


def main() -> None:
    """Times every case and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="rows; all but a GPU's if none")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: one a core")
    parser.add_argument("--device", default="auto", help="cpu, cuda; auto takes a GPU if any")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each case")
    parser.add_argument("--batch", type=int, default=0, help="scenes an update; 0: as said above")
    parser.add_argument("--compile", action="store_true", help="rows with torch.compile too")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    args = parser.parse_args()
    if unknown := sorted(set(args.cases) - set(CASES)):
        parser.error(f"there is no case {unknown[0]}; choose from {', '.join(CASES)}")
    names = args.cases or [name for name in CASES if name not in FOR_GPU]
    cases = {name: CASES[name] for name in names}
    device = choose_device(args.device)
    torch.set_num_threads(thread_count(replace(BASE, threads=args.threads)))
    kinds = {config.precision: config for config in cases.values()}
    peaks = {kind: peak_flops(one, args.seconds / 2, device) for kind, one in kinds.items()}
    digits: ImageSet = draw_digits(4000, seed=0).to(device)
    splits = Splits(digits, digits, digits, "digits")
    rows = []
    for (case, config), compiled in product(cases.items(), (False, True)[: 1 + args.compile]):
        config = replace(config, batch=args.batch or config.batch, compile=compiled)
        torch._dynamo.reset()  # each row's graph is compiled anew: there is a limit
        learner = Reinforce(config, splits, device)
        speed = rate(learner.update, args.seconds, device) * config.batch
        work, peak = flops_per_image(learner), peaks[config.precision]
        rows.append(
            {
                "case": case,
                "batch": config.batch,
                "precision": config.precision,
                "value": round(speed, 1),
                "gflop_per_image": round(work / 1e9, 5),
                "peak_gflops": round(peak / 1e9, 1),
                "share": round(speed * work / peak, 3),
                "threads": torch.get_num_threads(),
                "device": str(device),
                "compiled": compiled,
            }
        )
    table = Table(title=f"Training, {device}, {rows[0]['threads']} thread(s)")
    for name in ("case", "batch", "images/s", "GFLOP an image", "GFLOP/s of a product", "share"):
        table.add_column(name, justify="left" if name == "case" else "right")
    for row in rows:
        name = f"{row['case']}, compiled" if row["compiled"] else str(row["case"])
        table.add_row(
            name, str(row["batch"]), f"{row['value']:,.0f}", f"{row['gflop_per_image']:.4f}",
            f"{row['peak_gflops']:,.0f}", f"{row['share']:.0%}",
        )  # fmt: skip
    Console().print(table)
    if args.json is not None:
        machine = describe_machine(device)
        args.json.write_text(json.dumps([row | machine for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
