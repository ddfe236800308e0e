"""How products are computed: the type of those of matrices, the order of those of convolutions."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from saccade.agents.config import TrainConfig


def fast_type(device: torch.device | None = None) -> torch.dtype:
    """What large products are fastest in: bfloat16 where the processor or GPU multiplies it."""
    if device is not None and device.type == "cuda":
        able = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        features = torch.cpu.get_capabilities()
        able = bool(features.get("amx_bf16") or features.get("avx512_bf16"))
    return torch.bfloat16 if able else torch.float32


def products(config: TrainConfig, device: torch.device) -> torch.autocast:
    """A context in which matrices are multiplied as configured, to be put around the network.

    What passes between its layers and glimpses may be bfloat16 too; weights, their gradients,
    losses and the world stay in float32. On a processor that is not made for bfloat16 everything
    is float32, as it would be slower there.
    """
    half = config.precision == "bfloat16" and fast_type(device) == torch.bfloat16
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


@contextmanager
def deterministic() -> Iterator[None]:
    """Convolutions whose sums are added up in one order, on GPUs too."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before
