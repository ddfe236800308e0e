"""The ways to take glimpses, all with one meaning; see `saccade.retina`.

    crop      one scale: pad the images once, then copy the windows' rows.
    columns   sums down the columns, added across as packed integers. CPU, uint8.
    table     a summed-area table: four reads a cell, whatever its size. Any retina, any dtype.
    direct    nothing prepared: copy the widest window, add up its pixels. CPU.
    compiled  nothing prepared: C++, built on first use where a compiler is. CPU.
    fused     nothing prepared: Triton, one launch. GPU.

For uint8 images each adds whole numbers exactly and divides once, so that all of them agree bit
for bit. `choose` names the fastest of those that can serve. Under `torch.compile` and other
recorders a look by any of them is one operator, see `saccade.kernels.traced`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor

from saccade.kernels import columns, compiled, crop, direct, fused, table

if TYPE_CHECKING:
    from saccade.retina import Retina


class Kernel(Protocol):
    """A way to take glimpses; a module's functions or an object's methods.

    One whose `prepare` gives memory of its own has another function,
    `refill(images, ready, retina, which)`, which brings `ready` up to date in place with all the
    images, or with those numbered `which`.
    """

    def refusal(self, images: Tensor, retina: "Retina") -> str | None:
        """Why it cannot serve such images and such a retina, or None if it can."""
        ...

    def prepare(self, images: Tensor, retina: "Retina") -> Tensor:
        """What it makes of contiguous images `(B, C, H, W)`, or the images themselves."""
        ...

    def look(
        self,
        images: Tensor,
        ready: Tensor,
        locations: Tensor,
        image_index: Tensor | None,
        retina: "Retina",
        dtype: torch.dtype,
    ) -> Tensor:
        """`(N, scales, C, size, size)` of `dtype`; `ready` is what `prepare` gave."""
        ...


# A kernel is a module, or what a module calls KERNEL. Nothing optional is imported by any of them.
KERNELS: dict[str, Kernel] = {
    "crop": cast(Kernel, crop),
    "columns": cast(Kernel, columns),
    "table": cast(Kernel, table),
    "direct": cast(Kernel, direct),
    "compiled": cast(Kernel, compiled),
    "fused": fused.KERNEL,
}


def choose(images: Tensor, retina: "Retina", looks: int, kernel: str) -> str:
    """Names the kernel for the work ahead.

    Args:
        images: `(B, C, H, W)`, of which shape, dtype and device count.
        retina: The retina.
        looks: About how many glimpses each image will get.
        kernel: "auto" for the fastest, "torch" for the fastest that needs no compiler, or the
            name of a kernel.

    Raises:
        ValueError: If there is no such kernel, or it cannot serve.
    """
    if kernel not in ("auto", "torch"):
        if kernel not in KERNELS:
            raise ValueError(f"no kernel {kernel!r}: auto, torch, {', '.join(KERNELS)}")
        if reason := KERNELS[kernel].refusal(images, retina):
            raise ValueError(f"the kernel {kernel!r} {reason}")
        return kernel
    for name in _by_speed(images, retina, looks):
        wanted = kernel == "auto" or name not in ("compiled", "fused")
        if wanted and KERNELS[name].refusal(images, retina) is None:
            return name
    raise AssertionError("the table serves everything")


def _by_speed(images: Tensor, retina: "Retina", looks: int) -> Iterator[str]:
    """Kernels by expected speed, fastest first; `table` comes last, for it refuses nothing.

    What is prepared costs time for every pixel of the image once, and saves some for every pixel
    of the widest window at each look. The shares at which it pays were measured, one thread.
    """
    if images.is_cuda:
        yield "fused"
    pixels = images.shape[-2] * images.shape[-1]
    widest = retina.sides[-1] ** 2
    share = looks * widest / pixels
    # Where C++ adds up every window anew, prepared sums win after many looks, if cells hold many
    # pixels (four times as many floats: their sums are slower) and a batch keeps a look busy.
    read = min(widest, pixels)
    many = not compiled.nested(retina) and share > 32
    many = many and read >= 64 * retina.size**2 * images.element_size()
    if not (many and images.shape[0] * images.shape[1] * read > 2**20):
        yield "compiled"
    if retina.scales == 1 and share > 1 / 8:
        yield "crop"
    if images.numel() < 2**16:  # all scales in one go: fewer operations
        yield "table"
    # Where windows do not nest `direct` copies those of each scale.
    if share > (2.5 if compiled.nested(retina) else 1):
        yield "columns"
    if share < 4:
        yield "direct"
    yield "table"
