"""A look as one operator, `saccade::look`, for whatever records operations or replaces them.

Kernels do what no recorder can follow: they call C++ and Triton, write into memory that they keep
between looks, and decide by numbers in tensors. So `torch.compile`, `torch.export`, `make_fx`,
`torch.jit.trace`, fake tensors and the like see a single operation with a shape known beforehand.
It costs microseconds a look, which a plain call does without.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

if TYPE_CHECKING:
    from saccade.retina import Retina

PLAIN = frozenset((Tensor, torch.nn.Parameter, type(None)))


def is_traced(*tensors: Tensor | None) -> bool:
    """Whether operations on these tensors may be recorded, replaced or batched, not just done."""
    return (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()  # by torch.jit.trace
        or is_in_torch_dispatch_mode()  # of make_fx, of fake tensors
        or torch._C._functorch.peek_interpreter_stack() is not None  # of torch.func
        or not PLAIN.issuperset(map(type, tensors))
    )


def traced_look(
    kernel: str,
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    retina: "Retina",
    dtype: torch.dtype,
) -> Tensor:
    """Takes glimpses by the kernel of that name, as `saccade.kernels.Kernel.look`."""
    sizes = (retina.size, retina.scales, retina.factor)
    return _look(kernel, images, ready, locations, image_index, *sizes, dtype)


@torch.library.custom_op("saccade::look", mutates_args=())
def _look(
    kernel: str,
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    size: int,
    scales: int,
    factor: int,
    dtype: torch.dtype,
) -> Tensor:
    from saccade.kernels import KERNELS
    from saccade.retina import Retina

    retina = Retina(size, scales, factor)
    return KERNELS[kernel].look(images, ready, locations, image_index, retina, dtype)


@_look.register_fake
def _(
    kernel: str,
    images: Tensor,
    ready: Tensor,
    locations: Tensor,
    image_index: Tensor | None,
    size: int,
    scales: int,
    factor: int,
    dtype: torch.dtype,
) -> Tensor:
    shape = (locations.shape[0], scales, images.shape[1], size, size)
    return images.new_empty(shape, dtype=dtype)
