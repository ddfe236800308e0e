"""The report of a run: one HTML file that needs neither network nor server."""

import base64
import html
import json
import math
import re
from collections.abc import Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from saccade.agents.charts import Line, line_chart
from saccade.geometry import to_pixels, window_starts
from saccade.pictures import (
    UNSEEN,
    check_scenes,
    count_taken,
    get_beliefs,
    resize,
    time_colors,
    to_picture,
    top_classes,
    verdict,
)
from saccade.scanpath import Scanpath

EPISODES = 32  # in the viewer, at most
VALUES = 4_000_000  # pixels times channels of all scenes together, and of all glimpses
GAZES = ("learned", "random", "center", "raster")  # fixes their colors
TIMES = {"update", "seconds"}  # not worth a curve
READERS = {
    "trained": "Each gaze was read by a network trained for it, for the same number of updates.",
    "own": "The agent's own reader read them all; trained on the learned gaze, it favors that.",
}


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
) -> None:
    """Writes numbers, curves, configuration and a viewer of episodes into one HTML file.

    Args:
        path: The file to write; beside it first, then renamed.
        title: Headline of the page.
        config: The configuration, as it goes into JSON.
        summary: Results: `accuracy`, a list of fractions by glimpse for each gaze; `readers`,
            "trained" or "own", who read the gazes that were not learned; `seconds` of
            training. What else it holds is shown under the details.
        metrics: The lines of `metrics.jsonl`. A number becomes a curve, a list of them one
            curve for each glimpse, a dict one curve for each name (of lists the last number);
            `grad_norm_*` share a chart. Anything else is passed over.
        scenes: `(N, C, H, W)` uint8, C of 1 or 3.
        scanpath: N episodes, one on each scene. The first 32 can be watched, fewer where their
            glimpses are very large; large scenes are reduced.
        labels: `(N,)` true classes.
        classes: `K` names.

    Raises:
        ValueError: If scenes, labels, classes and scanpath do not fit, before anything is
            written.
    """
    check_scenes(scenes, scanpath, labels)
    parts = {
        "title": html.escape(title),
        "subtitle": _subtitle(summary),
        "tiles": _tiles(summary),
        "accuracy": _accuracy(summary),
        "curves": _curves(metrics),
        "details": _details(summary, config),
        "data": _for_script(_viewer_data(scenes, scanpath, labels, classes)),
    }
    page = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)
    beside = Path(f"{path}.part")
    beside.write_text(page, encoding="utf-8")
    beside.replace(path)


def _subtitle(summary: dict[str, Any]) -> str:
    """On what: the names of data and scene, where the summary has them."""
    known = [str(summary[name]) for name in ("data", "scene") if summary.get(name)]
    return f"<p>{html.escape(', '.join(known))}</p>" if known else ""


def _tiles(summary: dict[str, Any]) -> str:
    """The few numbers that matter most."""
    final = {gaze: values[-1] for gaze, values in _accuracies(summary).items()}
    tiles = []
    if "learned" in final:
        glimpses = len(summary["accuracy"]["learned"])
        after = f"after {glimpses} glimpse{'s' if glimpses > 1 else ''}"
        tiles.append((_percent(final["learned"]) + "%", f"right on the test set {after}"))
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


def _accuracies(summary: dict[str, Any]) -> dict[str, list[float]]:
    """Accuracy by glimpse for each gaze that has one."""
    return {gaze: values for gaze, values in summary.get("accuracy", {}).items() if values}


def _accuracy(summary: dict[str, Any]) -> str:
    """Chart and table: accuracy by glimpse for each gaze."""
    accuracy = _accuracies(summary)
    if not accuracy:
        return ""
    lines = {gaze: list(enumerate(values, 1)) for gaze, values in accuracy.items()}
    chart = line_chart(
        "Right after each glimpse",
        lines,
        [_gaze_color(gaze) for gaze in lines],
        across="glimpse",
        percent=True,
        marks=True,
        width=420,
    )
    count = max(len(values) for values in accuracy.values())
    head = "".join(f'<th scope="col">{t}</th>' for t in range(1, count + 1))
    best = [max((v[t] for v in accuracy.values() if t < len(v)), default=0) for t in range(count)]
    rows = []
    for gaze, values in accuracy.items():
        cells = [_cell(value, value == top) for value, top in zip(values, best, strict=False)]
        cells += ["<td></td>"] * (count - len(values))
        rows.append(f'<tr><th scope="row">{html.escape(gaze)}</th>{"".join(cells)}</tr>')
    scenes = summary.get("images_by_split", {}).get("test")
    on = f"{scenes:,} test scenes" if isinstance(scenes, int) else "the test set"
    readers = READERS.get(str(summary.get("readers")), "")
    caption = f"Percent right on {on} after each glimpse. {readers}"
    table = (
        f'<div class="scroll"><table><caption>{html.escape(caption)}</caption><thead><tr>'
        f'<th scope="col">gaze</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    return f'<section><h2>Accuracy by glimpse</h2><div class="split">{chart}{table}</div></section>'


def _cell(share: float, best: bool) -> str:
    kind = ' class="best"' if best else ""
    return f"<td{kind}>{_percent(share)}</td>"


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
        colors = [mix.format(_hex(color)) for color in time_colors(len(lines))]
        keep = (by_glimpse[0], by_glimpse[-1])
        named = {
            name if name in keep else " " * i: line
            for i, (name, line) in enumerate(lines.items(), 1)
        }
    elif len(lines) == 1:  # the title names it
        colors, named = ["var(--k0)"], {" ": next(iter(lines.values()))}
    else:
        colors = [_gaze_color(name, i) for i, name in enumerate(lines)]
    return line_chart(title, named, colors, percent=percent, log=key == "grad_norm")


def _importance(item: tuple[str, Any]) -> tuple[int, str]:
    """Orders charts: what tells most first, unknown ones last."""
    known = ("accuracy", "validation", "loss_", "reward", "policy_spread", "clipped", "grad_norm")
    ranks = [rank for rank, name in enumerate(known) if item[0].startswith(name)]
    return (ranks[0] if ranks else len(known)), item[0]


def _details(summary: dict[str, Any], config: dict[str, Any]) -> str:
    """Configuration and summary as JSON, folded away."""
    blocks = (("Configuration", config), ("Summary", summary))
    return "".join(
        f"<details><summary>{name}</summary><pre>"
        f"{html.escape(json.dumps(values, indent=2, default=str))}</pre></details>"
        for name, values in blocks
    )


def _viewer_data(
    scenes: Tensor, scanpath: Scanpath, labels: Tensor, classes: Sequence[str]
) -> dict[str, Any]:
    """What the page's script draws the episodes from; lengths are in pixels of the scene."""
    channels, height, width = scenes.shape[1:]
    count = min(len(scanpath), EPISODES, max(1, VALUES // scanpath.glimpses[0].numel()))
    scanpath = scanpath[:count].cpu()
    fitting = math.sqrt(VALUES / (count * channels * height * width))
    longest = max(height, width) if fitting >= 1 else int(max(height, width) * fitting)
    retina, size = scanpath.retina, (height, width)
    colors = time_colors(scanpath.num_glimpses)
    episodes = []
    for n in range(count):
        taken, label = count_taken(scanpath, n), int(labels[n])
        where = scanpath.locations[n, :taken]
        starts = window_starts(where, retina.size, retina.scales, retina.factor, *size)
        beliefs = get_beliefs(scanpath, n, classes)
        shown = top_classes(beliefs, 6, label)
        said, right = verdict(scanpath, n, classes, label)
        episodes.append(
            {
                "scene": _png(resize(to_picture(scenes[n]), longest), channels),
                "sprite": _png(_sprite(scanpath, n), channels),
                "spots": to_pixels(where, *size).round(decimals=2).tolist(),
                "starts": starts.tolist(),
                "shown": shown,
                "beliefs": beliefs[:, shown].astype(float).round(4).tolist(),
                "label": label,
                "answer": shown[0],
                "said": said,
                "right": right,
            }
        )
    return {
        "height": height,
        "width": width,
        "size": retina.size,
        "sides": retina.sides,
        "unseen": f"rgb{UNSEEN}",
        "colors": [_hex(color) for color in colors],
        "inks": ["#fff" if color @ (0.3, 0.6, 0.1) < 0.5 else "#1f2430" for color in colors],
        "classes": list(classes),
        "episodes": episodes,
    }


def _sprite(scanpath: Scanpath, episode: int) -> np.ndarray:
    """All glimpses of an episode in one picture: a row a glimpse, a column a scale."""
    glimpses = scanpath.glimpses[episode, : count_taken(scanpath, episode)]  # (t, S, C, g, g)
    taken, scales, channels, g, _ = glimpses.shape
    sheet = glimpses.permute(2, 0, 3, 1, 4).reshape(channels, taken * g, scales * g)
    return to_picture(sheet)


def _png(picture: np.ndarray, channels: int) -> str:
    """A picture as a data address; grey ones are stored as such."""
    import cv2

    stored = picture[..., 0] if channels == 1 else picture[..., ::-1]
    _, data = cv2.imencode(".png", np.ascontiguousarray(stored), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()


def _for_script(values: dict[str, Any]) -> str:
    """JSON that may stand inside a script element, whatever the names in it."""
    return json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _percent(share: float) -> str:
    return f"{share * 100:.1f}"


def _hex(color: np.ndarray) -> str:
    return "#" + "".join(f"{round(float(part) * 255):02x}" for part in color)


def _gaze_color(name: str, otherwise: int = 4) -> str:
    return f"var(--k{GAZES.index(name) if name in GAZES else otherwise % 6})"
