"""What the commands of `saccade` can be told: the options of each, with their help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from saccade.agents.config import TrainConfig
from saccade.agents.export import Format

Preset = Literal[
    "default", "mnist-cpu", "mnist-wide", "mnist-gpu", "mnist-canvas", "mnist-plain",
    "mnist-glance", "translated-60", "cluttered-60", "cluttered-100", "demo", "catch", "search",
    "track",
]  # fmt: skip


@dataclass(frozen=True)
class Train(TrainConfig):
    """Train a saccadic agent; every option has its unit and reason beside it."""

    preset: Preset = "default"
    """Options to begin from; others on the command line change them."""
    config: Path | None = None
    """Options to begin from, in a JSON file, such as the config.json of a run."""
    resume: bool = False
    """Take up the run in the folder --out where it was saved last, to the very same numbers."""


@dataclass(frozen=True)
class Evaluate:
    """Measure a trained agent on a test set: one episode an image, the policy's mode."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NAME_OR_RUN")]
    """Name of a shipped agent, such as cluttered-60-8g, or a run folder."""
    data: str | None = None
    """Other data than it was trained on, of the same classes and size; see `train --help`."""
    json: Path | None = None
    """File to write the figures to."""
    device: str = "cpu"
    """Where to compute: "cpu" (one thread, the same bits each time), "cuda", or "auto"."""


@dataclass(frozen=True)
class Doubt:
    """Ask a sceptic's questions of trained agents: when to stop, when to doubt, how they break."""

    runs: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME_OR_RUN ...")
    ]
    """Name of a shipped agent, or a run folder; several seeds of a task are also taken together."""
    json: Path | None = None
    """File to write all figures to."""
    data: str | None = None
    """Other data than it was trained on, of the same classes and size; see `train --help`."""
    out: Path | None = None
    """Folder for doubt.md, doubt.json and pictures; RUN/doubt, or runs/NAME/doubt, unless given."""
    quick: bool = False
    """Look at fewer scenes: figures are coarser, and come in seconds."""
    readers: int = 0
    """Updates to train a reader for random, center, raster and best fixed gaze each, where the run
    has none; where the agent had more, one is trained for as long beside them. Beside a shipped
    agent they learn by its row's recipe. 0 trains none."""
    references: int = 0
    """Updates to train networks for that see the whole scene, to break beside the agent; 0 takes
    those that were trained before."""
    device: str = "cpu"
    """Where to compute: "cpu" (one thread, the same bits each time), "cuda", or "auto"."""


@dataclass(frozen=True)
class Watch:
    """See where an agent looks and what it sees there: a picture, a GIF and an MP4."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="NAME_OR_RUN")]
    """Name of a shipped agent, such as cluttered-60-8g, or a run folder."""
    images: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="IMAGES")] = None
    """A picture, or a folder of them, to look at; without it, scenes that the run was judged on."""
    out: Path | None = None
    """Folder for gaze.png, gaze.gif and gaze.mp4; the run folder, or runs/NAME, unless given."""
    count: int = 6
    """How many episodes to show."""
    window: bool = False
    """Play in a window instead; where there is no screen, files are written all the same."""


@dataclass(frozen=True)
class Report:
    """Make one self-contained HTML file of a run, report.html in its folder."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder."""


@dataclass(frozen=True)
class ExportGaze:
    """Write an agent's gaze for other tools: a plain table, BIDS eye tracking, or pymovements."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_SCANPATH")]
    """Run folder, or a scanpath.safetensors; its episodes become images 0, 1, 2, ..."""
    out: Path
    """File to write; for bids a folder, new or empty."""
    format: Format = "csv"
    """csv: image, subject, index, x, y, duration_ms, in pixels from the top left. bids: a dataset
    of simulated eye tracking. pymovements: a table of events, in ms and pixels."""
    subject: str = "agent"
    """Name of the agent in the table, letters and digits."""
    duration_ms: int = 250
    """How long a fixation is said to last, as a glimpse takes no time; 0 leaves it open (csv)."""


@dataclass(frozen=True)
class Demo:
    """Train on digits drawn on the fly, for minutes, and leave pictures and a report."""

    out: Path = Path("runs/demo")
    """Run folder; what another version left there is replaced."""
    threads: int = 0
    """CPU threads; 0 takes one for each core."""
