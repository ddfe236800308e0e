"""References that see the whole scene at once: what a glimpse agent is to be compared with.

    fc-64, fc-256   two hidden layers of so many units (Mnih et al. 2014, tables 1 and 2)
    cnn-paper       one convolution of 8 10x10 filters at stride 5, then 256 units (ibid., 4.1)
    cnn-small       four convolutions with batch normalization, global average pooling: as many
                    weights as a glimpse agent, and what has been learned since 2014

They learn from the very scenes that an agent of the same seed and batch learns from, in the same
order (`reinforce.Reinforce`), by AdamW with warm-up and cosine. Deltas from the paper: its
networks were trained by SGD with momentum.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from saccade.agents.evaluate import split_keys
from saccade.agents.precision import deterministic, fast_type
from saccade.counter import fold, integers, make_key, row_keys
from saccade.envs.classify import Classify
from saccade.scenes import SceneMaker

Shape = tuple[int, int, int]
RATE = 3e-3  # chosen by validation: docs/ablations.md, "Networks that see whole scenes"


class WholeScene(nn.Module):
    """Layers that read whole scenes: uint8, or float in [0, 1].

    Args:
        layers: From `(B, C, H, W)` float in [0, 1] to `(B, K)` logits.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, scenes: Tensor) -> Tensor:
        """`(B, C, H, W)` scenes to `(B, K)` logits."""
        return self.layers(scenes / 255 if scenes.dtype == torch.uint8 else scenes)


def fully_connected(shape: Shape, classes: int, units: int) -> nn.Module:
    """Two hidden layers of `units`."""
    return WholeScene(
        nn.Flatten(),
        nn.Linear(math.prod(shape), units), nn.ReLU(),
        nn.Linear(units, units), nn.ReLU(),
        nn.Linear(units, classes),
    )  # fmt: skip


def paper_cnn(shape: Shape, classes: int) -> nn.Module:
    """The paper's convolutional network; scenes have 10 pixels a side or more."""
    height, width = ((side - 10) // 5 + 1 for side in shape[1:])
    return WholeScene(
        nn.Conv2d(shape[0], 8, 10, stride=5), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * height * width, 256), nn.ReLU(),
        nn.Linear(256, classes),
    )  # fmt: skip


def small_cnn(shape: Shape, classes: int) -> nn.Module:
    """A small convolutional network; each of its last units sees 39x39 pixels, a whole digit."""

    def convolve(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]

    network = WholeScene(
        *convolve(shape[0], 32, size=5, stride=2),
        *convolve(32, 64), nn.MaxPool2d(2, ceil_mode=True),
        *convolve(64, 128), nn.MaxPool2d(2, ceil_mode=True),
        *convolve(128, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(128, classes),
    )  # fmt: skip
    # Faster, on CPUs and on GPUs.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


REFERENCES: dict[str, Callable[[Shape, int], nn.Module]] = {
    "fc-64": lambda shape, classes: fully_connected(shape, classes, 64),
    "fc-256": lambda shape, classes: fully_connected(shape, classes, 256),
    "cnn-paper": paper_cnn,
    "cnn-small": small_cnn,
}


def build_reference(name: str, maker: SceneMaker, seed: int, device: torch.device) -> nn.Module:
    """A network with fresh weights for the scenes of `maker`.

    Raises:
        ValueError: If there is no such reference.
    """
    if name not in REFERENCES:
        raise ValueError(f"there is no reference {name!r}; choose from {', '.join(REFERENCES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return REFERENCES[name](maker.shape, len(maker.pool.classes)).to(device)


def scene_batches(
    maker: SceneMaker, batch: int, seed: int, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """The training scenes of `Reinforce`, batch by batch without end; each epoch shows all images.

    Args:
        maker: Makes them.
        batch: Scenes at a time.
        seed: Decides order and scenes.
        start: The update to begin from.

    Yields:
        Scenes `(batch, C, H, W)` uint8 and labels `(batch,)`.
    """
    task, total = Classify(maker), len(maker.pool)
    key = make_key(seed, maker.pool.images.device)
    known, order = -1, torch.empty(0)
    update = start
    while True:
        epoch, place = divmod(update * batch, total)
        parts, missing = [], batch
        while missing:
            if epoch != known:
                keys = row_keys(fold(fold(key, "epoch"), epoch), total)
                known, order = epoch, integers(keys, 2**31, 1)[:, 0].argsort(stable=True)
            parts.append(order[place : place + missing])
            missing, epoch, place = missing - len(parts[-1]), epoch + 1, 0
        keys = row_keys(fold(fold(key, "update"), update), batch)
        state = task.begin(keys, torch.cat(parts))
        yield task.frames(state), state["label"]
        update += 1


def train_reference(
    name: str,
    maker: SceneMaker,
    *,
    updates: int,
    batch: int = 256,
    seed: int = 0,
    device: torch.device | str = "cpu",
    lr: float = RATE,
    weight_decay: float = 0.01,
    warmup: int = 200,
    folder: Path | None = None,
    save_seconds: float = 30.0,
    console: Console | None = None,
) -> nn.Module:
    """Trains a reference on fresh scenes.

    The convolutions of cnn-small are computed in bfloat16 where the CPU is made for it, as the
    products of agents are; it is judged in float32.

    Args:
        name: In `REFERENCES`.
        maker: Makes the training scenes; its pool lies on the device.
        updates: Batches to learn from, in all.
        batch: Scenes in an update.
        seed: Decides weights, order and scenes; one seed gives one network, bit for bit.
        device: Where to compute.
        lr: Highest learning rate, lowered to 0 by a cosine after `warmup` updates.
        weight_decay: Of AdamW.
        warmup: Updates over which the learning rate rises linearly.
        folder: Where to keep a checkpoint, `reference.pt`, and to go on from one.
        save_seconds: Seconds between two checkpoints: what a kill may lose.
        console: Where to show progress.

    Returns:
        The network, as it is after the last update, set to evaluate.

    Raises:
        ValueError: If there is no such reference.
        FloatingPointError: If the loss is no longer a number.
    """
    device = torch.device(device)
    network = build_reference(name, maker, seed, device)
    half = name == "cnn-small" and device.type == "cpu" and fast_type() == torch.bfloat16
    adam = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    begun = saved = time.monotonic()
    done, before = 0, 0.0
    path = folder / "reference.pt" if folder is not None else None
    if path is not None and path.is_file():
        state = torch.load(path, map_location=device, weights_only=True)
        network.load_state_dict(state["weights"])
        adam.load_state_dict(state["adam"])
        done, before = state["updates"], state["seconds"]
    columns = (TextColumn(f"{name:22}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[words]}"), TimeRemainingColumn())  # fmt: skip
    batches = scene_batches(maker, batch, seed, done)
    network.train()
    with (
        deterministic(),
        Progress(*columns, console=console or Console(quiet=True)) as progress,
    ):
        bar = progress.add_task("", total=updates, completed=done, words="")
        while done < updates:
            for group in adam.param_groups:
                group["lr"] = _learning_rate(lr, done, warmup, updates)
            scenes, labels = next(batches)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = network(scenes)
            loss = F.cross_entropy(logits.float(), labels)
            adam.zero_grad()
            loss.backward()
            adam.step()
            done += 1
            last = done == updates
            saves = path is not None and (last or time.monotonic() - saved > save_seconds)
            if done % 50 == 0 or last or saves:
                sound = all(bool(each.isfinite().all()) for each in network.parameters())
                if not (sound and math.isfinite(loss.item())):
                    raise FloatingPointError(
                        f"{name}: loss or weights are not numbers by update {done}; train again "
                        "with a lower learning rate"
                    )
                right = (logits.argmax(-1) == labels).float().mean().item()
                progress.update(bar, completed=done, words=f"{right:6.1%} right")
            if saves and path is not None:
                saved = time.monotonic()
                _save(path, network, adam, done, before + saved - begun)
    return network.eval()


def reference_updates(
    name: str, maker: SceneMaker, seconds: float, *, batch: int, device: torch.device | str = "cpu"
) -> int:
    """How many updates fit into so many seconds, by timing the first of them."""
    begun, count, each = time.monotonic(), 1, 0.0
    while each * count < max(1.0, seconds / 200):
        count *= 2
        start = time.monotonic()
        train_reference(name, maker, updates=count, batch=batch, device=device)
        each = (time.monotonic() - start) / count
    return max(1, int(0.93 * (seconds - (time.monotonic() - begun)) / each))


@torch.no_grad()
def count_right(
    network: nn.Module, maker: SceneMaker, split: str, batch: int = 500, count: int | None = None
) -> int:
    """How many scenes of a split, "validation" or "test", are read rightly: of all, or the first.

    They are the scenes that agents are shown there (`evaluate.evaluate`), each once.
    """
    task, device = Classify(maker), maker.pool.images.device
    keys, right = split_keys(split, len(maker.pool), device), 0
    network.eval()
    for index in torch.arange(len(maker.pool), device=device)[:count].split(batch):
        state = task.begin(keys[index], index)
        right += int((network(task.frames(state)).argmax(-1) == state["label"]).sum())
    return right


def _learning_rate(lr: float, update: int, warmup: int, updates: int) -> float:
    if update < warmup:
        return lr * (update + 1) / warmup
    done = (update - warmup) / max(1, updates - warmup)
    return lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _save(path: Path, network: nn.Module, adam: torch.optim.AdamW, done: int, spent: float) -> None:
    state = {"weights": network.state_dict(), "adam": adam.state_dict()}
    beside = path.with_name(path.name + ".part")
    torch.save(state | {"updates": done, "seconds": spent}, beside)
    beside.replace(path)
