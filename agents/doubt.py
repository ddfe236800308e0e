"""What a sceptic asks of a trained agent, measured: when to stop, when to doubt, how it breaks.

Thresholds, temperatures, the learned stop rule and the best fixed scanpath come from training and
validation scenes; test scenes are only reported on. The numbers of a run are one JSON object.
"""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from saccade.agents.belief import measure_belief, measure_scanpaths, measure_strange
from saccade.agents.checkpoint import describe_machine, write_json
from saccade.agents.config import read_config
from saccade.agents.doubt_figures import draw_all
from saccade.agents.doubt_page import make_sheets, seeds_sheet, show_sheets, to_markdown
from saccade.agents.evaluate import split_keys
from saccade.agents.full_look import look_at_split
from saccade.agents.gain import compare_gazes, measure_policy, training_keys
from saccade.agents.pairs import pair
from saccade.agents.references import REFERENCES, count_right, train_reference
from saccade.agents.reinforce import make_scenes
from saccade.agents.stopping import measure_stopping, measure_time
from saccade.agents.stress import (
    System,
    agent_system,
    break_by_corruption,
    break_by_layout,
    network_system,
)
from saccade.agents.weights import Trained, open_trained
from saccade.data import Splits
from saccade.data import load as load_data
from saccade.scenes import SceneMaker
from saccade.shipped import is_name


@dataclass(frozen=True)
class Effort:
    """How many scenes each part looks at.

    Attributes:
        test: Test scenes for stopping and calibration, at most.
        validation: Validation scenes, at most.
        train: Training scenes, for the learned stop rule and the fixed scanpath.
        strange: Strange scenes of each sort, and test scenes beside them.
        corrupted: Test scenes for each kind and severity of corruption.
        path: Training scenes on which the best fixed scanpath is found.
    """

    test: int = 10_000
    validation: int = 10_000
    train: int = 16_000
    strange: int = 500
    corrupted: int = 250
    path: int = 400


QUICK = Effort(test=1000, validation=1000, train=2000, strange=200, corrupted=60, path=100)


def measure(
    trained: Trained,
    splits: Splits,
    *,
    effort: Effort,
    references: Mapping[str, nn.Module],
    gazes: tuple[Tensor, Mapping[str, list[float]], int],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """All of it, for one agent.

    Args:
        trained: The agent and what its scenes are like.
        splits: Its data, on its device.
        effort: How many scenes to look at.
        references: Whole-scene networks to break beside it, by name.
        gazes: What `gain.compare_gazes` gave.
        say: Told what is being done.
    """
    agent, config, device = trained.agent, trained.config, splits.test.images.device
    makers = {
        "train": make_scenes(config, splits.train),
        "validation": make_scenes(config, splits.validation),
        "test": make_scenes(config, splits.test),
    }
    keys = {
        split: split_keys(split, len(maker.pool), device)[: getattr(effort, split)]
        for split, maker in makers.items()
        if split != "train"
    }
    keys["train"] = training_keys(len(splits.train), device)[: effort.train]
    say("looking at training, validation and test scenes")
    seen = {split: look_at_split(agent, maker, keys[split]) for split, maker in makers.items()}
    say("stop rules")
    stop, head = measure_stopping(agent, seen)
    stop["time"] = measure_time(agent, makers["test"], stop, head)
    say("calibration")
    belief = measure_belief(seen)
    say("several scanpaths")
    scanpaths = measure_scanpaths(agent, makers, keys, seen, config.sigma)
    say("strange scenes")
    strange = measure_strange(
        agent, makers["test"], effort.strange, config.sigma, belief["temperature"][-1]
    )
    say("corruptions, clutter, sides")
    anytime = (100 * (1 - seen["test"].right.double().mean(0))).tolist()
    systems: dict[str, System] = {"saccade": agent_system(agent)}
    for name, network in references.items():
        systems[name] = network_system(network, *makers["test"].shape[1:])
    corrupted = break_by_corruption(systems, makers["test"], effort.corrupted)
    layouts = break_by_layout(systems, makers["test"], effort.corrupted)
    shown = len(keys["test"])
    clean = {
        name: 100 * (1 - count_right(network, makers["test"], "test", count=shown) / shown)
        for name, network in references.items()
    }
    say("what the policy adds")
    policy = measure_policy(agent, makers["test"], keys["test"], seen["test"], *gazes)
    return {
        "data": splits.name,
        "scene": config.scene,
        "shape": list(makers["test"].shape),
        "glimpses": agent.spec.glimpses,
        "scenes": {split: len(each.labels) for split, each in seen.items()},
        "seed": config.seed,
        "updates": trained.config.updates,
        "anytime": anytime,
        "stop": stop,
        "belief": belief,
        "scanpaths": scanpaths,
        "strange": strange,
        "corrupted": corrupted,
        "clean": {"saccade": anytime[-1], **clean},
        "layouts": layouts,
        "policy": policy,
        **describe_machine(device),
    }


def get_references(
    maker: SceneMaker, folder: Path, updates: int, console: Console
) -> dict[str, nn.Module]:
    """Whole-scene networks for the same scenes: those already trained, or all where updates > 0.

    Args:
        maker: Of the training scenes.
        folder: Where they are kept, one folder each.
        updates: To train for, of 256 scenes each; 0 takes only what is there.
        console: Where progress is shown.
    """
    found = {}
    for name in REFERENCES:
        kept = folder / name / "reference.pt"
        if not updates and not kept.is_file():
            continue
        length = updates or reference_length(folder, name)
        (folder / name).mkdir(parents=True, exist_ok=True)
        found[name] = train_reference(
            name, maker, updates=length, device=maker.pool.images.device,
            folder=folder / name, console=console,
        )  # fmt: skip
    return found


def reference_length(folder: Path, name: str) -> int:
    """For how many updates a network that is kept there was trained."""
    return torch.load(folder / name / "reference.pt", weights_only=True)["updates"]


def default_folder(run: Path) -> Path:
    """Where a run's doubts are written unless it is said: in its folder, or runs/NAME/doubt."""
    return (Path("runs") / run if is_name(run) else run) / "doubt"


def prepare_doubt(
    runs: Sequence[Path],
    console: Console,
    *,
    data: str | None = None,
    out: Path | None = None,
    json: Path | None = None,
    quick: bool = False,
    readers: int = 0,
    references: int = 0,
    device: torch.device | None = None,
) -> Callable[[], None]:
    """Reads all input of `saccade doubt`; what it returns does the work.

    Args:
        runs: Run folders, or names of shipped agents.
        console: Where tables and progress are shown.
        data: Other data than they were trained on.
        out: Where to write; with several runs, one folder each in it.
        json: File to write all figures to.
        quick: Fewer scenes.
        readers: Updates to train a reader for each other gaze for, and an agent beside them; 0
            trains none.
        references: Updates to train whole-scene networks for; 0 trains none.
        device: Where to compute.

    Raises:
        ValueError: If a run is no classifier's, or runs and options do not go together.
        FileNotFoundError: If a run or its data is not there.
    """
    if not 1 <= len(runs) <= 9:
        raise ValueError(f"doubt takes 1 to 9 runs, got {len(runs)}")
    if len({run.resolve() for run in runs}) < len(runs):
        raise ValueError("the same run is given twice")
    if readers < 0 or references < 0:
        raise ValueError("--readers and --references are numbers of updates, 0 or more")
    if json is not None and not json.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {json.parent} to write to")
    device = device or torch.device("cpu")
    opened = []
    for run in runs:
        saved = run / "config.json"
        if saved.is_file() and read_config(saved).env:
            raise ValueError(f"{run} plays in a world; doubt is about agents that name classes")
        trained = open_trained(run, device)
        splits = load_data(data or trained.config.data, seed=trained.config.seed)
        trained.check(splits)
        folder = default_folder(run) if out is None else out
        if out is not None and len(runs) > 1:
            folder = out / run.name
        source = data or trained.config.data
        own = same_data(source, trained.config.data, splits.name)
        trained = trained._replace(config=replace(trained.config, data=source))
        opened.append((run, trained, splits, folder, own))
    if len({folder.resolve() for *_, folder, _ in opened}) < len(runs):
        raise ValueError("runs of the same name would share a folder; leave --out away")

    def work() -> None:
        effort = QUICK if quick else Effort()
        results = {}
        for run, trained, splits, folder, own in opened:
            folder.mkdir(parents=True, exist_ok=True)
            train, validation, test = (part.to(device) for part in splits[:3])
            here = Splits(train, validation, test, splits.name)
            results[str(run)] = doubt_one(
                run, trained, here, folder, effort, readers, references, console, own=own
            )
        whole: dict[str, Any] = next(iter(results.values()))
        if len(results) > 1:
            together = pair(list(results.values()))
            sheet = seeds_sheet(together)
            show_sheets([sheet], console)
            whole = {"runs": results, "together": together}
            target = out or opened[0][3]
            write_json(target / "together.json", whole)
            (target / "together.md").write_text(to_markdown([sheet]) + "\n")
        if json is not None:
            write_json(json, whole)

    return work


def same_data(source: str, learned: str, name: str) -> bool:
    """Whether a source is what an agent has learned on, and not others in its place.

    Args:
        source: As in `saccade train --data`.
        learned: The same of its training.
        name: What the source's data is called: MNIST is MNIST wherever it lies.
    """
    return Path(source).resolve() == Path(learned).resolve() or learned == name == "mnist"


def fingerprint(splits: Splits) -> int:
    """A number that other data have another of."""
    labels, images = splits.train.labels.cpu(), splits.train.images[:100].cpu()
    return zlib.crc32(images.numpy().tobytes(), zlib.crc32(labels.numpy().tobytes()))


def doubt_one(
    run: Path,
    trained: Trained,
    splits: Splits,
    folder: Path,
    effort: Effort,
    readers: int,
    references: int,
    console: Console,
    *,
    own: bool,
) -> dict[str, Any]:
    """Measures one run, prints its tables and writes doubt.json, doubt.md and pictures."""
    torch.set_num_threads(1)  # with others, sums may be added up in another order
    begun = time.monotonic()
    mark = "" if own else f"-{splits.name}-{fingerprint(splits):08x}"  # of other data, apart
    place, others = folder / f"readers-{readers}{mark}", folder / f"references{mark}"
    gazes = compare_gazes(trained, splits, run, place, readers, effort.path, console, own=own)
    networks = get_references(
        make_scenes(trained.config, splits.train, training=True),
        others,
        references,
        console,
    )
    with console.status("") as status:
        result = measure(
            trained,
            splits,
            effort=effort,
            references=networks,
            gazes=gazes,
            say=lambda words: status.update(f"{run}: {words}"),
        )
    result["reference_updates"] = {name: reference_length(others, name) for name in networks}
    result["seconds"] = round(time.monotonic() - begun, 1)
    sheets = make_sheets(result)
    console.rule(str(run))
    show_sheets(sheets, console)
    pictures = draw_all(result, folder)
    shown = "\n".join(f"![{path.stem}]({path.name})" for path in pictures)
    text = f"# What to doubt of {run.name}\n\n{to_markdown(sheets)}\n\n{shown}\n"
    (folder / "doubt.md").write_text(text)
    write_json(folder / "doubt.json", result)
    console.print(f"{result['seconds']:.0f} s; see {folder / 'doubt.md'}", soft_wrap=True)
    return result
