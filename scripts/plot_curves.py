"""Draws how runs learned: validation by updates, for the learned gaze and for random gaze.

    python scripts/plot_curves.py RUN [RUN ...] [--out curves.png]

Takes run folders of `saccade train`, with labels (accuracy after the last glimpse) or in a world
(success), one panel each.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from saccade.agents.log import read_metrics
from saccade.figure import new_figure


def curve(folder: Path, gaze: str) -> tuple[list[int], list[float]]:
    """Updates, and the share of validation episodes that went well then."""
    lines = [line for line in read_metrics(folder) if gaze in line.get("validation", {})]
    if not lines:
        raise FileNotFoundError(f"{folder} holds no validation of a {gaze} gaze; name a run folder")
    values: list[Any] = [line["validation"][gaze] for line in lines]
    shares = [each["success"] if isinstance(each, dict) else each[-1] for each in values]
    return [line["update"] for line in lines], shares


def title(folder: Path) -> str:
    """What was learned there."""
    config = json.loads((folder / "config.json").read_text())["config"]
    return config["env"] or f"{config['data']}, {config['scene']}"


def main() -> None:
    """Draws the runs named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="picture to write")
    args = parser.parse_args()
    figure = new_figure(3.2 * len(args.runs), 2.6)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(args.runs), squeeze=False, sharey=True)[0]
    for panel, run in zip(panels, args.runs, strict=True):
        for gaze, color in (("random", "0.6"), ("learned", "C0")):
            updates, shares = curve(run, gaze)
            panel.plot(updates, [100 * share for share in shares], color=color, label=gaze)
        panel.set(title=title(run), xlabel="updates", ylim=(0, 101))
        panel.locator_params(axis="x", nbins=4)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("validation, %")
    panels[0].legend(frameon=False)
    figure.savefig(args.out, dpi=110)
    print(args.out)


if __name__ == "__main__":
    main()
