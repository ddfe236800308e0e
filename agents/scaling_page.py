"""The picture and the table of `scripts/bench_scaling.py`."""

from pathlib import Path
from typing import Any

from saccade.figure import FAINT, INK, QUIET, new_figure, style_chart

Row = dict[str, Any]

MARKS = ("<!-- scaling -->", "<!-- /scaling -->")
LINES = {  # method: color, style, width
    "saccade": ("#a23b8f", "-", 2.2),
    "cnn-equal-error": ("#1d4ed8", "-", 1.6),
    "cnn-equal-cost": ("#0e7490", "--", 1.4),
    "crop-cnn": (QUIET, ":", 1.2),
}


def draw_scaling(rows: list[Row], path: Path) -> None:
    """Time over side, and error over side, a column for each series and background.

    Each device has two lines of panels.
    """
    places = sorted({place_of(row)[:3] for row in rows})
    columns = sorted({where[1:] for where in places})
    devices = sorted({where[0] for where in places})
    figure = new_figure(2.9 * len(columns) + 0.3, 5.2 * len(devices))
    figure.set_layout_engine("constrained")
    shape = (2 * len(devices), len(columns))
    panels = figure.subplots(*shape, sharex=True, sharey="row", squeeze=False)
    for where in places:
        mine = [row for row in rows if place_of(row)[:3] == where]
        begin = 2 * devices.index(where[0])
        top, low = panels[begin : begin + 2, columns.index(where[1:])]
        methods = {row["method"] for row in mine}
        named_ones = [name for name in LINES if name in methods]
        for method in (*sorted(methods - {*LINES}), *named_ones):  # these on top of the others
            line = sorted((r for r in mine if r["method"] == method), key=lambda r: r["side"])
            color, style, width = LINES.get(method, (FAINT, "-", 0.8))
            label = method + (f" ({line[-1]['choice']})" if line[-1].get("choice") else "")
            label += ", worse" if line[-1].get("equal") is False else ""
            shown: dict[str, Any] = {"color": color, "linestyle": style, "linewidth": width}
            sides = [row["side"] for row in line]
            named = label if method in LINES else None
            top.plot(sides, [1e3 * r["seconds"] for r in line], marker=".", label=named, **shown)
            if named:
                total = [1e3 * row["total_seconds"] for row in line]
                top.plot(sides, total, color=color, linewidth=0.7, linestyle=style)
            errors = [(r["side"], r["error"]) for r in line if r["error"] is not None]
            low.plot([x for x, _ in errors], [max(y, 0.05) for _, y in errors], marker=".", **shown)
        top.set(xscale="log", yscale="log")
        low.set(yscale="log", xlabel="side of the scene, pixels")
        low.set_xticks(sides, [str(side) for side in sides])
        low.minorticks_off()
        top.set_title(_title(*where), color=INK, fontsize=9, loc="left")
        top.legend(frameon=False, fontsize=6, labelcolor=INK)
        for panel in (top, low):
            style_chart(panel, 7)
            panel.grid(color=FAINT, linewidth=0.4)
    for top, low in panels[:, 0].reshape(-1, 2):
        top.set_ylabel("one scene, ms (thin: with prepare)")
        low.set_ylabel("test error, %")
    figure.savefig(path)


def make_table(rows: list[Row]) -> str:
    """Markdown: the pairings at every side, then all systems at the largest."""
    lines = []
    largest = max(row["side"] for row in rows)
    for where in sorted({place_of(row)[:3] for row in rows}):
        mine = [row for row in rows if place_of(row)[:3] == where]
        lines += [
            f"\n**{_title(*where)}** (ms: `seconds` + `prepare_seconds`)\n",
            "| side | saccade, ms | error | CNN of equal error, ms | error | ratio | of sums | "
            "CNN of equal cost, ms | error | crop, error |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for side in sorted({row["side"] for row in mine}):
            at = {row["method"]: row for row in mine if row["side"] == side}
            agent, same, cost = (at.get(name) for name in list(LINES)[:3])
            ratios = (_ratio(same, agent, name) for name in ("seconds", "total_seconds"))
            cells = [*_both(agent), *_both(same, True), *ratios, *_both(cost, True)]
            lines.append(f"| {side} | " + " | ".join(cells) + f" | {_error(at.get('crop-cnn'))} |")
    lines += [
        f"\n**All systems, detail and proportional, on photographs, at side {largest}**\n",
        "| device | series | method | error | 95 % | scenes | seconds, ms | prepare, ms | GFLOPs | "
        "peak MB | read MB | parameters | minutes learned |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["side"] == largest and row["background"] == "photo" and not row["choice"]:
            span = row["interval"] and "{:.1f} to {:.1f}".format(*row["interval"])
            count = row["scenes"] or ""
            lines.append(
                f"| {row['device']} | {row['series']} | {row['method']} | {_error(row)} | "
                f"{span or ''} | {count} | "
                f"{1e3 * row['seconds']:.2f} | {1e3 * row['prepare_seconds']:.2f} | "
                f"{row['flops'] / 1e9:.3f} | {row['peak_bytes'] / 1e6:.1f} | "
                f"{row['bytes_read'] / 1e6:.2f} | {row['params']:,} | {row['train_minutes']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def write_page(path: Path, table: str) -> None:
    """Puts the table between the marks of a page.

    Raises:
        ValueError: If the page has no marks.
    """
    text = path.read_text()
    begin, end = (text.find(mark) for mark in MARKS)
    if begin < 0 or end < begin:
        raise ValueError(f"{path} has no {MARKS[0]} ... {MARKS[1]}")
    path.write_text(text[: begin + len(MARKS[0])] + "\n" + table + text[end:])


def place_of(row: Row) -> tuple[str, str, str, int]:
    """Device, series, background and side of a row."""
    return row["device"], row["series"], row["background"], row["side"]


def _title(device: str, series: str, background: str) -> str:
    return f"{series}, {background}" + ("" if device == "cpu" else f", {device}")


def _error(row: Row | None) -> str:
    return "" if row is None or row["error"] is None else f"{row['error']:.1f}"


def _ratio(same: Row | None, agent: Row | None, key: str) -> str:
    if same is None or agent is None:
        return ""
    times = same[key] / agent[key]
    return f"{times:,.{1 if times < 10 else 0}f}"


def _both(row: Row | None, named: bool = False) -> tuple[str, str]:
    if row is None:
        return "", ""
    name = f" {row['choice']}" if named else ""
    name += ", no equal" if row.get("equal") is False else ""
    return f"{1e3 * row['seconds']:.2f} + {1e3 * row['prepare_seconds']:.2f}{name}", _error(row)
