"""The report of a run: one HTML file that needs neither network nor server."""

import html
import json
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor

from saccade.agents.charts import Line, line_chart
from saccade.agents.tables import (
    accuracies,
    accuracy_section,
    confusion_section,
    gaze_color,
    percent,
)
from saccade.agents.viewer import to_hex, viewer_data
from saccade.pictures import check_scenes, get_beliefs, last_beliefs, time_colors
from saccade.scanpath import Scanpath

TIMES = {"update", "seconds"}  # not worth a curve


def write_report(
    path: str | Path,
    *,
    title: str,
    config: dict[str, Any],
    summary: dict[str, Any],
    metrics: Sequence[dict[str, Any]],
    scenes: Tensor,
    scanpath: Scanpath,
    labels: Tensor,
    classes: Sequence[str],
    without: Tensor | None = None,
) -> None:
    """Writes numbers, curves, configuration and a viewer of episodes into one HTML file.

    Args:
        path: The file to write; beside it first, then renamed.
        title: Headline of the page.
        config: The configuration, as it goes into JSON.
        summary: Results: `accuracy`, a list of fractions by glimpse for each gaze; `readers`,
            "trained" or "own", who read the gazes that were not learned; `seconds` of
            training; `confusion`, K lists of K counts on the judged set, by true class and answer
            (without it the episodes are counted). What else it holds is shown under the details.
        metrics: The lines of `metrics.jsonl`. A number becomes a curve, a list of them one
            curve for each glimpse, a dict one curve for each name (of lists the last number);
            `grad_norm_*` share a chart. Anything else is passed over.
        scenes: `(N, C, H, W)` uint8, C of 1 or 3.
        scanpath: N episodes, one on each scene. The first 64 can be watched; where scenes and
            glimpses take more than 4 MB they are stored with loss, and reduced.
        labels: `(N,)` true classes.
        classes: `K` names.
        without: `(N, T, K)` what `saccade.explain.leave_out` gave for the scanpath; with it the
            viewer tells what each glimpse changed.

    Raises:
        ValueError: If scenes, labels, classes and scanpath do not fit, before anything is
            written.
    """
    check_scenes(scenes, scanpath, labels)
    get_beliefs(scanpath, 0, classes)
    if without is not None and without.shape != scanpath.beliefs.shape:
        raise ValueError(
            f"without one glimpse there are beliefs {tuple(scanpath.beliefs.shape)}, got "
            f"{tuple(without.shape)}; give what leave_out gave for these episodes"
        )
    answers, truth = last_beliefs(scanpath).argmax(1), labels.cpu().numpy()
    parts = {
        "title": html.escape(title),
        "style": _read("report.css"),
        "script": _read("paint.js") + _read("report.js"),
        "subtitle": _subtitle(summary),
        "tiles": _tiles(summary),
        "accuracy": accuracy_section(summary),
        "confusion": confusion_section(summary, answers, truth, classes),
        "curves": _curves(metrics),
        "details": _details(summary, config),
        "data": _for_script(viewer_data(scenes, scanpath, labels, classes, without)),
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("report.html"))
    beside = Path(f"{path}.part")
    beside.write_text(page, encoding="utf-8")
    beside.replace(path)


def _read(name: str) -> str:
    """A part of the page that lies beside this file."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _subtitle(summary: dict[str, Any]) -> str:
    """On what: the names of data and scene, where the summary has them."""
    known = [str(summary[name]) for name in ("data", "scene") if summary.get(name)]
    return f"<p>{html.escape(', '.join(known))}</p>" if known else ""


def _tiles(summary: dict[str, Any]) -> str:
    """The few numbers that matter most."""
    final = {gaze: values[-1] for gaze, values in accuracies(summary).items()}
    tiles = []
    if "learned" in final:
        glimpses = len(summary["accuracy"]["learned"])
        judged = summary.get("judged", "test")
        after = f"after {glimpses} glimpse{'s' if glimpses > 1 else ''}"
        tiles.append((percent(final["learned"]) + "%", f"right on the {judged} set {after}"))
    others = {gaze: value for gaze, value in final.items() if gaze != "learned"}
    if "learned" in final and others:
        best = max(others, key=lambda gaze: others[gaze])
        gain = (final["learned"] - others[best]) * 100
        where = "ahead of" if gain >= 0 else "behind"
        tiles.append((f"{abs(gain):.1f}", f"points {where} {best} gaze"))
    if isinstance(summary.get("seconds"), Real):
        minutes, seconds = divmod(round(summary["seconds"]), 60)
        text = f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
        tiles.append((text, "of training"))
    if isinstance(summary.get("updates"), Real):
        tiles.append((f"{summary['updates']:,}", "updates"))
    boxes = (
        f'<div class="tile"><b>{html.escape(number)}</b><span>{html.escape(text)}</span></div>'
        for number, text in tiles
    )
    return f'<div class="tiles">{"".join(boxes)}</div>' if tiles else ""


def _curves(metrics: Sequence[dict[str, Any]]) -> str:
    """A chart for each metric."""
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for number, row in enumerate(metrics, 1):
        x = row["update"] if _is_number(row.get("update")) else number
        for key, value in row.items():
            if key in TIMES:
                continue
            shared = "grad_norm" if key.startswith("grad_norm_") else key
            for name, y in _named_numbers(key.removeprefix("grad_norm_"), value):
                charts.setdefault(shared, {}).setdefault(name, []).append((x, y))
    drawn = [_curve(key, lines) for key, lines in sorted(charts.items(), key=_importance)]
    if not any(drawn):
        return "<section><h2>Training</h2><p>No metrics were recorded.</p></section>"
    return f'<section><h2>Training</h2><div class="charts">{"".join(drawn)}</div></section>'


def _named_numbers(key: str, value: Any) -> list[tuple[str, float]]:
    """The curves to which a metric adds a point: their names and the number."""
    if _is_number(value):
        return [(key, float(value))]
    if isinstance(value, list) and all(map(_is_number, value)):
        return [(f"after {t}", float(y)) for t, y in enumerate(value, 1)]
    if isinstance(value, dict):
        ends = {name: y[-1] if isinstance(y, list) and y else y for name, y in value.items()}
        return [(str(name), float(y)) for name, y in ends.items() if _is_number(y)]
    return []


def _curve(key: str, lines: dict[str, list[tuple[float, float]]]) -> str:
    """The chart of one metric."""
    shares = [y for points in lines.values() for _, y in points]
    percent = key in ("accuracy", "validation", "clipped") and all(0 <= y <= 1 for y in shares)
    titles = {"accuracy": "accuracy in training", "validation": "validation, last glimpse"}
    titles |= {"grad_norm": "gradient norm", "lr": "learning rate"}
    title = titles.get(key, key.replace("_", " "))
    by_glimpse = [name for name in lines if name.startswith("after ")]
    named: dict[str, Line] = dict(lines)
    if by_glimpse:  # in the colors of time, the first and the last by name
        mix = "color-mix(in srgb, {} 80%, var(--ink))"
        colors = [mix.format(to_hex(color)) for color in time_colors(len(lines))]
        keep = (by_glimpse[0], by_glimpse[-1])
        named = {
            name if name in keep else " " * i: line
            for i, (name, line) in enumerate(lines.items(), 1)
        }
    elif len(lines) == 1:  # the title names it
        colors, named = ["var(--k0)"], {" ": next(iter(lines.values()))}
    else:
        colors = [gaze_color(name, i) for i, name in enumerate(lines)]
    return line_chart(title, named, colors, percent=percent, log=key == "grad_norm")


def _importance(item: tuple[str, Any]) -> tuple[int, str]:
    """Orders charts: what tells most first, unknown ones last."""
    known = ("accuracy", "validation", "loss_", "reward", "policy_spread", "clipped", "at_edge",
             "grad_norm")  # fmt: skip
    ranks = [rank for rank, name in enumerate(known) if item[0].startswith(name)]
    return (ranks[0] if ranks else len(known)), item[0]


def _details(summary: dict[str, Any], config: dict[str, Any]) -> str:
    """Configuration and summary as JSON, folded away; what has a table of its own left out."""
    rest = {name: value for name, value in summary.items() if name != "confusion"}
    blocks = (("Configuration", config), ("Summary", rest))
    return "".join(
        f"<details><summary>{name}</summary><pre>"
        f"{html.escape(json.dumps(values, indent=2, default=str))}</pre></details>"
        for name, values in blocks
    )


def _for_script(values: dict[str, Any]) -> str:
    """JSON that may stand inside a script element, whatever the names in it."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
