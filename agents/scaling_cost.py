"""What systems of `agents/scaling.py` cost: seconds, operations, memory."""

import math
import statistics
import time
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from saccade.agents.scaling import Row, System
from saccade.plates import PlateScene

FAST = 0.005  # seconds, for the order of timing


@torch.inference_mode()
def time_systems(
    systems: list[System], scenes: list[PlateScene], seconds: float
) -> dict[str, tuple[float, float]]:
    """Seconds to prepare and to answer: of each scene the median, of these the mean.

    A GPU is waited for after each.

    Systems take turns until the time is over, so that a busy machine is busy for all, at least one
    turn for each scene. In its turn one that is fast reads all scenes twice, others read one scene
    four times; what comes first, after the others had caches and memory, does not count: the first
    time of each scene.

    Args:
        systems: Who reads, all on one device.
        scenes: Single scenes on that device.
        seconds: How long to measure.
    """
    device = systems[0].device
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else _nothing
    spent: dict[str, list[list[tuple[float, float]]]]
    spent = {each.name: [[] for _ in scenes] for each in systems}
    last = dict.fromkeys(spent, math.inf)
    begun, turn, count = time.perf_counter(), -1, len(scenes)  # the first turn warms up
    while turn < count or time.perf_counter() - begun < seconds:
        number = turn % count
        for each in systems:
            fast = last[each.name] < FAST
            numbers, warm = ([*range(count)] * 2, count) if fast else ([number] * 4, 1)
            for place, this in enumerate(numbers):
                start = time.perf_counter()
                prepared = each.prepare(scenes[this])
                wait()
                middle = time.perf_counter()
                each.answer(scenes[this].images, prepared)
                wait()
                end = time.perf_counter()
                if turn >= 0 and place >= warm:
                    spent[each.name][this].append((middle - start, end - middle))
            last[each.name] = end - start
        turn += 1
    return {
        name: (
            statistics.fmean(statistics.median(a for a, _ in both) for both in all_of if both),
            statistics.fmean(statistics.median(b for _, b in both) for both in all_of if both),
        )
        for name, all_of in spent.items()
    }


def _nothing() -> None:
    """A CPU has done its work when it returns."""


@torch.inference_mode()
def count_cost(system: System, scenes: list[PlateScene]) -> Row:
    """FLOPs, peak memory and bytes read of a scene: means over single scenes."""
    widest = [0]

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(output, Tensor):
            parts = {each.data_ptr(): each.numel() * each.element_size() for each in inputs}
            parts[output.data_ptr()] = output.numel() * output.element_size()
            widest[0] = max(widest[0], sum(parts.values()))

    leaves = [each for each in system.network.modules() if not list(each.children())]
    hooks = [each.register_forward_hook(note) for each in leaves if each is not system.network]
    flops, looks, made = 0, 0, 0
    for scene in scenes:
        prepared = system.prepare(scene)
        with FlopCounterMode(display=False) as counter:
            looks += int(system.answer(scene.images, prepared).looks.sum())
        flops += counter.get_total_flops()
        made = 0 if prepared.data_ptr() == scene.images.data_ptr() else prepared.numel()
    for hook in hooks:
        hook.remove()
    weights = sum(each.numel() * each.element_size() for each in system.network.parameters())
    one = scenes[0].images
    return {
        "flops": flops / len(scenes),
        "peak_bytes": one.numel() + made + weights + widest[0],
        "prepare_bytes_read": system.prepared_from(one.shape[-1]) if made else 0,
        "bytes_read": system.looked_at(one.shape[-1], looks / len(scenes)) + weights,
        "params": system.parameters,
        "precision": system.precision,
    }
