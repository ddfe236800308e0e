"""The kernel for a GPU: all scales of all glimpses in one launch, written in Triton.

Nothing is prepared and nothing but the glimpses is written. uint8 images give the exact integer
sum divided and rounded once, as every kernel does; float images are summed in float32 eight
rows at a time and beyond that in float64. It never waits for the device, and being a custom
operator, `saccade::look`, it works inside CUDA graphs and `torch.compile`.

The device code is in `saccade.kernels.triton_look`; it is compiled once for each retina, image
width and dtype (a few seconds, more beyond five scales), and kept on disk by Triton.
"""

import os
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from saccade.retina import Retina

HAS_TRITON = find_spec("triton") is not None
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"  # Triton on a CPU, slow: for tests
READS = (torch.uint8, torch.float32, torch.float16, torch.bfloat16)
MAX_LANES = 4096  # columns of pixels in a window, that a program holds at once
LOADS = 24  # a thread has at once
PROGRAMS = 2048  # fill the device: a few for each of its multiprocessors


def _power(number: int) -> int:
    """The least power of two that is not below a number."""
    return 1 << (number - 1).bit_length()


def _warps(size: int) -> int:
    """How many warps share a program, so that each thread has a few cells of every scale."""
    return max(1, min(4, _power(size) ** 2 // 128))


@lru_cache
def plan(size: int, scales: int, factor: int, words: bool) -> tuple[tuple[int, ...], ...]:
    """How a program walks each scale.

    Args:
        size: Side of a glimpse in cells.
        scales: How many windows.
        factor: By how much each window is wider than the one inside it.
        words: Whether images are bytes and may be read four at a time.

    Returns:
        Finest first, (cell, wide, lanes, tile, rows): a cell's side in pixels, pixels to a
        lane's width, lanes to a cell, rows of cells at once, rows of pixels at once.
    """
    steps = []
    columns, threads = _power(size), 32 * _warps(size)
    for scale in range(scales):
        cell = factor**scale
        wide = min(cell, 8) if words and cell == _power(cell) else 1
        lanes = _power(cell // wide)
        row = columns * lanes * {1: 1, 2: 2, 4: 2, 8: 3}[wide]  # loads for a row of pixels
        fit = [n for n in range(1, 9) if cell % n == 0 and n * row <= LOADS * threads]
        rows = max(fit, default=1)
        tile = 1
        while tile < columns and 2 * tile * rows * row <= LOADS * threads:
            tile *= 2
        steps.append((cell, wide, lanes, tile, rows))
    return tuple(steps)


@torch.library.custom_op("saccade::look", mutates_args=())
def _look(
    images: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    size: int,
    scales: int,
    factor: int,
    dtype: torch.dtype,
) -> Tensor:
    from triton import JITFunction

    from saccade.kernels.triton_look import look_kernel

    images, locations = images.contiguous(), locations.contiguous()
    count, channels, height, width = images.shape
    glimpses = len(locations)
    out = images.new_empty((glimpses, scales, channels, size, size), dtype=dtype)
    if out.numel() == 0:
        return out
    words = images.dtype == torch.uint8 and width % 4 == 0 and width >= 12
    if words and images.data_ptr() % 4:  # a view that starts within a word
        images = images.clone()
    steps = plan(size, scales, factor, words)
    parts = min(-(-PROGRAMS // (glimpses * channels)), max(-(-size // step[3]) for step in steps))
    with torch.cuda.device_of(images):
        look_kernel[glimpses, channels, parts](
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
            num_warps=_warps(size),
            enable_fp_fusion=False,
        )
    return out


@_look.register_fake
def _(
    images: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    size: int,
    scales: int,
    factor: int,
    dtype: torch.dtype,
) -> Tensor:
    shape = (locations.shape[0], scales, images.shape[1], size, size)
    return images.new_empty(shape, dtype=dtype)


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
        return None

    def prepare(self, images: Tensor, retina: "Retina") -> Tensor:
        """The images themselves: nothing is needed but that they are contiguous."""
        return images.contiguous()

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
        return _look(
            ready.detach(),
            locations.detach(),
            image_index,
            retina.size,
            retina.scales,
            retina.factor,
            dtype,
        )


KERNEL = Fused()
