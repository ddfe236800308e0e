"""How fast is the retina, beside what others use and what the machine can do?

    python scripts/bench_retina.py [--quick | --gpu] [--threads N] [--json PATH]

Every method takes T looks at each image of a batch, with new images and new locations at each
repeat, preparation counted. Repeats of all methods alternate, so that a busy machine is busy for
all; medians are printed. The ratio is to the retina in common use, `common` in retina_peers.py.
Methods that read floats are given the same images as float32, converted outside the timing. On a
GPU the fused kernel is timed too, inside a CUDA graph; with --gpu it alone.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__" and os.environ.get("THP_MEM_ALLOC_ENABLE") != "1":
    # Large pages for all methods alike; torch reads this when it is imported.
    os.execve(
        sys.executable, [sys.executable, *sys.argv], os.environ | {"THP_MEM_ALLOC_ENABLE": "1"}
    )

import torch
import torch.nn.functional as F
from retina_peers import PEERS, Looks, common
from rich.console import Console
from rich.table import Table
from torch import Tensor

from saccade.geometry import window_starts
from saccade.kernels import KERNELS
from saccade.retina import Retina

MEMORY = 2**31  # bytes that a batch may take as float32


@dataclass(frozen=True)
class Case:
    """Square images of `side` pixels, and the retina that looks at them."""

    side: int
    channels: int
    size: int
    scales: int
    batch: int

    @property
    def name(self) -> str:
        """As the rows have it."""
        return f"{self.side}x{self.channels}-g{self.size}-s{self.scales}-b{self.batch}"

    @property
    def fits(self) -> bool:
        """Whether memory allows."""
        return 4 * self.batch * self.channels * self.side**2 <= MEMORY


FIGURES = [  # the cases of --quick
    Case(28, 1, 8, 1, 1024), Case(60, 1, 12, 3, 1024), Case(100, 3, 12, 4, 1024),
    Case(224, 3, 32, 4, 128), Case(4096, 1, 64, 4, 8),
]  # fmt: skip
SHAPES = [(28, 1, 8, 1), (60, 1, 12, 3), (100, 1, 12, 4), (100, 3, 12, 4), (224, 3, 32, 4),
          (1024, 3, 64, 4)]  # fmt: skip
ALL = [Case(*shape, batch) for shape in SHAPES for batch in (128, 1024, 4096)]
ALL = [*(case for case in ALL if case.fits), FIGURES[-1]]

LEAST = 9  # repeats, the first to warm up; memory settles within some
SLOW = 0.5  # seconds that are long: two repeats of them are enough
READ_BYTES = ("saccade", "opencv")  # other methods read the images as floats
GPU = [(Case(224, 3, 32, 4, 4096), torch.bfloat16), (Case(60, 1, 12, 3, 4096), torch.float32)]


def saccade_with(kernel: str) -> Looks:
    """Ours, with a kernel."""

    def looks(images: Tensor, floats: Tensor, places: Tensor, retina: Retina) -> list[Tensor]:
        scene = retina.prepare(images, looks=len(places), kernel=kernel)
        return [retina.look(scene, at) for at in places]

    return looks


def reference(image: Tensor, at: Tensor, retina: Retina) -> Tensor:
    """One glimpse in float64, window by window."""
    starts = window_starts(at[None], retina.size, retina.scales, 2, *image.shape[-2:])[0]
    out = []
    for (x, y), n in zip(starts.tolist(), retina.sides, strict=True):
        right, low = max(x + n - image.shape[-1], 0), max(y + n - image.shape[-2], 0)
        border = (-min(x, 0), right, -min(y, 0), low)
        part = image[:, max(y, 0) : max(y + n, 0), max(x, 0) : max(x + n, 0)].double()
        window = F.pad(part, border)[:, :n, :n]
        out.append(F.avg_pool2d(window[None], n // retina.size)[0] / 255)
    return torch.stack(out)


def moved_bytes(case: Case, places: Tensor, pixel: int, cell: int = 4) -> float:
    """Bytes of the widest windows inside the images, and of the glimpses, of all looks.

    Args:
        case: The images and the retina.
        places: `(T, B, 2)`, on the CPU.
        pixel: Bytes of a channel of a pixel.
        cell: Bytes of a channel of a cell.
    """
    n = case.size * 2 ** (case.scales - 1)
    start = window_starts(places.view(-1, 2), n, 1, 2, case.side, case.side)[:, 0]
    inside = (start + n).clamp(max=case.side) - start.clamp(min=0)
    read = inside.clamp(min=0).double().prod(1).sum() * case.channels * pixel
    written = len(start) * case.scales * case.channels * case.size**2 * cell
    return float(read) + written


def copy_speed(count: float, device: str = "cpu") -> float:
    """Bytes a second, read and written, of a copy that moves so many."""
    gpu = device == "cuda"
    source = torch.zeros(max(int(count) // 2, 64), dtype=torch.uint8, device=device)
    target, times, copies = torch.empty_like(source), [], 20 if gpu else 1
    for _ in range(7):
        begun = time.perf_counter()
        for _ in range(copies):
            target.copy_(source)
        if gpu:
            torch.cuda.synchronize()
        times.append((time.perf_counter() - begun) / copies)
    return 2 * len(source) / statistics.median(times)


def methods(case: Case, quick: bool) -> Iterator[tuple[str, str, bool, Looks]]:
    """(method, backend, whether compiled, function) of all that is here."""
    retina, pixels = (
        Retina(case.size, case.scales),
        torch.empty(1, case.channels, *(case.side,) * 2),
    )
    pixels = pixels.to(torch.uint8)
    yield "common", "torch", False, common
    yield "saccade", "auto", False, saccade_with("torch")
    if KERNELS["compiled"].refusal(pixels, retina) is None:
        yield "saccade", "auto", True, saccade_with("auto")
    if quick:
        return
    for name in KERNELS:
        if KERNELS[name].refusal(pixels, retina) is None:
            yield "saccade", name, name == "compiled", saccade_with(name)
    for name, (module, looks) in PEERS.items():
        try:
            __import__(module)
        except ImportError:
            continue
        yield name, "torch", False, looks


def measure(case: Case, looks: int, seconds: float, quick: bool) -> list[dict[str, Any]]:
    """Rows of all methods for one case."""
    retina, all_methods = Retina(case.size, case.scales), list(methods(case, quick))
    times: list[list[float]] = [[] for _ in all_methods]
    errors = [0.0] * len(all_methods)
    begun, repeat = time.perf_counter(), 0
    while repeat < LEAST or (repeat < 40 and time.perf_counter() - begun < seconds):
        generator = torch.Generator().manual_seed(repeat)
        shape = (case.batch, case.channels, case.side, case.side)
        images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
        floats = images.float().div_(255)
        places = torch.rand(looks, case.batch, 2, generator=generator) * 2 - 1
        for number, (method, *_, take) in enumerate(all_methods):
            if repeat > 2 and max(times[number]) > SLOW:  # long ones need no more
                continue
            own = images.view(-1).view(torch.int64) if method in READ_BYTES else floats
            own.sum(), places.sum()  # what a method reads is as near in the caches for each
            slow = method == "common" and not repeat  # many seconds for some: one look warms it up
            start = time.perf_counter()
            seen = take(images, floats, places[-1:] if slow else places, retina)
            end = time.perf_counter()
            if repeat:  # the first time is for warming up, and for being right
                times[number].append(end - start)
            else:
                wanted = [reference(images[i], places[-1, i], retina) for i in range(3)]
                far = (seen[-1][:3].double() - torch.stack(wanted)).abs().max()
                errors[number] = float(far)
            del seen
        repeat += 1
    glimpses, base = looks * case.batch, statistics.median(times[0])
    rows = []
    for (method, backend, compiled, _), spent, error in zip(
        all_methods, times, errors, strict=True
    ):
        middle = statistics.median(spent)
        ours = method in READ_BYTES
        moved = moved_bytes(case, places, 1 if ours else 4)
        rows.append(
            {
                "case": case.name,
                "method": method,
                "value": round(glimpses / middle, 1),
                "ratio": round(base / middle, 2),
                "backend": backend,
                "compiled": compiled,
                "looks": looks,
                "dtype": "uint8" if ours else "float32",
                "threads": torch.get_num_threads(),
                "device": "cpu",
                "gb_per_s": round(moved / middle / 1e9, 3),
                "share_of_copy": round(moved / middle / copy_speed(moved / looks), 4),
                "error": error,
                "repeats": len(spent),
            }
        )
    return rows


def judge(seen: Tensor, images: Tensor, places: Tensor, retina: Retina) -> dict[str, Any]:
    """How far some glimpses of bytes are off, and whether all have the bits of another kernel."""
    wanted = [reference(images[i].cpu(), places[i].cpu(), retina) for i in range(3)]
    found = {"error": float((seen[:3].cpu().double() - torch.stack(wanted)).abs().max())}
    if seen.dtype != torch.float32:
        return found
    scene = retina.prepare(images, kernel="table")
    return found | {"equal": torch.equal(seen, retina.look(scene, places))}


def measure_on_gpu(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """A row of the fused kernel: 20 looks in a CUDA graph, timed by events."""
    retina = Retina(case.size, case.scales)
    shape = (case.batch, case.channels, case.side, case.side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda")
    scene = retina.prepare(images, kernel="fused")
    places = torch.rand(20, case.batch, 2, device="cuda") * 2 - 1
    seen = retina.look(scene, places[0], dtype=dtype)  # compiles
    found = judge(seen, images, places[0], retina)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for at in places:
            retina.look(scene, at, dtype=dtype)
    graph.replay()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
    marks[0].record()
    for _ in range(10):
        graph.replay()
    marks[1].record()
    torch.cuda.synchronize()
    look = marks[0].elapsed_time(marks[1]) / 1e3 / 200
    moved = moved_bytes(case, places[:1].cpu(), 1, dtype.itemsize)
    return {
        "case": case.name, "method": "saccade", "value": round(case.batch / look, 1),
        "ratio": None, "backend": "fused", "compiled": True, "looks": 20,
        "dtype": "uint8", "output": str(dtype).removeprefix("torch."), "threads": None,
        "device": torch.cuda.get_device_name(), "microseconds": round(look * 1e6, 2),
        "gb_per_s": round(moved / look / 1e9, 1),
        "share_of_copy": round(moved / look / copy_speed(moved, "cuda"), 4), **found,
    }  # fmt: skip


def measure_gpu(console: Console) -> list[dict[str, Any]]:
    """Rows of the GPU; says of each that fails why, and leaves it out."""
    rows = []
    for case, dtype in GPU:
        try:
            rows.append(measure_on_gpu(case, dtype))
        except Exception as problem:  # Triton's, the driver's: the other rows must not be lost
            words = f"no row for {case.name} on the GPU: {type(problem).__name__}: {problem}"
            console.print(words, markup=False)
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Prints rows as a table."""
    table = Table(title="glimpses a second; ratio to the retina in common use")
    for name in ("case", "looks", "method", "glimpses/s", "GB/s", "ratio", "of copy", "error"):
        table.add_column(name, justify="left" if name in ("case", "method") else "right")
    for row in rows:
        kind = row["backend"] + (
            " + compiled" if row["backend"] == "auto" and row["compiled"] else ""
        )
        method = f"saccade ({kind})" if row["method"] == "saccade" else row["method"]
        ratio = f"{row['ratio']:,.1f}" if row.get("ratio") else ""
        share = f"{row['share_of_copy']:.1%}" if "share_of_copy" in row else ""
        error = f"{row['error']:.0e}" + ("" if row.get("equal", True) else ", other bits")
        speed = f"{row['value']:,.0f}"
        cells = (row["case"], str(row["looks"]), method, speed, f"{row['gb_per_s']:.2f}")
        table.add_row(*cells, ratio, share, error)
    console.print(table)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="five cases, 8 looks, a minute")
    parser.add_argument("--gpu", action="store_true", help="only the rows of the GPU")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, 1 unless given")
    parser.add_argument("--json", type=Path, help="file to write the rows to")
    args, console = parser.parse_args(), Console(width=110)
    torch.set_num_threads(args.threads)
    if args.gpu and not torch.cuda.is_available():
        sys.exit("no GPU rows: there is no CUDA device here")
    rows: list[dict[str, Any]] = []
    if not args.gpu:
        for case in FIGURES if args.quick else ALL:
            for looks in (8,) if args.quick else (1, 8):
                rows += measure(case, looks, 2.5 if args.quick else 15.0, args.quick)
    if torch.cuda.is_available():
        rows += measure_gpu(console)
    else:
        console.print("no GPU rows: there is no CUDA device here")
    show(rows, console)
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if args.gpu and len(rows) < len(GPU):
        sys.exit("rows are missing")


if __name__ == "__main__":
    main()
