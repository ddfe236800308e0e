"""The benchmark suite: its tasks, its rows by name, and what each row trains.

The tasks of Mnih et al. 2014, "Recurrent Models of Visual Attention", tables 1 and 2. A row is a
task with a budget of glimpses (`cluttered-60-8g`), the same looked at by a script with a reader
trained for it (`cluttered-60-8g/random`), or a network that sees whole scenes
(`cluttered-60/fc-64`).

Recipes are those of `presets.PRESETS`; a row chooses only glimpses, gaze and augmentation, and a
recipe whose scenes or retina are not the task's is refused.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_args

from saccade.agents.config import TrainConfig
from saccade.agents.gaze import SCRIPTS, Gaze
from saccade.agents.presets import PRESETS
from saccade.agents.references import RATE, REFERENCES

SEEDS_HEADLINE, SEEDS = 5, 3


@dataclass(frozen=True)
class Task:
    """One task of the suite.

    Attributes:
        preset: The recipe it is trained by.
        counts: Budgets of glimpses.
        headline: The budget that gets `SEEDS_HEADLINE` seeds.
        world: Options that make the task what it is; a recipe must have the same.
        others: Recipes of budgets that another one serves better; 0 is that of whole scenes.
        paper: Test errors in % of the paper (NIPS version), by budget for its agent, by method
            for others; as text where only recalled, with "?" behind.
        rebuilt: Test errors in % by budget of the best re-implementation that keeps to it: no
            thumbnail, no choice by the test set; "?" behind where it is not said whether answers
            are means over several episodes of an image.
    """

    preset: str
    counts: tuple[int, ...]
    headline: int
    world: dict[str, Any]
    paper: Mapping[int | str, str]
    rebuilt: Mapping[int, str]
    others: Mapping[int, str] = field(default_factory=dict)


_60 = {"factor": 2, "size": 12, "scales": 3, "side": 60}
_CLUTTER = {"scene": "cluttered", "clutter_size": 8}
TASKS = {
    "centered-28": Task(
        "mnist-cpu", (2, 3, 4, 5, 6, 7), 6,
        {"scene": "centered", "factor": 2, "size": 8, "scales": 1},
        {2: "3.79", 3: "1.51", 4: "1.54", 5: "1.34", 6: "1.12", 7: "1.07", "fc-256": "1.69",
         "cnn-paper": "1.21"},
        {2: "7.70?", 4: "1.07?", 6: "0.67?"},
        {2: "mnist-glance", 0: "mnist-wide"},
    ),
    "translated-60": Task(
        "translated-60", (4, 6, 8), 8, {"scene": "translated", **_60},
        {4: "1.54", 6: "1.22", 8: "1.20", "fc-64": "6.42", "fc-256": "2.63", "cnn-paper": "1.62"},
        {4: "1.54", 6: "1.08", 8: "0.94"},
    ),
    "cluttered-60": Task(
        "cluttered-60", (4, 6, 8), 8, {**_CLUTTER, **_60, "clutter": 4},
        {4: "4.96", 6: "4.08", 8: "4.04", "8/random": "14.4", "fc-64": "28.58", "fc-256": "11.96",
         "cnn-paper": "8.09"},
        {4: "5.15", 6: "3.33", 8: "2.63"},
    ),
    "cluttered-100": Task(
        "cluttered-100", (4, 6, 8), 8,
        {**_CLUTTER, **_60, "side": 100, "scales": 4, "clutter": 8},
        {4: "9.41?", 6: "8.31?", 8: "8.11?", "8/random": "28.4?", "cnn-paper": "14.35?"},
        {4: "14.86", 6: "8.3", 8: "5.9"},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of the suite.

    Attributes:
        task: A name in `TASKS`.
        glimpses: The budget; 0 for networks that see whole scenes.
        method: "saccade", a script's name, or a name in `REFERENCES`.
    """

    task: str
    glimpses: int
    method: str

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        budget = f"-{self.glimpses}g" if self.glimpses else ""
        return f"{self.task}{budget}" + ("" if self.method == "saccade" else f"/{self.method}")

    @property
    def preset(self) -> str:
        """The recipe it is trained by."""
        task = TASKS[self.task]
        return task.others.get(self.glimpses, task.preset)

    @property
    def seeds(self) -> int:
        """How many seeds the protocol asks for."""
        headline = self.method == "saccade" and self.glimpses == TASKS[self.task].headline
        return SEEDS_HEADLINE if headline else SEEDS

    @property
    def gaze(self) -> Gaze | None:
        """Who moves the eye; None where whole scenes are seen."""
        if self.method == "saccade":
            return "learned"
        return next((gaze for gaze in get_args(Gaze) if gaze == self.method), None)

    @property
    def paper(self) -> str:
        """The paper's error in %, "" where it has none."""
        numbers = TASKS[self.task].paper
        if not self.glimpses:
            return numbers.get(self.method, "")
        key = self.glimpses if self.method == "saccade" else f"{self.glimpses}/{self.method}"
        return numbers.get(key, "")


def _rows() -> dict[str, Row]:
    rows = []
    for name, task in TASKS.items():
        rows += [Row(name, count, "saccade") for count in task.counts]
        rows += [Row(name, count, script) for count in task.counts for script in SCRIPTS]
        rows += [Row(name, 0, method) for method in REFERENCES]
    return {row.name: row for row in rows}


ROWS: dict[str, Row] = _rows()


def find_row(name: str) -> Row:
    """The row of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in ROWS:
        some = "centered-28-6g, cluttered-60-8g/random, cluttered-60/fc-64"
        raise ValueError(f"there is no row {name!r}; rows are called like {some} (--list)")
    return ROWS[name]


def row_config(row: Row, preset: str = "", augment: bool | None = None) -> TrainConfig:
    """The recipe of a row.

    Args:
        row: What to train; networks that see whole scenes take of a recipe only scenes, batch and
            updates, and have a learning rate of their own.
        preset: A recipe in place of the row's own.
        augment: Whether to augment; as the recipe says unless given.

    Raises:
        ValueError: If the recipe has other scenes or another retina than the task.
    """
    task = TASKS[row.task]
    preset = preset or row.preset
    if preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}; choose from {', '.join(PRESETS)}")
    config = PRESETS[preset]
    for name, value in task.world.items():
        if getattr(config, name) != value:
            raise ValueError(
                f"preset {preset} has {name} {getattr(config, name)}, but {row.task} is {value}"
            )
    augment = config.augment if augment is None else augment
    config = replace(config, augment=augment, bend=config.bend if augment else 0.0)
    if row.gaze is None:
        names = ("data", "scene", "side", "clutter", "clutter_size", "augment", "bend", "batch",
                 "updates", "minutes")  # fmt: skip
        return TrainConfig(lr=RATE, **{name: getattr(config, name) for name in names})
    return replace(config, glimpses=row.glimpses, gaze=row.gaze, readers=False)


def find_task(config: TrainConfig, side: int) -> str:
    """The task that a configuration trains on scenes of this side; "" where it is none of them."""
    for name, task in TASKS.items():
        same = all(getattr(config, option) == value for option, value in task.world.items())
        if same and name.endswith(f"-{side}"):
            return name
    return ""


def train_arguments(config: TrainConfig, preset: str) -> list[str]:
    """The arguments of `saccade train` that give this configuration, beginning from a preset."""
    arguments = ["--preset", preset]
    for each in fields(TrainConfig):
        value, flag = getattr(config, each.name), each.name.replace("_", "-")
        if value == getattr(PRESETS[preset], each.name):
            continue
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments += [f"--{flag}", str(value)]
    return arguments


def train_command(config: TrainConfig, preset: str) -> str:
    """What trains the same in any folder, from any place that has the data.

    An agent that it begins from has to lie in runs/begun. Every option is spelled out, so that it
    stays true when the preset becomes another.
    """
    data = config.data if config.data in ("digits", "mnist") else PRESETS[preset].data
    begin = "runs/begun" if config.begin else ""
    config = replace(config, out=PRESETS["default"].out, data=data, begin=begin)
    return shlex.join(["saccade", "train", *train_arguments(config, "default")[2:]])
