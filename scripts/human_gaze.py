"""How well does an agent's gaze foretell where a person looks? Beside what the center alone does.

    python scripts/human_gaze.py [--run RUN] [--quick] [--data DIR] [--out DIR] [--json PATH]

Reads the OSIE data in DIR/eyetracking (default $SACCADE_DATA): 15 people, 64 photographs (Xu et
al. 2014). Every row of the tables foretells each person's gaze on each photograph:

- agent: that of --run, on the photographs in the size it was trained on. Without --run an agent
  is trained here, as by `scripts/demo`, on drawn digits: it has never seen a photograph, and is
  only there to fill the row
- random: fixations drawn uniformly
- center: fixations that never leave the center
- saliency: spectral residual (Hou & Zhang 2007) and its peaks, highest first
- center bias: what people do on other photographs. What is no better has learned the center
- other people: the 14 others on the same photograph, leaving the person out: the ceiling

The center fools everyone, so read the agent's row against center and center bias, not against 0.
Scanpaths are compared over as many fixations as the agent has, from the first on; maps are scored
by all of a person's fixations. A map made of fixations puts a Gaussian of 24 pixels (the data's
own) around each. Information gain is that of an even mixture of map and center bias over the
center bias alone, so -1 is the worst. A dash is what has no meaning: agents have no durations, and
a gaze that does not move has no direction.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from saccade.agent import Agent, load
from saccade.agents.checkpoint import describe_machine, write_json
from saccade.agents.presets import PRESETS
from saccade.agents.reinforce import Reinforce
from saccade.compare import dtw, multimatch, scanmatch, string_edit
from saccade.counter import make_key, row_keys, uniform
from saccade.data import load as load_data
from saccade.fixation_tables import read_fixations
from saccade.fixations import Fixations
from saccade.folders import read_image
from saccade.maps import auc_judd, center_bias, density_map, information_gain, nss
from saccade.saliency import look_at_peaks, spectral_residual
from saccade.statistics import coverage, describe

Floats = NDArray[np.float64]

HEIGHT, WIDTH, SIGMA = 600, 800, 24.0  # of the photographs; of a fixation's Gaussian
GRAIN = 4  # pixels of a photograph in a side of a map's pixel
MAP: dict[str, Any] = {"height": HEIGHT // GRAIN, "width": WIDTH // GRAIN, "sigma": SIGMA / GRAIN}
UPDATES, QUICK_UPDATES, QUICK_IMAGES = PRESETS["demo"].updates, 150, 8

SCANPATHS = ("shape", "direction", "length", "position", "duration", "ScanMatch", "edits", "DTW px")
MAPS = ("NSS", "AUC", "gain, bits")
MOVES = ("amplitude px", "sideways", "coverage %")


class Prediction(NamedTuple):
    """A way to foretell the gaze of N viewers.

    Attributes:
        paths: P scanpaths.
        viewers: `(P,)` which viewer each of them foretells, 0..N-1; several for one are averaged.
        density: Gives the `(H, W)` map that foretells viewer n.
    """

    paths: Fixations
    viewers: NDArray[np.int64]
    density: Callable[[int], Floats]


def main() -> None:
    """Prints the tables and writes the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="run folder of the agent; else one is trained")
    parser.add_argument("--quick", action="store_true", help="few photographs, little training")
    parser.add_argument("--data", type=Path, help="folder with eyetracking/; else $SACCADE_DATA")
    parser.add_argument("--out", type=Path, default=Path("runs/human_gaze"), help="for the picture")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console()
    console.width = max(console.width, 100)  # the tables' width, also where it is piped
    try:
        folder = find_data(args.data)
        agent = None if args.run is None else load(args.run)
        if args.json is not None and not args.json.absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no folder {args.json.absolute().parent}")
        everyone = read_fixations(folder / "fixations.csv", height=HEIGHT, width=WIDTH)
        photos = read_photos(folder / "stimuli", QUICK_IMAGES if args.quick else None)
    except (OSError, ValueError) as error:
        sys.exit(f"human_gaze: {error}")
    who = f"agent of {args.run}"
    if agent is None:
        updates = QUICK_UPDATES if args.quick else UPDATES
        who = f"agent trained here on drawn digits, {updates} updates: it never saw a photograph"
        agent = train_on_digits(updates)
    people = everyone[np.isin(everyone.images, list(photos))]
    bias = center_bias(everyone, photos, uniform=0.01, **MAP)
    rows = predict(people, everyone, photos, agent, bias)
    results = {name: score(people, row, bias, agent.spec.glimpses) for name, row in rows.items()}
    show(results, console, agent.spec.glimpses, f"{len(people)} gazes, {len(photos)} photographs")
    console.print(who, soft_wrap=True)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "gaze.png"
    draw(people, rows, bias, photos, path)
    console.print(str(path), soft_wrap=True)
    if args.json is not None:
        values = {"agent": who, "photographs": list(photos), "rows": without_nan(results)}
        write_json(args.json, values | describe_machine(torch.device("cpu")))


def find_data(data: Path | None) -> Path:
    """The folder of the eye movements.

    Raises:
        FileNotFoundError: If there is none.
    """
    named = data or os.environ.get("SACCADE_DATA")
    if not named:
        raise FileNotFoundError("name the folder of eyetracking/ by --data or SACCADE_DATA")
    folder = Path(named) / "eyetracking"
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    return folder


def read_photos(folder: Path, count: int | None) -> dict[str, NDArray[np.uint8]]:
    """Photographs by name, `(600, 800, 3)`; with a count so many, evenly spread."""
    files = sorted(folder.glob("*.jpg"))
    chosen = files if count is None else files[:: max(1, len(files) // count)][:count]
    photos = {}
    for path in chosen:
        photo = read_image(path)
        if photo.shape[:2] != (HEIGHT, WIDTH):
            raise ValueError(f"{path} is not of {WIDTH} x {HEIGHT} pixels")
        photos[path.stem] = photo if photo.ndim == 3 else np.repeat(photo[..., None], 3, 2)
    if len(photos) < 2:
        raise FileNotFoundError(f"there are not two photographs in {folder}")
    return photos


def train_on_digits(updates: int) -> Agent:
    """The agent of `scripts/demo`, without its readers."""
    config = replace(PRESETS["demo"], updates=updates, readers=False, threads=1, device="cpu")
    splits = load_data(config.data, seed=config.seed)
    learner = Reinforce(config, splits, torch.device("cpu"))
    for _ in range(updates):
        learner.update()
    return Agent(learner.network.eval(), learner.spec)


def look(agent: Agent, photos: dict[str, NDArray[np.uint8]]) -> Fixations:
    """The agent's gaze on the photographs, made as large as the scenes that it knows."""
    import cv2

    spec = agent.spec
    shrink = min(spec.height / HEIGHT, spec.width / WIDTH)
    size = (max(1, round(WIDTH * shrink)), max(1, round(HEIGHT * shrink)))
    scenes = [cv2.resize(photo, size, interpolation=cv2.INTER_AREA) for photo in photos.values()]
    if spec.channels == 1:
        scenes = [cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[..., None] for scene in scenes]
    scanpath = agent.look(torch.from_numpy(np.stack(scenes)).permute(0, 3, 1, 2).contiguous())
    return replace(Fixations.from_scanpath(scanpath, list(photos)), height=HEIGHT, width=WIDTH)


def predict(
    people: Fixations,
    everyone: Fixations,
    photos: dict[str, NDArray[np.uint8]],
    agent: Agent,
    bias: Floats,
) -> dict[str, Prediction]:
    """All rows of the tables."""
    names = np.array(list(photos))
    image = np.array([int(np.flatnonzero(names == name)[0]) for name in people.images])  # (N,)
    viewers = np.arange(len(people))
    glimpses = agent.spec.glimpses
    gaze = look(agent, photos)
    shape = {"height": MAP["height"], "width": MAP["width"]}
    salient = np.stack([spectral_residual(photo, **shape) for photo in photos.values()])
    drawn = uniform(row_keys(make_key(0), len(people)), glimpses, 2).double().numpy() * 2 - 1
    center = replace(gaze, locations=np.zeros_like(gaze.locations))
    tops = replace(gaze, locations=look_at_peaks(salient, glimpses, MAP["width"] / 10))
    strangers = everyone[~np.isin(everyone.images, names)]
    same = (image[:, None] == image) & ~np.eye(len(people), dtype=bool)  # (N, N)
    viewer, other = np.nonzero(same)

    def spots(paths: Fixations, n: int) -> Floats:
        return density_map(paths.locations[n], **MAP)

    return {
        "agent": Prediction(gaze[image], viewers, lambda n: spots(gaze, image[n])),
        "random": Prediction(
            replace(gaze[image], locations=drawn),
            viewers,
            lambda n: density_map(drawn[n], **MAP),
        ),
        "center": Prediction(center[image], viewers, lambda n: spots(center, image[n])),
        "saliency": Prediction(tops[image], viewers, lambda n: salient[image[n]]),
        "center bias": Prediction(strangers[viewers * 7 % len(strangers)], viewers, lambda n: bias),
        "other people": Prediction(
            people[other], viewer, lambda n: density_map(people.locations[same[n]], **MAP)
        ),
    }


def score(people: Fixations, row: Prediction, bias: Floats, glimpses: int) -> dict[str, Any]:
    """Every measure: its mean, and the standard error of that over photographs."""
    paths, persons = row.paths.first(glimpses), people[row.viewers].first(glimpses)
    pairs = [*multimatch(paths, persons), scanmatch(paths, persons)]
    pairs += [string_edit(paths, persons), dtw(paths, persons)]
    values = dict(zip(SCANPATHS, (per_viewer(each, row.viewers) for each in pairs), strict=True))
    scored = np.empty((len(people), len(MAPS)))
    for n in range(len(people)):
        density, seen = row.density(n), people.locations[n]
        mixed = (density / density.sum() + bias) / 2
        scored[n] = (
            nss(density, seen), auc_judd(density, seen), information_gain(mixed, bias, seen),
        )  # fmt: skip
    values |= dict(zip(MAPS, scored.T, strict=True))
    means, errors = {}, {}
    for name, each in values.items():
        by_photo = [each[people.images == photo] for photo in np.unique(people.images)]
        averages = np.array([np.nanmean(v) if np.isfinite(v).any() else np.nan for v in by_photo])
        means[name] = float(averages.mean())
        errors[name] = float(averages.std(ddof=1) / np.sqrt(len(averages)))
    told = describe(paths)
    means |= {"amplitude px": told.mean, "sideways": told.horizontal}
    means["coverage %"] = 100 * float(coverage(paths, SIGMA).mean())
    return {"mean": means, "standard error": errors, "saccades": told._asdict()}


def per_viewer(values: Floats, viewers: NDArray[np.int64]) -> Floats:
    """Means of `(P,)` values for each viewer; NaN where a viewer has none."""
    known = np.isfinite(values)
    count = np.bincount(viewers[known], minlength=viewers.max() + 1)
    total = np.bincount(viewers[known], values[known], minlength=viewers.max() + 1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def show(results: dict[str, Any], console: Console, glimpses: int, amount: str) -> None:
    """Prints the tables."""
    titles = {
        f"Scanpath against scanpath, first {glimpses} fixations ({amount})": SCANPATHS,
        "Map against all fixations": MAPS,
        f"How it moves, first {glimpses} fixations": MOVES,
    }
    for title, columns in titles.items():
        table = Table(title=title, title_justify="left", box=box.MARKDOWN)
        table.add_column("foretold by", no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
        for name, result in results.items():
            numbers = [result["mean"][column] for column in columns]
            cells = zip(columns, numbers, strict=True)
            table.add_row(name, *(form(column, number) for column, number in cells))
        console.print(table)


def form(column: str, number: float) -> str:
    """A cell of a table."""
    if np.isnan(number):
        return "-"
    digits = 0 if column.endswith("px") else 1 if column.endswith("%") else 2
    return f"{number:.{digits}f}"


def without_nan(values: Any) -> Any:
    """The same for JSON, which knows no NaN but null."""
    if isinstance(values, dict):
        return {name: without_nan(value) for name, value in values.items()}
    return None if isinstance(values, float) and np.isnan(values) else values


def draw(
    people: Fixations,
    rows: dict[str, Prediction],
    bias: Floats,
    photos: dict[str, NDArray[np.uint8]],
    path: Path,
) -> None:
    """Writes a picture: a person's gaze, where the others looked, and how it was foretold."""
    from saccade.draw import draw_fixations
    from saccade.figure import new_figure

    chosen = list(photos)[:: max(1, len(photos) // 4)][:4]
    heads = ("one person", "the other people", "center bias", "saliency", "agent")
    wide, tall, gap, head = 2.6, 1.95, 0.08, 0.3
    size = (5 * (wide + gap) + gap, head + len(chosen) * (tall + gap))
    figure = new_figure(*size)
    for line, name in enumerate(chosen):
        n = int(np.flatnonzero(people.images == name)[0])
        photo = photos[name]
        lit = [
            None, rows["other people"].density(n), bias, rows["saliency"].density(n), None,
        ]  # fmt: skip
        gazes = [people[n], None, None, rows["saliency"].paths[n], rows["agent"].paths[n]]
        for column, (light, gaze) in enumerate(zip(lit, gazes, strict=True)):
            x, y = gap + column * (wide + gap), head + line * (tall + gap)
            place = (x / size[0], 1 - (y + tall) / size[1], wide / size[0], tall / size[1])
            ax = figure.add_axes(place)
            shown = photo if light is None else spotlight(photo, light)
            if gaze is None:
                ax.imshow(shown)
                ax.set_axis_off()
            else:
                draw_fixations(shown.transpose(2, 0, 1), gaze, 0, ax=ax)
            if not line:
                ax.set_title(heads[column], fontsize=8)
    beside = path.with_name(path.name + ".part")
    figure.savefig(beside, format="png")
    beside.replace(path)


def spotlight(photo: NDArray[np.uint8], density: Floats) -> NDArray[np.uint8]:
    """A photograph that is bright where a map is high."""
    import cv2

    light = np.sqrt(cv2.resize(density / density.max(), (WIDTH, HEIGHT)).clip(0, 1))[..., None]
    return np.asarray((photo * (0.25 + 0.75 * light)).round(), np.uint8)


if __name__ == "__main__":
    main()
