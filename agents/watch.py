"""What a person looks at: pictures, an animation and a report of a run's episodes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.agent import load
from saccade.agents.checkpoint import load_episodes, read_json
from saccade.agents.log import read_metrics
from saccade.folders import SUFFIXES, read_image
from saccade.scanpath import Scanpath


class Episodes(NamedTuple):
    """Episodes to show: scenes `(N, C, H, W)`, N episodes, class names, labels if known `(N,)`."""

    scenes: Tensor
    scanpath: Scanpath
    classes: Sequence[str]
    labels: Tensor | None


def run_episodes(folder: Path, count: int) -> Episodes:
    """The first episodes of a run's test set.

    Raises:
        FileNotFoundError: If there is no run, or it has not ended.
        ValueError: If a file is broken.
    """
    classes = read_json(folder / "config.json")["agent"]["classes"]
    scanpath, scenes, labels = load_episodes(folder)
    return Episodes(scenes[:count], scanpath[:count], classes, labels[:count])


def look_at_files(folder: Path, images: Path, count: int) -> Episodes:
    """Lets the agent of a run look at a picture, or at the first pictures of a folder.

    Pictures are fitted to the size of scene that the agent was trained on.

    Raises:
        FileNotFoundError: If there is no run, no such path, or no picture in it.
        ValueError: If a picture cannot be read.
    """
    agent = load(folder)
    if not images.exists():
        raise FileNotFoundError(f"there is no picture or folder {images}")
    files = [images]
    if images.is_dir():
        files = sorted(path for path in images.iterdir() if path.suffix.lower() in SUFFIXES)
        if not files:
            kinds = ", ".join(sorted(SUFFIXES))
            raise FileNotFoundError(f"there is no picture in {images} (looked for {kinds})")
    spec = agent.spec
    scenes = torch.stack(
        [fit_picture(path, spec.channels, spec.height, spec.width) for path in files[:count]]
    )
    return Episodes(scenes, agent.look(scenes), spec.classes, None)


def fit_picture(path: Path, channels: int, height: int, width: int) -> Tensor:
    """Reads a picture and scales it to fit a canvas, keeping its aspect, centered on black.

    Returns:
        `(channels, height, width)` uint8, grey or RGB.

    Raises:
        ValueError: If the file cannot be read as an image.
    """
    import cv2

    picture: np.ndarray = read_image(path)
    if channels == 1 and picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    elif channels == 3 and picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(picture, size, interpolation=way).reshape(size[1], size[0], channels)
    canvas = np.zeros((height, width, channels), np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = picture
    return torch.from_numpy(canvas.transpose(2, 0, 1).copy())


def make_pictures(episodes: Episodes, folder: Path) -> list[Path]:
    """Writes `gaze.png` and `gaze.gif` of some episodes into a folder; returns their paths."""
    from saccade.animate import animate, write_gif
    from saccade.draw import draw_episodes

    still, moving = folder / "gaze.png", folder / "gaze.gif"
    every = range(len(episodes.scanpath))
    beside = folder / "gaze.png.part"
    draw_episodes(*episodes, episodes=every).savefig(beside, format="png")
    beside.replace(still)
    write_gif(moving, animate(*episodes, episodes=every))
    return [still, moving]


def prepare_report(folder: Path) -> Callable[[], Path]:
    """Reads what a report needs; what it returns writes `report.html` and gives its path.

    Raises:
        FileNotFoundError: If there is no run, or it has not ended.
        ValueError: If a file is broken.
    """
    from saccade.agents.report import write_report

    values, summary = read_json(folder / "config.json"), read_json(folder / "summary.json")
    classes, metrics = values["agent"]["classes"], read_metrics(folder)
    scanpath, scenes, labels = load_episodes(folder)
    path = folder / "report.html"

    def make() -> Path:
        write_report(
            path,
            title="Where it looked",
            config=values["config"],
            summary=summary,
            metrics=metrics,
            scenes=scenes[:32],
            scanpath=scanpath[:32],
            labels=labels[:32],
            classes=classes,
        )
        return path

    return make
