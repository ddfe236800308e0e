"""Scenes that a system was not trained for: strange ones, corrupted ones, larger and fuller ones.

A *system* is anything that answers scenes: `(N, C, H, W)` uint8 and keys `(N,)` to classes `(N,)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.agent import Agent
from saccade.agents.evaluate import split_keys
from saccade.agents.full_look import look_fully
from saccade.corruptions import KINDS, SEVERITIES, corrupt
from saccade.counter import fold, make_key, row_keys, uniform
from saccade.imageset import ImageSet
from saccade.letters import ALPHABETS, draw_letters
from saccade.scenes import SceneMaker

System = Callable[[Tensor, Tensor], Tensor]
CLUTTER = (0, 4, 8, 16, 32, 64)  # pieces
SIDES = (1.0, 1.25, 1.5, 2.0, 3.0)  # times the side of training
SIZES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # times the size that objects had in training


def agent_system(agent: Agent) -> System:
    """An agent's answers after its whole budget."""
    return lambda scenes, keys: look_fully(agent, scenes, keys).logits[:, -1].argmax(-1)


def network_system(network: nn.Module, height: int, width: int) -> System:
    """A whole-scene network's answers; scenes of a size that it cannot read are resized for it."""

    @torch.no_grad()
    def answer(scenes: Tensor, keys: Tensor) -> Tensor:
        network.eval()
        parts = []
        for part in scenes.split(250):
            try:
                parts.append(network(part).argmax(-1))
            except RuntimeError:
                small = F.interpolate(
                    part.float(), (height, width), mode="bilinear", antialias=True
                )
                parts.append(network(small.round().to(torch.uint8)).argmax(-1))
        return torch.cat(parts)

    return answer


def first_scenes(maker: SceneMaker, split: str, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scenes of a split as `evaluate` shows them: `(N, C, H, W)`, their labels and their keys."""
    keys = split_keys(split, len(maker.pool), maker.pool.images.device)[:count]
    index = torch.arange(len(keys), device=keys.device)
    scenes = torch.cat(
        [maker(i, fold(k, "scene")) for i, k in zip(index.split(500), keys.split(500), strict=True)]
    )
    return scenes, maker.pool.labels[: len(keys)], keys


def strange_scenes(maker: SceneMaker, count: int) -> dict[str, Tensor]:
    """Scenes without a right answer, in the layout of `maker`: each `(count, C, H, W)` uint8.

    Letters of other alphabets in place of the objects, and as clutter; the usual scenes without
    an object ("empty"), unless these are all the same; and pixels of uniform noise.
    """
    pool, device = maker.pool, maker.pool.images.device
    channels, *sides = pool.images.shape[1:]
    keys = row_keys(fold(make_key(11, device), "strange"), count)
    index = torch.arange(count, device=device)
    made = {}
    for name in ALPHABETS:
        letters = draw_letters(name, count, side=max(sides), channels=channels).to(device)
        letters = letters[:, :, : sides[0], : sides[1]].contiguous()
        labels = torch.zeros(count, dtype=torch.int64, device=device)
        made[name] = replace(maker, pool=ImageSet(letters, labels, ("none",)))(index, keys)
    if maker.layout == "cluttered":  # elsewhere they are one black scene
        nothing = torch.cat([pool.images, torch.zeros_like(pool.images[:1])])
        labels = torch.cat([pool.labels, pool.labels[:1]])
        empty = replace(maker, pool=ImageSet(nothing, labels, pool.classes))
        made["empty"] = empty(torch.full_like(index, len(pool)), keys)
    made["noise"] = (uniform(keys, *maker.shape) * 256).to(torch.uint8)
    return made


def error(answers: Tensor, labels: Tensor) -> float:
    """Wrong answers in %."""
    return 100 * float((answers != labels).double().mean())


def break_by_corruption(
    systems: Mapping[str, System],
    maker: SceneMaker,
    count: int,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    severities: Sequence[int] = SEVERITIES,
) -> dict[str, Any]:
    """Errors of systems on the same test scenes, clean and corrupted.

    Args:
        systems: By name.
        maker: Of the test scenes.
        count: How many of them.
        kinds: Names in `corruptions.KINDS`.
        severities: Numbers from 1 to 5.

    Returns:
        `scenes`, `severities`, and `errors`: for each system `clean`, a number in %, and for each
        kind one a severity; `mean` is over all of these.
    """
    scenes, labels, keys = first_scenes(maker, "test", count)
    errors: dict[str, dict[str, Any]] = {
        name: {"clean": error(answer(scenes, keys), labels)} for name, answer in systems.items()
    }
    for kind in kinds:
        for name in systems:
            errors[name][kind] = []
        for severity in severities:
            worse = torch.cat(
                [
                    corrupt(part, kind, severity, key)
                    for part, key in zip(scenes.split(250), keys.split(250), strict=True)
                ]
            )
            for name, answer in systems.items():
                errors[name][kind].append(error(answer(worse, keys), labels))
    for row in errors.values():
        numbers = [value for kind in kinds for value in row[kind]]
        row["mean"] = sum(numbers) / max(len(numbers), 1)
    return {"scenes": len(scenes), "severities": list(severities), "errors": errors}


def break_by_layout(systems: Mapping[str, System], maker: SceneMaker, count: int) -> dict[str, Any]:
    """Errors of systems on fuller and larger scenes, and on larger and smaller objects.

    Returns:
        For "clutter" (pieces), "side" (pixels) and "size" (of objects, as a share of training):
        the `steps`, and for each system its errors in %, one a step.
    """
    pool = maker.pool
    height, width = pool.images.shape[-2:]
    axes: dict[str, list[tuple[float, SceneMaker, int]]] = {"clutter": [], "side": [], "size": []}
    centered = maker.layout == "centered"
    for number in () if centered else CLUTTER:
        fuller = replace(
            maker,
            layout="cluttered",
            clutter=number,
            clutter_size=min(maker.clutter_size, height, width),
        )
        axes["clutter"].append((number, fuller, 0))
    for times in SIDES:
        if centered:
            border = round((times - 1) * max(height, width) / 2)
            axes["side"].append((max(height, width) + 2 * border, maker, border))
        else:
            side = round(maker.side * times)
            axes["side"].append((side, replace(maker, side=side), 0))
    for times in SIZES:
        sides = (max(1, round(height * times)), max(1, round(width * times)))
        if not centered and (max(sides) > maker.side or maker.clutter_size > min(sides)):
            continue
        size = F.interpolate(pool.images.float(), sides, mode="bilinear", antialias=True)
        if centered:  # the image is the scene: what is larger is cut, beside what is smaller is 0
            top, left = (height - sides[0]) // 2, (width - sides[1]) // 2
            right, low = width - sides[1] - left, height - sides[0] - top
            size = F.pad(size, (left, right, top, low))
        other = ImageSet(size.round().clamp(0, 255).to(torch.uint8), pool.labels, pool.classes)
        axes["size"].append((times, replace(maker, pool=other), 0))
    found: dict[str, Any] = {}
    for axis, steps in axes.items():
        errors: dict[str, list[float]] = {name: [] for name in systems}
        for _, made, border in steps:
            scenes, labels, keys = first_scenes(made, "test", count)
            scenes = F.pad(scenes, (border,) * 4)
            for name, answer in systems.items():
                errors[name].append(error(answer(scenes, keys), labels))
        if steps:
            found[axis] = {"steps": [step for step, _, _ in steps], "errors": errors}
    return found
