"""The benchmark's results as Markdown, beside the paper's."""

from pathlib import Path
from typing import Any

from saccade.agents.gaze import SCRIPTS
from saccade.agents.references import REFERENCES
from saccade.agents.suite import TASKS, Row

BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
Rows = list[dict[str, Any]]


def make_table(rows: Rows) -> str:
    """Three tables: agents, gazes at an equal budget, and networks that see whole scenes."""
    order = list(TASKS)
    rows = sorted(rows, key=lambda row: (order.index(row["task"]), row["glimpses"], row["device"]))
    parts = [_agents(rows), _gazes(rows), _whole(rows)]
    notes = (
        "Test error in %, mean over seeds, with the 95 % interval of that mean (Student's t; "
        "of two seeds it says little); one episode an image, at the policy's mode; bold where it "
        "is below all that stands beside it. Paper: Mnih et al. 2014, NIPS version, as quoted by "
        "others; without augmentation. "
        "Rebuilt: the best re-implementation that keeps to the budget (28x28: dHonerkamp 2019; "
        "else slundqui, tfRAM, 2018, whose gaze is drawn, not at its mode). ? could not be "
        "confirmed, or may be a mean over episodes. A differentiable model has 3.36 on "
        "cluttered-100 with 8 glimpses (Gregor et al. 2015)."
    )
    if any(row["trained_for"] > row["glimpses"] for row in rows):
        notes += (
            " Trained for a larger budget: the first glimpses of that agent, which does not know "
            "how many will follow."
        )
    if any(map(_slips, rows)):
        notes += (
            " Eye slips: no image is altered, but each glimpse to learn from lies beside the "
            "place that it is believed to be at, which is a jitter of its own."
        )
    if any(map(_reads_canvas, rows)):
        notes += (
            " Canvas: a small convolutional network reads what was seen, laid where it was seen."
        )
    if any(row.get("begun") for row in rows):
        notes += " Added: the agent was trained without it first, and stayed as it was."
    if any(row["augmented"] for row in rows):
        notes += " \\* with augmented training images."
    if not all(row["complete"] for row in rows):
        notes += " ~ cut short: fewer images than its recipe asks for."
    return "\n\n".join([part for part in parts if part] + [notes])


def put_table(text: str, table: str) -> str:
    """A text with what stands between its two comment markers replaced by a table.

    Raises:
        ValueError: If it has not both markers, once, in order.
    """
    ends = text.count(BEGIN), text.count(END)
    if ends != (1, 1) or text.index(BEGIN) > text.index(END):
        raise ValueError(f"there must be one {BEGIN} and, after it, one {END} to write between")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def write_table(rows: Rows, path: Path) -> None:
    """Puts the table between the markers of a file."""
    text = put_table(path.read_text(), make_table(rows))
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    beside.replace(path)


def _agents(rows: Rows) -> str:
    """A line for each row of agents; for a budget without one, that it was not trained."""
    lines = []
    agents = [row for row in rows if row["method"] == "saccade"]
    asked = {(name, count) for name, task in TASKS.items() for count in task.counts}
    places = asked | {(row["task"], row["glimpses"]) for row in agents}
    for task, count in sorted(places, key=lambda place: (list(TASKS).index(place[0]), place[1])):
        kind, rebuilt = Row(task, count, "saccade"), TASKS[task].rebuilt.get(count, "")
        here = [row for row in agents if (row["task"], row["glimpses"]) == (task, count)]
        if agents and not here:
            lines.append([task, str(count), "", "", kind.paper, rebuilt, "", "", "", "", "not yet"])
        for row in here:
            lines.append(_agent(row, kind, rebuilt))
    head = ["task", "glimpses", "error", "95 %", "paper", "rebuilt", "seeds", "augmented",
            "supervision beside labels", "device", "trained"]  # fmt: skip
    return _markdown(head, lines)


def _agent(row: dict[str, Any], kind: Row, rebuilt: str) -> list[str]:
    error, low_high = f"{row['error']:.2f}", row["interval"]
    others = [float(each.rstrip("?")) for each in (kind.paper, rebuilt) if each]
    leads = row["headline"] and all(row["error"] < other for other in others)
    seeds = f"{row['seeds']}" + (f" of {kind.seeds}" if row["seeds"] < kind.seeds else "")
    return [
        row["task"],
        str(row["glimpses"]),
        f"**{error}**" if leads else error,
        f"{low_high[0]:.2f} to {low_high[1]:.2f}" if low_high else "",
        kind.paper,
        rebuilt,
        seeds,
        ("yes" if row["augmented"] else "no") + (", eye slips" if _slips(row) else ""),
        row["extra_supervision"],
        _devices(row),
        ("" if row["trained_for"] == row["glimpses"] else f"for {row['trained_for']}, ")
        + ("to the end" if row["complete"] else "cut short")
        + (", canvas" + (" added" if row.get("begun") else "") if _reads_canvas(row) else ""),
    ]


def _devices(row: dict[str, Any]) -> str:
    """Where it was trained: both, where the canvas that was added learned elsewhere."""
    if not row.get("begun"):
        return str(row["device"])
    here = "cuda" if row["hardware"]["gpu"] else "cpu"
    return ", then ".join(dict.fromkeys((row["begun"]["device"], here)))


def _slips(row: dict[str, Any]) -> bool:
    return "slip" in row["recipe"]


def _reads_canvas(row: dict[str, Any]) -> bool:
    return "canvas" in row["recipe"]


def _gazes(rows: Rows) -> str:
    """A line for each budget for which a script was trained, beside the headline agent."""
    lines = []
    for row in rows:
        if not row["headline"]:
            continue
        found = [_best(rows, row["task"], row["glimpses"], script) for script in SCRIPTS]
        if any(found):
            cells = [_cell(each) for each in (row, *found)]
            paper = Row(row["task"], row["glimpses"], "random").paper
            cells[1] += f" (paper {paper})" if paper else ""
            lines.append([row["task"], str(row["glimpses"]), *cells])
    return _markdown(["task", "glimpses", "learned gaze", *SCRIPTS], lines)


def _whole(rows: Rows) -> str:
    lines = []
    for task in TASKS:
        found = {name: _best(rows, task, 0, name) for name in REFERENCES}
        if any(found.values()):
            papers = [Row(task, 0, name).paper for name in REFERENCES]
            cells = [
                (_cell(row) + (f" (paper {paper})" if paper else "")).strip()
                for row, paper in zip(found.values(), papers, strict=True)
            ]
            lines.append([task, *cells])
    return _markdown(["task, whole scenes", *REFERENCES], lines)


def _best(rows: Rows, task: str, glimpses: int, method: str) -> dict[str, Any] | None:
    """Of a method's rows the one with the least validation error: references at their best."""
    place = task, glimpses, method
    found = [row for row in rows if (row["task"], row["glimpses"], row["method"]) == place]
    return min(found, key=lambda row: sum(row["validation"]) / row["seeds"], default=None)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    marks = ("\\*" if row["augmented"] else "") + ("" if row["complete"] else "~")
    wanted, longer = Row(row["task"], row["glimpses"], row["method"]).seeds, row["trained_for"]
    notes = [f"{row['seeds']} of {wanted} seeds"] if row["seeds"] < wanted else []
    notes += [f"trained for {longer}"] if longer > row["glimpses"] else []
    return f"{row['error']:.2f}{marks}" + (f" ({', '.join(notes)})" if notes else "")


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    if not lines:
        return ""
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])
