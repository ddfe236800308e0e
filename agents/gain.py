"""What a learned gaze adds: it beside random, center and raster gaze and the best fixed scanpath.

If it does not beat the best path that is the same for every scene, looking was not worth learning.
That path is found greedily on training scenes, glimpse by glimpse, among the places of a grid. It
is fair only where each gaze has a reader trained for it.
"""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from saccade.agent import Agent, load
from saccade.agents.checkpoint import read_json
from saccade.agents.evaluate import evaluate
from saccade.agents.fit import fit
from saccade.agents.full_look import Seen, look_fully
from saccade.agents.gaze import SCRIPTS, Gaze, Script
from saccade.agents.reinforce import Reinforce, make_scenes
from saccade.agents.weights import Trained
from saccade.counter import fold, make_key, row_keys
from saccade.data import Splits
from saccade.scenes import SceneMaker

FIXED = cast(Gaze, "fixed")


@torch.no_grad()
def best_fixed(agent: Agent, scenes: Tensor, labels: Tensor, grid: int = 7) -> Tensor:
    """The fixed scanpath of least cross-entropy, each glimpse the best one after those before.

    Args:
        agent: Its reader judges; best one that was trained on random gaze, which favors no place.
        scenes: `(N, C, H, W)` of the training set.
        labels: `(N,)`.
        grid: Places a side; they are the centers of grid x grid fields of the scene.

    Returns:
        `(T, 2)`, (x, y) in [-1, 1].
    """
    spec, network = agent.spec, agent.network
    axis = (2 * torch.arange(grid, device=scenes.device) + 1) / grid - 1
    places = torch.cartesian_prod(axis, axis)  # (grid * grid, 2)
    scene, state = spec.retina.prepare(scenes, looks=spec.glimpses * 49), network.start(len(scenes))
    path: list[Tensor] = []
    for _ in range(spec.glimpses):
        losses = []
        for place in places:
            location = place.expand(len(scenes), 2)
            after = network.see(spec.retina.look(scene, location), location, state)
            losses.append(F.cross_entropy(network.answer(after), labels))
        path.append(places[int(torch.stack(losses).argmin())])
        location = path[-1].expand(len(scenes), 2)
        state = network.see(spec.retina.look(scene, location), location, state)
    return torch.stack(path)


def fixed_gaze(path: Tensor) -> Script:
    """A script that looks along a path `(T, 2)`."""

    def gaze(t: int, total: int, key: Tensor) -> Tensor:
        return path[t].to(key.device).expand(len(key), 2)

    return gaze


@contextmanager
def fixed_script(path: Tensor) -> Iterator[Gaze]:
    """Lends the path a name among the scripts, so that a reader can be trained for it."""
    SCRIPTS[FIXED] = fixed_gaze(path)
    try:
        yield FIXED
    finally:
        del SCRIPTS[FIXED]


def training_keys(count: int, device: torch.device | str) -> Tensor:
    """Keys of scenes of training images; of no test, and met in no training."""
    return row_keys(fold(make_key(3_000_017, device), "doubt"), count)


def measure_policy(
    agent: Agent,
    maker: SceneMaker,
    keys: Tensor,
    seen: Seen,
    path: Tensor,
    readers: Mapping[str, list[float]],
    updates: int,
) -> dict[str, Any]:
    """Test errors in % by gaze after each glimpse: read by the agent itself, and by readers.

    Args:
        agent: Who looks, and reads for gazes without a reader.
        maker: Of the test scenes.
        keys: Of the test scenes.
        seen: The agent's own look at them.
        path: `(T, 2)` the best fixed scanpath.
        readers: Accuracies after each glimpse of gazes with a reader trained for them; "learned"
            among them where the agent itself was trained for another number of updates.
        updates: How long these were trained.

    Returns:
        `own` and, where there are readers, `trained`, each gaze for the same `reader_updates`;
        `gain`, by how many points the learned gaze errs less than the best other one there:
        with `readers` of their own ("trained") or with the agent's ("own").
    """
    index = torch.arange(len(keys), device=keys.device)
    own: dict[str, list[float]] = {"learned": (100 * (1 - seen.right.double().mean(0))).tolist()}
    for name, script in {**SCRIPTS, FIXED: fixed_gaze(path)}.items():
        parts = [
            look_fully(agent, maker(i, fold(k, "scene")), k, gaze=script).logits.argmax(-1)
            for i, k in zip(index.split(500), keys.split(500), strict=True)
        ]
        right = torch.cat(parts) == seen.labels[:, None]
        own[name] = (100 * (1 - right.double().mean(0))).tolist()
    found: dict[str, Any] = {"own": own, "path": path.tolist()}
    if readers:
        found["trained"] = {
            "learned": own["learned"],
            **{name: [100 * (1 - value) for value in values] for name, values in readers.items()},
        }
        found["reader_updates"] = updates
    found["readers"] = "trained" if readers else "own"
    errors = {name: values[-1] for name, values in found[found["readers"]].items()}
    learned = errors.pop("learned")
    found["best_other"] = min(errors, key=lambda name: errors[name])
    found["gain"] = min(errors.values()) - learned
    return found


def known_readers(run: Path) -> tuple[dict[str, list[float]], int]:
    """Accuracies of the readers that a training left in its run folder, and their updates."""
    if not (run / "summary.json").is_file():
        return {}, 0
    summary = read_json(run / "summary.json")
    if summary.get("readers") != "trained" or summary.get("judged", "test") != "test":
        return {}, 0
    accuracy: dict[str, list[float]] = summary["accuracy"]
    scripts = [str(name) for name in SCRIPTS if name in accuracy]
    return {name: accuracy[name] for name in scripts}, summary["updates"]


def train_reader(
    trained: Trained, splits: Splits, gaze: Gaze, updates: int, folder: Path, console: Console
) -> tuple[Agent, list[float]]:
    """Trains a reader for a gaze by the agent's own recipe; goes on where it was stopped.

    For "learned" gaze the policy is trained with it.

    Returns:
        The reader, and its accuracy after each glimpse on the test set.
    """
    config = replace(trained.config, gaze=gaze, readers=False, updates=updates, out=folder)
    config = replace(config, begin="")  # each is trained whole
    config = replace(config, compile=False)  # of many readers each would be compiled anew
    learner = Reinforce(config, splits, splits.test.images.device)
    fit(learner, console)
    found = evaluate(
        learner.network,
        make_scenes(config, splits.test),
        "test",
        glimpses=config.glimpses,
        first=config.first,
        gaze=gaze,
    )
    return Agent(learner.network.eval(), trained.agent.spec), found.accuracy


def find_path(trained: Trained, splits: Splits, reader: Agent | None, count: int) -> Tensor:
    """The best fixed scanpath on training scenes, as judged by a reader or by the agent itself."""
    maker = make_scenes(trained.config, splits.train)
    keys = training_keys(len(splits.train), splits.train.images.device)[:count]
    index = torch.arange(len(keys), device=keys.device)
    scenes = maker(index, fold(keys, "scene"))
    return best_fixed(reader or trained.agent, scenes, splits.train.labels[: len(keys)])


def compare_gazes(
    trained: Trained,
    splits: Splits,
    run: Path,
    folder: Path,
    updates: int,
    count: int,
    console: Console,
    *,
    own: bool,
) -> tuple[Tensor, dict[str, list[float]], int]:
    """The best fixed scanpath, the readers there are, and how long they were trained.

    Readers that are trained less than the agent are no match for it, so that an agent is trained
    for as long as they are.

    Args:
        trained: The agent.
        splits: The data.
        run: Its run folder; readers that were trained with it are taken from there.
        folder: Where readers are trained that are missing.
        updates: For how long; 0 trains none.
        count: Training scenes to find the path on.
        console: Where progress is shown.
        own: Whether the agent has learned on this very data: on other data it needs readers and a
            match that have learned there.

    Returns:
        `(T, 2)` path, accuracies by glimpse for each gaze with a reader, and updates.
    """
    readers, length = known_readers(run) if own else ({}, 0)
    judge = load(run / "readers" / "random") if "random" in readers else None
    if judge is not None:
        judge = Agent(judge.network.to(splits.test.images.device), judge.spec)
    if not updates:
        return find_path(trained, splits, judge, count), readers, length
    if length != updates:
        readers, judge = {}, None
    known = own and updates == trained.config.updates and not trained.config.begin
    learned: list[Gaze] = [] if known else ["learned"]
    for gaze in [gaze for gaze in (*learned, *SCRIPTS) if gaze not in readers]:
        reader, readers[gaze] = train_reader(trained, splits, gaze, updates, folder / gaze, console)
        judge = reader if gaze == "random" else judge
    path = find_path(trained, splits, judge, count)
    with fixed_script(path) as gaze:
        place = folder / f"{gaze}-{zlib.crc32(path.cpu().numpy().tobytes()):08x}"
        _, readers[gaze] = train_reader(trained, splits, gaze, updates, place, console)
    return path, readers, updates
