"""Tables of a report, as HTML: accuracy by glimpse and gaze, and what was taken for what."""

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.agents.charts import line_chart

GAZES = ("learned", "random", "center", "raster")  # fixes their colors
MATRIX = 24  # classes that a matrix still shows well
PAIRS = 10  # mistakes that are listed
READERS = {
    "trained": "Each gaze was read by a network trained for it, for the same number of updates.",
    "own": "The agent's own reader read them all; trained on the learned gaze, it favors that.",
}


def accuracies(summary: dict[str, Any]) -> dict[str, list[float]]:
    """Accuracy by glimpse for each gaze that has one."""
    return {gaze: values for gaze, values in summary.get("accuracy", {}).items() if values}


def gaze_color(name: str, otherwise: int = 4) -> str:
    """The CSS color of a gaze, or of another line of that number."""
    return f"var(--k{GAZES.index(name) if name in GAZES else otherwise % 6})"


def percent(share: float) -> str:
    """A share with one digit after the point."""
    return f"{share * 100:.1f}"


def accuracy_section(summary: dict[str, Any]) -> str:
    """Chart and table: accuracy by glimpse for each gaze; empty where there is none."""
    accuracy = accuracies(summary)
    if not accuracy:
        return ""
    lines = {gaze: list(enumerate(values, 1)) for gaze, values in accuracy.items()}
    chart = line_chart(
        "Right after each glimpse",
        lines,
        [gaze_color(gaze) for gaze in lines],
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
    readers = READERS.get(str(summary.get("readers")), "")
    caption = f"Percent right on {_judged_scenes(summary)} after each glimpse. {readers}"
    table = (
        f'<div class="scroll"><table><caption>{html.escape(caption)}</caption><thead><tr>'
        f'<th scope="col">gaze</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
    return f'<section><h2>Accuracy by glimpse</h2><div class="split">{chart}{table}</div></section>'


def confusion_section(
    summary: dict[str, Any], answers: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> str:
    """What was taken for what: the commonest mistakes, and a matrix where it is not too large.

    Args:
        summary: May hold `confusion`, counts `(K, K)` on all scenes it was judged on: rows are the
            true classes, columns the answers.
        answers: `(N,)` answers in the recorded episodes, counted where the summary has none.
        labels: `(N,)` true classes.
        classes: `K` names.
    """
    known, count = summary.get("confusion"), len(classes)
    if known is None:
        counts = np.zeros((count, count), int)
        np.add.at(counts, (labels, answers), 1)
        on = f"the {len(labels)} episodes that were recorded"
    else:
        counts, on = np.asarray(known, int).reshape(count, count), _judged_scenes(summary)
    tables = [_matrix(counts, classes, on)] if count <= MATRIX else []
    tables.append(_mistakes(counts, classes, on))
    boxes = "".join(f'<div class="scroll">{table}</div>' for table in tables)
    return f'<section><h2>What was taken for what</h2><div class="split">{boxes}</div></section>'


def _matrix(counts: np.ndarray, classes: Sequence[str], on: str) -> str:
    """Rows of true classes, columns of answers; a cell is as strong as its share of the row."""
    names = [html.escape(name) for name in classes]
    head = "".join(f'<th scope="col" title="{name}">{name}</th>' for name in names)
    rows = []
    for truth, (name, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        cells = []
        for answer, number in enumerate(row):
            share = number / max(sum(row), 1)
            shade = "--right" if answer == truth else "--wrong"
            style = f' style="--share:{share:.3f};--shade:var({shade})"' if number else ""
            full = ' class="full"' if share > 0.45 else ""
            title = f"{name} taken for {names[answer]}: {share:.1%} of its {sum(row)}"
            cells.append(f'<td{full}{style} title="{title}">{number or ""}</td>')
        rows.append(f'<tr><th scope="row" title="{name}">{name}</th>{"".join(cells)}</tr>')
    caption = f"Rows are what it was, columns what it said, on {on}. Shades are shares of a row."
    return (
        f'<table class="matrix"><caption>{html.escape(caption)}</caption><thead><tr><td></td>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _mistakes(counts: np.ndarray, classes: Sequence[str], on: str) -> str:
    """The commonest mistakes, with their share of the true class."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [divmod(int(spot), len(classes)) for spot in order]
    rows = [
        f"<tr><td>{html.escape(classes[truth])}</td><td>{html.escape(classes[answer])}</td>"
        f"<td>{wrong[truth, answer]}</td>"
        f"<td>{percent(wrong[truth, answer] / counts[truth].sum())}</td></tr>"
        for truth, answer in pairs
        if wrong[truth, answer]
    ]
    if not rows:
        return f"<p>No mistake on {html.escape(on)}.</p>"
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("it was", "it said", "times", "%"))
    caption = f"The commonest mistakes on {on}; percent of what it was."
    return (
        f'<table class="names"><caption>{html.escape(caption)}</caption><thead><tr>{heads}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _judged_scenes(summary: dict[str, Any]) -> str:
    judged = summary.get("judged", "test")
    scenes = summary.get("images_by_split", {}).get(judged)
    return f"{scenes:,} {judged} scenes" if isinstance(scenes, int) else f"the {judged} set"


def _cell(share: float, best: bool) -> str:
    kind = ' class="best"' if best else ""
    return f"<td{kind}>{percent(share)}</td>"
