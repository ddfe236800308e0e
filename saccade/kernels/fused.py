"""The kernel for a GPU: all scales of all glimpses in one launch, written in Triton.

Nothing is prepared and nothing but the glimpses is written. uint8 images give the exact integer
sum divided and rounded once, as every kernel does; float images are summed in float32 up to
eight rows at a time and beyond that in float64. It never waits for the device, and works inside
CUDA graphs and `torch.compile`.

The device code is in `saccade.kernels.triton_look`; it is compiled once for each retina, image
width and dtype (a few seconds, more beyond five scales), and kept on disk by Triton. On the first
look on a device it is tried on a tiny image; where it does not work, one line goes to the logger
"saccade" and the table serves. Neither can be recorded: before capturing a CUDA graph, take one
look as the graph will.
"""

import logging
import os
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from saccade.kernels import table
from saccade.kernels.traced import is_traced

if TYPE_CHECKING:
    from saccade.retina import Retina

HAS_TRITON = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # Triton on a CPU, slow: for tests
LEAST_CAPABILITY = (6, 1)  # has dp4a
Steps = tuple[tuple[int, int, int, int, int], ...]
READS = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
MAX_LANES = 4096  # columns of pixels in a window, that a program holds at once
LOADS = 8  # of a thread for some rows at once; more, or more warps, were slower on an H200
PROGRAMS = 4096  # of the widest scale: as many as the multiprocessors of a large device hold


def _power(number: int) -> int:
    """The least power of two that is not below a number."""
    return 1 << (number - 1).bit_length()


@lru_cache
def plan(size: int, scales: int, factor: int, words: bool) -> tuple[int, Steps]:
    """How programs walk their scales.

    Args:
        size: Side of a glimpse in cells.
        scales: How many windows.
        factor: By how much each window is wider than the one inside it.
        words: Whether images are bytes and may be read four at a time.

    Returns:
        The warps of a program: one, which waits for no other, unless its threads would have more
        than twice LOADS for a single row of pixels. And of each scale, finest first, (cell, wide,
        lanes, tile, rows): a cell's side in pixels, pixels to a lane's width, lanes to a cell, rows
        of cells at once, rows of pixels at once.
    """
    columns = _power(size)
    shapes = []
    for scale in range(scales):
        cell = factor**scale
        wide = min(cell, 8) if words and cell == _power(cell) else 1
        lanes = _power(cell // wide)
        row = columns * lanes * {1: 1, 2: 2, 4: 2, 8: 3}[wide]  # loads for a row of pixels
        shapes.append((cell, wide, lanes, row))
    most = max(row for *_, row in shapes)
    warps = min(8, _power(-(-most // (32 * 2 * LOADS))))
    fit = LOADS * 32 * warps
    steps = []
    for cell, wide, lanes, row in shapes:
        rows = max([n for n in range(1, 9) if cell % n == 0 and n * row <= fit], default=1)
        tile = 1
        while tile < columns and 2 * tile * rows * row <= fit:
            tile *= 2
        steps.append((cell, wide, lanes, tile, rows))
    return warps, tuple(steps)


_TRIED: dict[torch.device, str | None] = {}


@torch.compiler.assume_constant_result
def _missing(device: torch.device) -> str | None:
    """Why Triton cannot serve on a device, or None if it can: tried once, and said once."""
    if device not in _TRIED:
        if not torch.cuda.is_available():
            return None  # fake images
        if torch.cuda.is_current_stream_capturing() or torch.cuda.get_sync_debug_mode():
            return None  # the trial waits for the device, which a graph, or who says so, forbids
        if (problem := _problem(device)) is not None:
            words = "no Triton retina on %s, the table serves more slowly: %s"
            logging.getLogger("saccade").warning(words, device, problem)
        _TRIED[device] = problem
    return _TRIED[device]


def _problem(device: torch.device) -> str | None:
    """Takes a few glimpses on a device; what goes wrong, or None if they are right."""
    from saccade.retina import Retina

    if device.type == "cuda" and torch.version.hip is None:
        capability = torch.cuda.get_device_capability(device)
        if capability < LEAST_CAPABILITY:
            return f"its compute capability is {capability}, below {LEAST_CAPABILITY}"
    retina = Retina(2, 2)
    with _disable_current_modes():  # what is traced meanwhile is none of the trial's business
        images = torch.arange(144, dtype=torch.uint8, device="cpu").view(1, 1, 12, 12)
        at = torch.tensor([[0.25, -0.5]], dtype=torch.float32, device="cpu")
        ready = table.prepare(images, retina)
        wanted = table.look(images, ready, at, None, retina, torch.float32)
        try:
            images, at = images.to(device), at.to(device)
            seen = KERNEL.look(images, images, at, None, retina, torch.float32)
            return None if torch.equal(seen.cpu(), wanted) else "its glimpses are wrong"
        except Exception as problem:  # Triton's own, its compilers', the driver's
            return (str(problem).strip() or type(problem).__name__).splitlines()[0]


def _in_words(images: Tensor) -> bool:
    """Whether every row of bytes holds whole words, enough of them to be read four at a time."""
    return images.dtype == torch.uint8 and images.shape[-1] % 4 == 0 and images.shape[-1] >= 12


class Fused:
    """The fused kernel, as `saccade.kernels.Kernel` asks."""

    def refusal(self, images: Tensor, retina: "Retina") -> str | None:
        """Why the kernel cannot serve these images, or None if it can."""
        if not (images.is_cuda or INTERPRETED):
            return "needs images on a CUDA device"
        if not HAS_TRITON:
            return "needs Triton (`pip install triton`)"
        if images.dtype not in READS:
            return f"reads uint8, float32, float16 and bfloat16 images, not {images.dtype}"
        if images.shape[-2] * images.shape[-1] >= 2**31 or images.shape[1] >= 2**16:
            return "reads up to 65535 channels of less than 2**31 pixels"
        cell = retina.factor ** (retina.scales - 1)
        if _power(retina.size) * _power(cell) > MAX_LANES:
            return f"has no room for windows of {retina.size * cell} pixels a side"
        problem = _missing(images.device) if images.is_cuda else None
        return None if problem is None else f"does not work on {images.device}: {problem}"

    def prepare(self, images: Tensor, retina: "Retina") -> Tensor:
        """The images themselves; a copy of bytes that start within a word, which is read slowly."""
        images = images.contiguous()
        if is_traced(images) or not _in_words(images) or images.data_ptr() % 4 == 0:
            return images
        return images.clone()

    def look(
        self,
        images: Tensor,
        ready: Tensor,
        locations: Tensor,
        image_index: Tensor | None,
        retina: "Retina",
        dtype: torch.dtype,
    ) -> Tensor:
        """Takes one glimpse at each location.

        Args:
            images: `(B, C, H, W)`, not read.
            ready: What `prepare` gave.
            locations: `(N, 2)` as (x, y); where one is NaN, the glimpse is zero.
            image_index: `(N,)` integers, which image each location is on; without it N is B.
                One that names no image gives a glimpse of NaN: nothing waits for an error.
            retina: The retina.
            dtype: torch.float32, torch.bfloat16 or torch.float16.

        Returns:
            `(N, scales, C, size, size)` of `dtype`, finest scale first.
        """
        from triton import JITFunction

        from saccade.kernels.triton_look import look_kernel

        images, locations = ready.contiguous(), locations.contiguous()
        count, channels, height, width = images.shape
        glimpses, size, scales = len(locations), retina.size, retina.scales
        out = images.new_empty((glimpses, scales, channels, size, size), dtype=dtype)
        if out.numel() == 0:
            return out
        words = _in_words(images) and images.data_ptr() % 4 == 0
        warps, steps = plan(size, scales, retina.factor, words)
        most = max(-(-size // step[3]) for step in steps)
        parts = min(-(-PROGRAMS // (glimpses * channels)), most)
        with torch.cuda.device_of(images):
            look_kernel[glimpses * scales, channels, parts](
                images,
                locations,
                locations if image_index is None else image_index.contiguous(),
                out,
                count,
                height,
                SIZE=size,
                COLUMNS=_power(size),
                SCALES=scales,
                WIDTH=width,
                PLAN=steps,
                INDEXED=image_index is not None,
                DOT=isinstance(look_kernel, JITFunction) and torch.version.hip is None,
                num_warps=warps,
                enable_fp_fusion=False,
            )
        return out


KERNEL = Fused()
