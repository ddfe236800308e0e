"""Several processes that train one agent together, started by `torchrun`.

Each process plays its share of every batch; gradients are averaged by PyTorch's own
DistributedDataParallel, and what is measured over a batch is averaged here. Random numbers belong
to the rows of the whole batch, so any number of processes makes the same updates, up to rounding.
Without `torchrun` there is one process, and every function here gives back what it was given.
"""

import gc
import os

import torch
import torch.distributed as dist
from torch import Tensor


def join_ranks(device: torch.device) -> torch.device:
    """Meets the other processes, if `torchrun` has started any.

    Args:
        device: What was chosen; several processes of a machine take one GPU each.

    Returns:
        The device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return device


def meet() -> None:
    """Waits until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def leave_ranks() -> None:
    """Waits for the other processes and parts from them."""
    if dist.is_initialized():
        dist.barrier()
        gc.collect()  # a wrapped network that holds the group would keep its threads beyond the end
        dist.destroy_process_group()


def count() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this process is the one that writes, prints and decides."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(total: int) -> slice:
    """The part of so many rows that is this process's.

    Raises:
        ValueError: If they cannot be shared evenly.
    """
    each, rest = divmod(total, count())
    if rest:
        raise ValueError(f"{count()} processes cannot share a --batch of {total} evenly")
    first = dist.get_rank() * each if dist.is_initialized() else 0
    return slice(first, first + each)


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a tensor over the processes, entry by entry; no gradient."""
    if count() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / count()


def from_leader(value: float) -> float:
    """A number of the first process, for all."""
    if count() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)
