"""Pictures of what `saccade doubt` measures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from saccade.figure import FAINT, INK, QUIET, RIGHT, WRONG, new_chart, new_figure, style_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"confidence": "#2563eb", "entropy": "#c026d3", "learned": RIGHT}
FEW = 10  # answers: a bin of fewer says nothing
COLORS_OF_WAYS = {"raw": WRONG, "scaled": "#2563eb", "by entropy": RIGHT}


def draw_all(result: dict[str, Any], folder: Path) -> list[Path]:
    """Writes stopping.png, reliability.png, risk.png and corruptions.png into a folder."""
    charts = {
        "stopping.png": draw_stopping(result),
        "reliability.png": draw_reliability(result),
        "risk.png": draw_risk(result),
        "corruptions.png": draw_corruptions(result),
    }
    for name, ax in charts.items():
        ax.get_figure(root=True).savefig(folder / name)  # type: ignore[union-attr]
    return [folder / name for name in charts]


def draw_stopping(result: dict[str, Any]) -> "Axes":
    """Error over mean glimpses: the same number for all scenes, and by each rule."""
    ax = new_chart(5.2, 3.4)
    total = result["glimpses"]
    ax.plot(range(1, total + 1), result["anytime"], "o-", color=INK, ms=3.5, lw=1.2,
            label="the same for all")  # fmt: skip
    for kind, rule in result["stop"]["rules"].items():
        curve = np.array(rule["curve"])
        ax.plot(
            curve[:, 0],
            curve[:, 1],
            color=COLORS[kind],
            lw=1.4,
            label=kind,
        )
        chosen = rule["chosen"]
        ax.plot(chosen["glimpses"], chosen["error"], "D", color=COLORS[kind], ms=5)
    ax.set(xlabel="mean glimpses", ylabel="test error, %")
    if min(result["anytime"]) > 0:
        ax.set_yscale("log")
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="y", color=FAINT, lw=0.5)
    ax.legend(frameon=False, fontsize=8, labelcolor=QUIET)
    ax.set_title(
        "Stopping early; diamonds: chosen on validation", fontsize=9, color=INK, loc="left"
    )
    style_chart(ax)
    ax.tick_params(which="minor", length=0)
    return ax


def draw_reliability(result: dict[str, Any]) -> "Axes":
    """Share right over confidence, raw and scaled, without bins of fewer than `FEW` answers."""
    diagrams = result["belief"]["diagram"]
    figure = new_figure(0.4 + 3 * len(diagrams), 3.3)
    for number, (t, ways) in enumerate(diagrams.items()):
        wide = 0.4 + 3 * len(diagrams)
        ax = figure.add_axes(((0.6 + 3 * number) / wide, 0.15, 2.5 / wide, 0.73))
        ax.plot([0, 1], [0, 1], color=FAINT, lw=1)
        for way, color in COLORS_OF_WAYS.items():
            points = np.array(ways[way])
            size = 4 + 60 * points[:, 2] / points[:, 2].sum()
            often = points[:, 2] >= FEW
            points, size = points[often], size[often]
            error = result["belief"][way]["ece"][int(t) - 1]
            label = f"{way}: ECE {error:.2f} %"
            ax.plot(points[:, 0], points[:, 1], color=color, lw=1, label=label)
            ax.scatter(points[:, 0], points[:, 1], s=size, color=color, lw=0)
        ax.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share right")
        ax.set_title(
            f"after {t} glimpse{'s' if t != '1' else ''}", fontsize=9, color=INK, loc="left"
        )
        ax.legend(frameon=False, fontsize=8, labelcolor=QUIET)
        style_chart(ax)
    return ax


def draw_risk(result: dict[str, Any]) -> "Axes":
    """Error among the surest answers, over how many these are."""
    ax = new_chart(4.8, 3.2)
    styles = {"raw": "-", "by entropy": "--"}
    for number, (t, ways) in enumerate(result["belief"]["risk"].items()):
        for way, style in styles.items():
            line = np.array(ways[way])
            area = result["belief"][way]["aurc"][int(t) - 1]
            ax.plot(line[:, 0], line[:, 1], style, color=(WRONG, "#2563eb")[number % 2],
                    lw=1.3, label=f"{t} glimpses, {way}: AURC {area:.2f} %")  # fmt: skip
    ax.set(xlabel="answered, %", ylabel="error among them, %", xlim=(0, 100))
    ax.set_ylim(bottom=0)
    ax.grid(axis="y", color=FAINT, lw=0.5)
    ax.legend(frameon=False, fontsize=7.5, labelcolor=QUIET)
    ax.set_title("Risk and coverage", fontsize=9, color=INK, loc="left")
    style_chart(ax)
    return ax


def draw_corruptions(result: dict[str, Any]) -> "Axes":
    """Errors by kind and severity of corruption, a map for each system."""
    table = result["corrupted"]
    errors, severities = table["errors"], table["severities"]
    kinds = [name for name in next(iter(errors.values())) if name not in ("clean", "mean")]
    cell, left = 0.34, 1.25
    each = cell * (len(severities) + 1) + 0.25
    wide, tall = left + each * len(errors) + 0.1, 0.55 + 0.2 * len(kinds) + 0.35
    figure = new_figure(wide, tall)
    for number, (name, row) in enumerate(errors.items()):
        values = np.array([[row["clean"], *row[kind]] for kind in kinds])
        ax = figure.add_axes(
            (
                (left + each * number) / wide,
                0.35 / tall,
                cell * (len(severities) + 1) / wide,
                0.2 * len(kinds) / tall,
            )
        )
        ax.imshow(values, cmap="OrRd", vmin=0, vmax=100, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            ax.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=5.5,
                    color="white" if value > 55 else INK)  # fmt: skip
        ax.set_xticks(range(len(severities) + 1), ["0", *map(str, severities)])
        ax.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds]
                      if not number else [""] * len(kinds))  # fmt: skip
        ax.set_title(f"{name}: {row['mean']:.1f} %", fontsize=8, color=INK, loc="left")
        style_chart(ax, 6.5)
        ax.spines[:].set_visible(False)
        ax.set_xlabel("severity")
    return ax
