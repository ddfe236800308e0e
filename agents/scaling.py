"""What looking costs against a scene's side: systems, errors, times, and the two fair pairings.

Definitions, also in docs/scaling.md:

- `device`: where a system and the scene are: "cpu", or "cuda", where memory is the GPU's own and
  seconds end when it has done the work.
- `prepare_seconds`: from the scene in memory to the small picture a system starts from: the
  agent's coarse look, a network's down-sampling, the crop at the true place. At full resolution
  there is nothing to prepare.
- `seconds`: from there to the class, one scene at a time, the scene's own pixels in memory; a mean
  over scenes, as an agent that stops when it is sure takes longer for some.
- `glimpses`: mean number that a system takes, the coarse look among them.
- `flops`: of convolutions and matrix products in `seconds`, a multiplication and an addition
  counted as two.
- `peak_bytes`: the scene, what was prepared, the weights, and the largest sum of one layer's input
  and output. Counted from shapes, not probed.
- `bytes_read`: in `seconds`, of the scene or of what was prepared, and of the weights, each once;
  `prepare_bytes_read`: of the scene, to prepare.
- `error`: wrong answers in % of `scenes` scenes, and `interval`, Wilson's 95 %.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from saccade.agents.dense import (
    CROP,
    FAMILY,
    DenseReader,
    Member,
    crop_side,
    crop_true,
)
from saccade.agents.precision import fast_type
from saccade.agents.scaling_agent import GRID, PlaceAgent, Reading, coarse_look
from saccade.agents.scaling_train import LARGEST
from saccade.data import load
from saccade.plates import PlateMaker, PlateScene, part_rows, plate_letters, plate_photos

SIDES = (100, 256, 512, 1024, 2048, 4096)
BACKGROUNDS = ("black", "photo")
SURE = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)  # beliefs at which an agent may stop
PRICE = 0.1  # points of validation error that stopping may cost
CHUNK = 2**24  # pixels of scenes held at a time

CPU = torch.device("cpu")

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class System:
    """Something that reads scenes.

    Attributes:
        name: As results have it.
        network: With its weights, made ready for inference.
        prepare: From scenes to what it starts from.
        answer: From scenes and what was prepared to logits, and looks after what was prepared.
        looked_at: Pixels that `answer` reads of a scene of this side and of what was prepared,
            with so many looks.
        trained: Sides of scenes like those it has learned on.
        minutes: Of one core, that it learned for.
        prepared_from: Pixels of a scene of this side that `prepare` reads.
    """

    name: str
    network: nn.Module
    prepare: Callable[[PlateScene], Tensor]
    answer: Callable[[Tensor, Tensor], Reading]
    looked_at: Callable[[int, float], float]
    trained: Callable[[int], bool]
    minutes: float
    prepared_from: Callable[[int], int] = lambda side: side**2

    @property
    def device(self) -> torch.device:
        """Where it reads."""
        return next(self.network.parameters()).device

    @property
    def precision(self) -> str:
        """What its weights and pictures are multiplied in."""
        return str(next(self.network.parameters()).dtype).removeprefix("torch.")

    @property
    def parameters(self) -> int:
        """Numbers that were learned, after folding."""
        return sum(each.numel() for each in self.network.parameters())


def file_name(name: str, series: str) -> str:
    """Of weights: without a slash."""
    return name.replace("/", "-over-").replace("@", "-at-") + f"-{series}"


def store(network: nn.Module, path: Path, minutes: float) -> None:
    """Writes weights in half precision, with the minutes they took."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous().clone()
        for name, value in network.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={"minutes": f"{minutes:.2f}"})


def restore(network: nn.Module, path: Path) -> float:
    """Reads weights back into a network; returns the minutes.

    Raises:
        FileNotFoundError: If there are none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights in {path}; run scripts/bench_scaling.py")
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        minutes = float((file.metadata() or {}).get("minutes", "nan"))
    network.load_state_dict(state)
    network.eval()
    return minutes


def agent_system(network: PlaceAgent, minutes: float) -> System:
    """The saccadic agent."""
    window, pixels = network.fovea.sides[-1], network.surround.size**2
    return System(
        "saccade",
        network,
        lambda scenes: coarse_look(scenes.images),
        lambda images, coarse: network.read(network.fovea.prepare(images, looks=1), coarse),
        lambda side, looks: GRID**2 + looks * (min(window, side) ** 2 + pixels),
        lambda side: True,
        minutes,
    )


def dense_system(
    network: DenseReader, series: str, minutes: float, device: torch.device = CPU
) -> System:
    """A member of the family, or the reader of the crop at the true place."""
    member = network.member
    ready = network.folded(fast_type(device)).to(device)

    def answer(images: Tensor, prepared: Tensor) -> Reading:
        return Reading(ready(prepared), torch.zeros(len(prepared), dtype=torch.long, device=CPU))

    if member == CROP:
        return System(
            "crop-cnn", ready, lambda scenes: crop_true(scenes.images, scenes.places, series),
            answer, lambda side, looks: 1600,
            lambda side: side == 100 or series == "proportional", minutes,
            lambda side: crop_side(side, series) ** 2,
        )  # fmt: skip

    def trained(side: int) -> bool:
        if series == "detail":
            return side <= (256 if member.fixed else 512)  # pieces are no wider than that
        return bool(member.fixed) or (member.fits(side) and side <= LARGEST)

    return System(
        member.name,
        ready,
        lambda scenes: member.prepare(scenes.images),
        answer,
        lambda side, looks: member.fixed**2 or max(1, round(side / member.factor)) ** 2,
        trained,
        minutes,
    )


def members(series: str) -> tuple[Member, ...]:
    """The reader of the crop, and the family."""
    return (CROP, *FAMILY[series])


def member_name(member: Member) -> str:
    """As results have it."""
    return "crop-cnn" if member == CROP else member.name


def load_systems(
    series: str, folder: Path, names: set[str] | None = None, device: torch.device = CPU
) -> list[System]:
    """The agent and the family with the weights of a folder, or those of these names."""
    systems = []
    if names is None or "saccade" in names:
        agent = PlaceAgent()
        minutes = restore(agent, folder / f"{file_name('saccade', series)}.safetensors")
        systems.append(agent_system(agent.folded().to(device), minutes))
    for member in members(series):
        if names is None or member_name(member) in names:
            reader = DenseReader(member)
            path = folder / f"{file_name(member_name(member), series)}.safetensors"
            minutes = restore(reader, path)
            systems.append(dense_system(reader, series, minutes, device))
    return systems


def scenes_of(
    maker: PlateMaker, part: str, count: int, start: int = 0
) -> Iterator[tuple[int, PlateScene]]:
    """The fixed scenes of a part, as many at a time as fit, each with the first's number."""
    step = max(1, min(50, CHUNK // maker.side**2))
    for begin in range(start, count, step):
        size = min(step, count - begin)
        yield begin, maker(*part_rows(part, size, len(maker.digits), begin))


def part_maker(data: str, part: str, series: str) -> PlateMaker:
    """Scenes of a part, on black, of side 256."""
    digits = getattr(load(data), part)
    return PlateMaker(digits, plate_letters(part), plate_photos(part), 256, series)  # type: ignore[arg-type]


@torch.inference_mode()
def find_sure(agent: PlaceAgent, maker: PlateMaker, scenes: int = 1000) -> float:
    """The least belief to stop at that costs at most `PRICE` points at any side, on any ground.

    Args:
        agent: In evaluation.
        maker: Of validation scenes.
        scenes: At each side and on each background.

    Returns:
        One of `SURE`, or 1, which is never reached.
    """
    lost = torch.zeros(len(SURE))  # the most, of all sides and grounds
    for side in SIDES:
        for background in BACKGROUNDS:
            there = maker.at(side=side, background=background)
            beliefs, right = [], []
            for _, made in scenes_of(there, "validation", scenes):
                scene = agent.fovea.prepare(made.images, looks=1)
                logits = agent(scene, coarse_look(made.images)).logits
                beliefs.append(logits.softmax(-1).amax(-1))
                right.append(logits.argmax(-1) == made.labels[:, None])
            belief, correct = torch.cat(beliefs), torch.cat(right).float()
            rows, last = torch.arange(len(belief)), belief.shape[1] - 1
            for number, sure in enumerate(SURE):
                stop = (belief.cummax(1).values <= sure).sum(1).clamp(max=last)
                less = correct[:, last].mean() - correct[rows, stop].mean()
                lost[number] = torch.maximum(lost[number], less)
    good = (100 * lost <= PRICE + 1e-4).nonzero()  # a scene of a thousand is 0.1 points
    return SURE[int(good[0])] if len(good) else 1.0


@torch.inference_mode()
def count_wrong(
    systems: list[System], maker: PlateMaker, scenes: int, part: str, cache: Path | None = None
) -> dict[str, tuple[int, float]]:
    """Wrong answers of each system on the first scenes of a part, and mean glimpses.

    Args:
        systems: Who reads, all on one device.
        maker: Of the scenes.
        scenes: How many.
        part: "validation" or "test".
        cache: A JSON file that keeps what was counted, by all that decides it, so that a long
            measurement can be taken up again.
    """
    kept: dict[str, list[float]] = {}
    if cache is not None and cache.exists():
        kept = json.loads(cache.read_text())
    where = f"{part} {maker.series} {maker.background} {maker.side} {_digest(maker):08x} {scenes}"
    device = systems[0].device
    where += "" if device == CPU else f" {device.type}"
    keys = {each.name: f"{where} {each.name} {_fingerprint(each.network):08x}" for each in systems}
    missing = [each for each in systems if keys[each.name] not in kept]
    wrong, looks = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)
    for _, here in scenes_of(maker, part, scenes) if missing else ():
        made = here.to(device)
        for each in missing:
            read = each.answer(made.images, each.prepare(made))
            wrong[each.name] += int((read.logits.argmax(1) != made.labels).sum())
            looks[each.name] += int(read.looks.sum())
    for each in missing:
        kept[keys[each.name]] = [wrong[each.name], 1 + looks[each.name] / scenes]
    if cache is not None and missing:
        cache.parent.mkdir(parents=True, exist_ok=True)
        beside = cache.with_suffix(".part")
        beside.write_text(json.dumps(kept))
        beside.replace(cache)
    return {name: (int(kept[key][0]), kept[key][1]) for name, key in keys.items()}


def wilson(wrong: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, in %."""
    z, share = 1.959964, wrong / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z * z / count)
    return 100 * (middle - half), 100 * (middle + half)


def _digest(maker: PlateMaker) -> int:
    """Of what scenes are made from."""
    total = zlib.crc32(maker.digits.images.numpy().tobytes())
    total = zlib.crc32(maker.letters.numpy().tobytes(), total)
    for photo in maker.photos:
        total = zlib.crc32(photo.tobytes(), total)
    return total


def _fingerprint(network: nn.Module) -> int:
    """Of weights."""
    total = 0
    for value in network.state_dict().values():
        total = zlib.crc32(value.detach().float().contiguous().cpu().numpy().tobytes(), total)
    return total
