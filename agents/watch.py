"""What a person looks at: pictures, an animation and a report of a run's episodes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.agent import load
from saccade.agents.checkpoint import load_episodes, read_json
from saccade.agents.log import read_metrics
from saccade.agents.weights import open_trained
from saccade.agents.window import KEYS, can_open_window, play
from saccade.data import load as load_data
from saccade.folders import SUFFIXES, read_image
from saccade.scanpath import Scanpath

ROWS = 16  # episodes drawn in rows, with all that is to be said of each
GRID = 256  # episodes in a grid


class Episodes(NamedTuple):
    """Episodes to show: scenes `(N, C, H, W)`, N episodes, class names, labels if known `(N,)`."""

    scenes: Tensor
    scanpath: Scanpath
    classes: Sequence[str]
    labels: Tensor | None


def run_episodes(folder: Path, count: int) -> Episodes:
    """The first episodes of a run's test set, or of what it was judged on.

    Raises:
        FileNotFoundError: If there is no run, or it has not ended.
        ValueError: If a file is broken.
    """
    classes = read_json(folder / "config.json")["agent"]["classes"]
    scanpath, scenes, labels = load_episodes(folder)
    return Episodes(scenes[:count], scanpath[:count], classes, labels[:count])


def shipped_episodes(name: str, count: int, say: Callable[[str], None]) -> Episodes:
    """The first episodes of a shipped agent's test set.

    Where its data is not at hand it looks at digits drawn on the fly, which is said.

    Raises:
        FileNotFoundError: If there is no agent of that name.
        ValueError: If its file is broken.
    """
    trained = open_trained(name)
    try:
        splits = load_data(trained.config.data)
    except FileNotFoundError:
        say(f"{trained.config.data} is not here: digits drawn on the fly are shown instead")
        splits = load_data("digits")
    trained.check(splits)
    seen = trained.look(splits.test, "test", count=count)
    spec = trained.agent.spec
    return Episodes(seen.scenes[:count], seen.scanpath[:count], spec.classes, seen.labels[:count])


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


def make_still(episodes: Episodes, folder: Path) -> Path:
    """Writes `gaze.png`: a row an episode or, where they are many, a grid of the first ones."""
    from saccade.gallery import draw_episodes, draw_gallery

    path, beside = folder / "gaze.png", folder / "gaze.png.part"
    count = len(episodes.scanpath)
    if count <= ROWS:
        figure = draw_episodes(*episodes, episodes=range(count))
    else:
        figure = draw_gallery(*episodes, episodes=range(min(count, GRID))).figure  # type: ignore[assignment]
    figure.savefig(beside, format="png")
    beside.replace(path)
    return path


def make_gif(episodes: Episodes, folder: Path) -> Path:
    """Writes `gaze.gif`: the episodes one after the other, as many as a GIF holds.

    Raises:
        ValueError: If it does not hold the first one.
    """
    from saccade.animate import animate
    from saccade.video import MOST, write_gif

    path, every = folder / "gaze.gif", range(len(episodes.scanpath))
    frames = np.cumsum([len(animate(*episodes, episodes=[n])) for n in every])
    fitting = max(int(np.searchsorted(frames, MOST, "right")), 1)
    write_gif(path, animate(*episodes, episodes=every[:fitting]))
    return path


def make_video(episodes: Episodes, folder: Path) -> Path:
    """Writes `gaze.mp4`: the episodes one after the other.

    Raises:
        ValueError: If this OpenCV writes no MP4.
    """
    from saccade.animate import animate
    from saccade.video import write_mp4

    path = folder / "gaze.mp4"
    write_mp4(path, animate(*episodes, episodes=range(len(episodes.scanpath))))
    return path


def make_pictures(episodes: Episodes, folder: Path) -> list[Path]:
    """Writes `gaze.png` and `gaze.gif` of some episodes into a folder; returns their paths."""
    return [make_still(episodes, folder), make_gif(episodes, folder)]


def watch_episodes(
    episodes: Episodes, folder: Path, window: bool, say: Callable[[str], None]
) -> None:
    """Plays episodes in a window, or writes `gaze.png`, `gaze.gif` and `gaze.mp4` into a folder.

    Args:
        episodes: What to show.
        folder: Where to write; made where it is not there.
        window: Whether a window is wanted; where none can be opened files are written.
        say: Takes what there is to say: each file that was written, and what cannot be done.
    """
    if window:
        if can_open_window():
            say(KEYS)
            play([partial(_frames, episodes, n) for n in range(len(episodes.scanpath))])
            return
        say("no window can be opened here: there is no screen, or OpenCV is a headless one")
    folder.mkdir(parents=True, exist_ok=True)
    for make in (make_still, make_gif, make_video):
        try:
            say(str(make(episodes, folder)))
        except ValueError as error:
            say(str(error))


def _frames(episodes: Episodes, number: int) -> list[np.ndarray]:
    """The frames of one episode, large enough for a window."""
    from saccade.animate import animate

    return list(animate(*episodes, episodes=[number], side=420))


def prepare_report(folder: Path) -> Callable[[], Path]:
    """Reads what a report needs; what it returns writes `report.html` and gives its path.

    Raises:
        FileNotFoundError: If there is no run, or it has not ended.
        ValueError: If a file is broken, or the agent was not trained on images.
    """
    from saccade.agents.report import write_report
    from saccade.explain import leave_out

    values = read_json(folder / "config.json")
    if values["config"].get("env"):
        raise ValueError(
            f"{folder} was trained in an environment; see it by saccade watch {folder}"
        )
    summary = read_json(folder / "summary.json")
    agent, metrics = load(folder), read_metrics(folder)
    scanpath, scenes, labels = load_episodes(folder)
    path = folder / "report.html"

    def make() -> Path:
        write_report(
            path,
            title="Where it looked",
            config=values["config"],
            summary=summary,
            metrics=metrics,
            scenes=scenes,
            scanpath=scanpath,
            labels=labels,
            classes=agent.spec.classes,
            without=leave_out(agent, scanpath),
        )
        return path

    return make
