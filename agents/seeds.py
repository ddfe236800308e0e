"""One seed of a row of the benchmark: from its name to `result.json` in its folder.

A folder holds a run of `saccade train` (or `reference.pt` of a network that sees whole scenes),
`summary.json` once training has ended, and `result.json` once it was measured. What is there is
not done again, and what was stopped goes on from its checkpoint.
"""

import contextlib
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save_file

from saccade.agents.begin import tell_begun
from saccade.agents.checkpoint import describe_machine, read_json, write_json
from saccade.agents.config import TrainConfig, read_config, thread_count
from saccade.agents.evaluate import digest, figures
from saccade.agents.measure import measure, round_weights, seed_result
from saccade.agents.references import count_right, reference_updates, train_reference
from saccade.agents.reinforce import make_scenes
from saccade.agents.run import choose_device
from saccade.agents.suite import Row, row_config, train_arguments
from saccade.data import load as load_data


@dataclass(frozen=True)
class Order:
    """How a row is to be trained.

    Attributes:
        out: Folder of all runs.
        minutes: Training time of a seed in place of the recipe's length; 0 leaves it.
        updates: Updates of a seed in its place; 0 leaves it.
        preset: A recipe in place of the row's own, or "".
        begin: Folder of seeds that were trained before, from which these begin, or None.
        augment: Whether to augment; None as the recipe says.
        data: As in `saccade train`; "" takes the recipe's.
        device: "cpu", "cuda", "cuda:1" or "auto".
        threads: CPU threads of a seed; 0 lets `saccade train` choose.
    """

    out: Path = Path("runs/benchmark")
    minutes: float = 0.0
    updates: int = 0
    preset: str = ""
    begin: Path | None = None
    augment: bool | None = None
    data: str = ""
    device: str = "auto"
    threads: int = 0

    def words(self) -> list[str]:
        """The options that decide the result, as they are typed."""
        words = []
        for name in ("minutes", "updates", "preset", "begin", "data"):
            if getattr(self, name):
                words += [f"--{name}", str(getattr(self, name))]
        if self.augment is not None:
            words.append("--augment" if self.augment else "--no-augment")
        return words

    def kind(self) -> str:
        """The device's type; that of a GPU also where there is none, as its seeds may be collected.

        Raises:
            ValueError: If there is no such type.
        """
        if self.device.partition(":")[0] == "cuda":
            return "cuda"
        return choose_device(self.device).type

    def whole(self, row: Row) -> TrainConfig:
        """The row's recipe at its full length.

        Raises:
            ValueError: If there is no such recipe, or it is another task's.
        """
        config = row_config(row, self.preset, self.augment)
        return replace(config, data=self.data or config.data)

    def seed(self, row: Row, seed: int) -> TrainConfig:
        """What one seed trains, and where."""
        config = self.whole(row)
        if self.updates:
            config = replace(config, updates=self.updates, minutes=0.0)
        elif self.minutes:
            config = replace(config, minutes=self.minutes)
        kind = self.kind()
        if self.begin and row.gaze is None:
            raise ValueError(f"{row.name} has no eye; --begin is for agents")
        folder = row_folder(self.out, row.name, config.augment, kind, bool(self.begin))
        device = kind if self.device == "auto" else self.device
        name = f"seed-{seed}"
        begin = str(self.begin / name) if self.begin else config.begin
        whole = config.compile or (kind == "cuda" and row.gaze is not None)  # several times as fast
        return replace(
            config, seed=seed, begin=begin, device=device, threads=self.threads, compile=whole,
            out=folder / name,
        )  # fmt: skip


def row_folder(out: Path, name: str, augmented: bool, device: str, begun: bool = False) -> Path:
    """The folder of a row's seeds: augmented or not, on CPU and GPU, whole and begun lie apart."""
    return out / name / f"{'augmented' if augmented else 'plain'}-{device}{'-begun' * begun}"


def check_begun(config: TrainConfig) -> bool:
    """Whether a seed was begun.

    Raises:
        ValueError: If it was begun by another recipe; names the first option that differs.
    """
    path = config.out / "config.json"
    if not path.is_file():
        return False
    saved, wanted = read_config(path).to_json(), config.to_json()
    free = {
        "out",
        "device",
        "threads",
        "save_seconds",
        "log_every",
        "eval_every",
        "compile",
        "download",
    }
    if config.minutes:
        free.add("updates")
    begun = _begun(config.out)
    saved["minutes"] = begun.get("minutes", config.minutes)  # in a run they become updates
    for name in wanted.keys() - free:
        if saved[name] != wanted[name]:
            raise ValueError(
                f"{config.out} was begun with {name} {saved[name]}, but {wanted[name]} is asked "
                "for; remove that folder, or choose another --out"
            )
    return True


def _begun(folder: Path) -> dict[str, Any]:
    """What was noted when a seed was begun: commit, or commits if it was resumed, and minutes."""
    path = folder / "commit.json"
    return read_json(path) if path.is_file() else {}


def train_seed(row: Row, order: Order, seed: int, again: bool = False) -> int:
    """Trains one seed to its end and measures it, as far as that was not done before.

    Args:
        row: What to train.
        order: How.
        seed: Which.
        again: Look at the test set once more, on this machine.

    Returns:
        The exit code of `saccade train`; 0 where all is there.

    Raises:
        ValueError: If the seed was begun by another recipe.
    """
    from saccade.agents.cli import main as saccade  # which trains agents as a user would

    config = order.seed(row, seed)
    folder, preset = config.out, order.preset or row.preset
    begun = check_begun(config)
    if not (folder / "summary.json").is_file():
        if config.begin:
            tell_begun(config.begin)
        choose_device(config.device)  # or nothing is begun
        commits = [each for each in (_begun(folder).get("commit"), git_commit()) if each]
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"commit": ", ".join(dict.fromkeys(commits)) or None, "minutes": config.minutes}
        write_json(folder / "commit.json", facts)
        if row.gaze is None:
            _fit_reference(row, read_config(folder / "config.json") if begun else config)
        else:
            machine = ["--device", config.device, "--threads", str(config.threads)]
            resume = ["--resume", "--out", str(folder), *machine]
            code = saccade(["train", *(resume if begun else train_arguments(config, preset))])
            if code:
                return code
    if again or not (folder / "result.json").is_file():
        summary, base = read_json(folder / "summary.json"), order.whole(row)
        if row.gaze:
            round_weights(folder)
        seed_result(
            row,
            folder,
            measure(folder) if row.gaze else summary["test"],
            summary,
            preset=preset,
            commit=read_json(folder / "commit.json")["commit"],
            complete=config.minutes >= base.minutes
            if base.minutes
            else summary["images"] >= base.updates * base.batch,
        )
    return 0


def _fit_reference(row: Row, config: TrainConfig) -> None:
    """Trains a network that sees whole scenes, then looks at the test set: `summary.json`."""
    folder, device = config.out, choose_device(config.device)
    torch.set_num_threads(thread_count(config))
    splits = load_data(config.data, seed=config.seed)
    train = make_scenes(config, splits.train.to(device), training=True)
    judged = {
        "validation": make_scenes(config, splits.validation.to(device)),
        "test": make_scenes(config, splits.test.to(device)),
    }
    if config.minutes:
        updates = reference_updates(
            row.method, train, config.minutes * 60, batch=config.batch, device=device
        )
        config = replace(config, updates=updates, minutes=0.0)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {"config": config.to_json(), "reference": row.method})
    network = train_reference(
        row.method,
        train,
        updates=config.updates,
        batch=config.batch,
        seed=config.seed,
        lr=config.lr,
        device=device,
        folder=folder,
        save_seconds=config.save_seconds,
        console=Console(),
    )
    right = {split: count_right(network, maker, split) for split, maker in judged.items()}
    state = torch.load(folder / "reference.pt", weights_only=True, map_location="cpu")
    weights = {name: value.contiguous() for name, value in state["weights"].items()}
    save_file(weights, folder / "model.safetensors")
    test = figures([right["test"]], len(splits.test))
    summary = {
        "test": test | {"test_digest": digest(judged["test"], "test")},
        "validation": {row.method: [right["validation"] / len(splits.validation)]},
        "seconds": round(state["seconds"], 1),
        "updates": config.updates,
        "images": config.updates * config.batch,
        "data": splits.name,
        "images_by_split": {
            name: len(getattr(splits, name)) for name in ("train", "validation", "test")
        },
    }
    write_json(folder / "summary.json", summary | describe_machine(device))


def git_commit() -> str | None:
    """The commit of the checkout, with "-dirty" where files differ from it; None without git."""
    root = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return None
