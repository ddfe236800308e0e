"""Nothing prepared: C++ that reads the images once, where a compiler is. CPU only.

`glimpse.cpp` and the headers beside it are built when first needed (a few seconds, once) and kept
in `$XDG_CACHE_HOME/saccade`, or `~/.cache/saccade`, under a name made of the sources, the compiler
and the processor. `$CXX` names the compiler, else it is the first of c++, g++ and clang++. Where
there is none, or it fails, one line goes to the logger "saccade" and other kernels serve.
`SACCADE_COMPILED=0` turns it off.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from saccade.retina import Retina

SOURCE = Path(__file__).with_name("glimpse.cpp")
HEADERS = sorted(SOURCE.parent.glob("*.hpp"))
FLAGS = ("-std=c++17", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-shared",
         "-fPIC", "-pthread")  # fmt: skip
PIXELS_A_THREAD = 2**20  # of windows: starting a thread must be worth it


class NotBuilt(Exception):
    """Why there is no library."""


def refusal(images: Tensor, retina: "Retina") -> str | None:
    """Why the kernel cannot serve, or None if it can; builds the library where it is missing."""
    if images.device.type != "cpu":
        return "serves images on the CPU only"
    if images.dtype not in (torch.uint8, torch.float32):
        return f"serves uint8 and float32 images, got {images.dtype}"
    if os.environ.get("SACCADE_COMPILED") == "0":
        return "is turned off by SACCADE_COMPILED=0"
    return _missing()


def nested(retina: "Retina") -> bool:
    """Whether every pixel is read once for all scales, as `Nested::serves` in nested.hpp has it."""
    return retina.scales == 1 or (
        retina.factor == 2 and retina.scales <= 5 and retina.size % 2 == 0
    )


@torch.compiler.assume_constant_result
def _missing() -> str | None:
    """Why there is no library, or None if there is."""
    library = _library()
    return library if isinstance(library, str) else None


def prepare(images: Tensor, retina: "Retina") -> Tensor:
    """The images themselves; a look takes some kilobytes for each thread."""
    return images


def look(
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    retina: "Retina",
    dtype: torch.dtype,
) -> Tensor:
    """Takes one glimpse at each location; see `saccade.retina.Retina.look`.

    Large batches are shared among `torch.get_num_threads()` threads.
    """
    run = _library()
    if isinstance(run, str):
        raise RuntimeError(f"the compiled kernel {run}")
    size, scales, factor = retina.size, retina.scales, retina.factor
    batch, channels, height, width = images.shape
    count = len(locations)
    if locations.dtype not in (torch.float32, torch.float64):
        locations = locations.double()
    images, locations = ready.contiguous(), locations.contiguous()
    if image_index is not None:
        image_index = image_index.contiguous()
    side = size * factor ** (scales - 1)
    pixels = count * channels * min(side, height) * min(side, width)
    threads = 1
    if pixels > PIXELS_A_THREAD:
        threads = min(torch.get_num_threads(), count, pixels // PIXELS_A_THREAD)
    out = images.new_empty((count, scales, channels, size, size), dtype=torch.float32)
    wrong = run(
        images.data_ptr(),
        images.dtype == torch.uint8,
        batch,
        channels,
        height,
        width,
        locations.data_ptr(),
        locations.dtype == torch.float64,
        None if image_index is None else image_index.data_ptr(),
        count,
        size,
        scales,
        factor,
        threads,
        out.data_ptr(),
    )
    if wrong and image_index is not None:
        index = int(image_index[wrong - 1])
        raise IndexError(f"image_index has {index}, there are {batch} images")
    return out if dtype == torch.float32 else out.to(dtype)


@lru_cache
def _library() -> Callable[..., int] | str:
    """The function of the library, built if need be; or why there is none, said once."""
    try:
        path = _build()
        function = ctypes.CDLL(str(path)).saccade_look
    # Among them no home folder (RuntimeError) and a quote without its other in CXX (ValueError).
    except (NotBuilt, OSError, RuntimeError, ValueError, subprocess.SubprocessError) as problem:
        logging.getLogger("saccade").warning(
            "no compiled retina, the others serve more slowly: %s", problem
        )
        return f"is not there: {problem}"
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [
        *(pointer, number, number, number, number, number),  # images
        *(pointer, number, pointer, number),  # locations
        *(number, number, number, number, pointer),  # retina, threads, glimpses
    ]
    function.restype = number
    return function


def _build() -> Path:
    """Where the library is, built unless it is there."""
    compiler = _compiler()
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saccade"
    path = folder / f"glimpse-{_key(compiler)}.so"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    # Beside it and renamed: of two processes that build at once the later one wins, unharmed.
    with tempfile.TemporaryDirectory(prefix="glimpse-", dir=folder) as beside:
        made = Path(beside) / path.name
        command = [*compiler, *FLAGS, str(SOURCE), "-o", str(made)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if result.returncode or not made.exists():
            words = (result.stderr.strip() or "no library came of it").splitlines()[0]
            raise NotBuilt(f"{compiler[0]} failed: {words}")
        os.replace(made, path)
    return path


def _compiler() -> list[str]:
    """The compiler's command, as `$CXX` has it or as found."""
    if wanted := os.environ.get("CXX"):
        command = shlex.split(wanted)
        if not shutil.which(command[0]):
            raise NotBuilt(f"CXX={wanted} is not there")
        return command
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            return [name]
    raise NotBuilt("there is no C++ compiler (c++, g++, clang++, or what CXX names)")


def _key(compiler: list[str]) -> str:
    """A hash of all that decides what is built: sources, flags, compiler, processor."""
    version = subprocess.run(
        [*compiler, "--version"], capture_output=True, text=True, timeout=60
    ).stdout
    processor = platform.machine()
    try:  # what -march=native looks at
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
        first = {line.split(":")[0].strip(): line for line in reversed(lines)}
        processor += "".join(first.get(name, "") for name in names)
    except OSError:
        processor += platform.processor()
    sources = [path.read_text() for path in (SOURCE, *HEADERS)]
    parts = [*sources, *FLAGS, *compiler, version, processor]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
