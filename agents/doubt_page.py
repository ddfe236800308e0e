"""What `saccade doubt` says: sober tables, the same on a console, in Markdown and in every run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from saccade.corruptions import MNIST_C


class Sheet(NamedTuple):
    """A table: the first column is left, all others are right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def make_sheets(result: dict[str, Any]) -> list[Sheet]:
    """All tables of a run."""
    return [
        *_stopping(result),
        _calibration(result),
        _scanpaths(result),
        _strange(result),
        *_corruptions(result),
        *_layouts(result),
        _policy(result),
    ]


def show_sheets(sheets: Sequence[Sheet], console: Console) -> None:
    """Prints tables."""
    for sheet in sheets:
        table = Table(title=sheet.title, title_justify="left", box=SIMPLE_HEAD)
        table.collapse_padding, table.pad_edge = True, False
        for number, name in enumerate(sheet.head):
            table.add_column(name, justify="right" if number else "left", no_wrap=not number)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
        if sheet.note:
            console.print(f"{sheet.note}\n", style="dim", highlight=False)


def to_markdown(sheets: Sequence[Sheet]) -> str:
    """Tables as Markdown."""
    parts = []
    for sheet in sheets:
        lines = [f"## {sheet.title}", "", _line(sheet.head)]
        lines.append(_line(["---", *["---:"] * (len(sheet.head) - 1)]))
        lines += [_line(row) for row in sheet.rows]
        parts.append("\n".join(lines + ["", sheet.note] * bool(sheet.note)))
    return "\n\n".join(parts)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _stopping(result: dict[str, Any]) -> list[Sheet]:
    stop, total = result["stop"], result["glimpses"]
    rules, clock = stop["rules"], stop["time"]
    scenes = result["scenes"]
    anytime = Sheet(
        f"Errors by number of glimpses ({result['data']}, {result['scene']}, "
        f"{scenes['test']:,} test scenes), %",
        ["glimpses", *map(str, range(1, total + 1))],
        [["error", *(f"{value:.2f}" for value in result["anytime"])]],
    )
    rows = []
    for kind, rule in rules.items():
        chosen = rule["chosen"]
        mean, low, high = chosen["worse"]
        rows.append(
            [
                kind,
                f"{chosen['threshold']:.4g}",
                f"{chosen['glimpses']:.2f}",
                f"{chosen['saved']:.1f}",
                f"{chosen['error']:.2f}",
                f"{mean:+.2f}",
                f"{low:+.2f} {high:+.2f}",
            ]
        )
    time_note = (
        f"Rule by {clock['rule']}, batch of {clock['scenes']}: "
        f"{1e3 * clock['full_seconds']:.0f} ms with all glimpses, "
        f"{1e3 * clock['stopping_seconds']:.0f} ms stopping early: "
        f"{clock['saved']:.0f} % of the time saved."
    )
    chosen_sheet = Sheet(
        f"Stopping early, all {total} glimpses beside it",
        ["rule", "threshold", "glimpses", "saved, %", "error, %", "worse", "95 %"],
        rows,
        "Each threshold is the one on validation scenes "
        f"({scenes['validation']:,}) down to which no more than {stop['tolerance']:.2g} points of "
        f"error are added. Worse: by points of error; interval paired over test scenes. "
        f"{time_note}",
    )
    wanted = [each["wanted"] for each in next(iter(rules.values()))["budgets"]]
    budgets = Sheet(
        "Errors at a mean budget of glimpses that was set on validation scenes, %",
        ["rule", *(f"{each:g}" for each in wanted)],
        [
            [kind, *(f"{b['error']:.2f} ({b['glimpses']:.2f})" for b in rule["budgets"])]
            for kind, rule in rules.items()
        ],
        "In brackets the mean number of glimpses on test scenes.",
    )
    return [anytime, chosen_sheet, *([budgets] if wanted else [])]


def _calibration(result: dict[str, Any]) -> Sheet:
    belief, rows = result["belief"], []
    for t, temperature in enumerate(belief["temperature"]):
        raw, scaled, both = belief["raw"], belief["scaled"], belief["by entropy"]
        rows.append(
            [
                str(t + 1),
                f"{temperature:.2f}",
                f"{raw['ece'][t]:.2f}",
                f"{scaled['ece'][t]:.2f}",
                f"{both['ece'][t]:.2f}",
                f"{both['floor'][t]:.2f}",
                f"{both['ece_adaptive'][t]:.2f}",
                f"{raw['aurc'][t]:.2f}",
                f"{both['aurc'][t]:.2f}",
                f"{belief['aurc_least'][t]:.2f}",
            ]
        )
    return Sheet(
        "Calibration and selective risk, %",
        [
            "glimpses",
            "heat",
            "ECE",
            "scaled",
            "twofold",
            "chance",
            "equal",
            "AURC",
            "twofold",
            "least",
        ],
        rows,
        "ECE in 15 bins of equal width: as it is; scaled by a temperature (heat) for each number "
        "of glimpses; twofold, by one that depends on the belief's entropy too, and that in bins "
        "of equal counts as well. All are fitted on validation scenes. Chance: the ECE that a "
        "perfectly calibrated belief shows at this number of scenes. Least: the AURC of a "
        "confidence that knows which answers are right.",
    )


def _scanpaths(result: dict[str, Any]) -> Sheet:
    found = result["scanpaths"]
    last = {way: result["belief"][way]["ece"][-1] for way in ("raw", "scaled")}
    rows = [["one, at the policy's mode", result["anytime"][-1], last["raw"], last["scaled"]]]
    for way, each in found["mean"].items():
        rows.append([f"mean belief, {way}", each["error"], each["ece"], each["ece_scaled"]])
    ranked = "; ".join(f"{name} {value:.3f}" for name, value in found["aurc"].items())
    return Sheet(
        f"One scanpath and {found['scanpaths']} of them after {result['glimpses']} glimpses, %",
        ["answer by", "error", "ECE", "scaled"],
        [[str(name), *(f"{value:.2f}" for value in values)] for name, *values in rows],
        f"Scanpaths differ by noise of {found['sigma']:g} in the policy or by random first "
        f"fixations; their mean costs {found['scanpaths']} times as many glimpses and is no figure "
        f"of the benchmark. AURC of the one look's answers, ranked by doubt of each kind, %: "
        f"{ranked}.",
    )


def _strange(result: dict[str, Any]) -> Sheet:
    strange = result["strange"]
    found = strange["auroc"]
    ways = list(next(iter(found.values())))
    return Sheet(
        "Telling strange scenes from test scenes, AUROC",
        ["doubt by", *found],
        [[way, *(f"{values[way]:.3f}" for values in found.values())] for way in ways],
        f"{strange['scenes']} of each; 0.5 is chance, under 0.5 the agent is surer of what is "
        f"strange. Disagreement is over {strange['scanpaths']} scanpaths a scene, by noise of "
        f"{strange['sigma']:g} in the policy or by random first fixations.",
    )


def _corruptions(result: dict[str, Any]) -> list[Sheet]:
    table = result["corrupted"]
    errors, severities = table["errors"], table["severities"]
    first, *_ = systems = list(errors)
    kinds = [name for name in errors[first] if name not in ("clean", "mean")]

    def mean(values: Sequence[float]) -> str:
        return f"{sum(values) / len(values):.1f}"

    everything = f"none, all {result['scenes']['test']:,}"
    rows = [[everything, *(f"{result['clean'][name]:.1f}" for name in systems)]]
    rows.append(["none", *(f"{errors[name]['clean']:.1f}" for name in systems)])
    rows += [[kind, *(mean(errors[name][kind]) for name in systems)] for kind in kinds]
    rows.append(["mean", *(f"{errors[name]['mean']:.1f}" for name in systems)])
    theirs = {kind: severity for kind, severity in MNIST_C.items() if kind in kinds}
    if set(theirs.values()) <= set(severities) and theirs:
        values = [
            mean([errors[name][kind][severities.index(at)] for kind, at in theirs.items()])
            for name in systems
        ]
        rows.append(["MNIST-C", *values])
    lengths = result.get("reference_updates", {})
    trained = ", ".join(f"{name} {updates:,}" for name, updates in lengths.items())
    means = Sheet(
        "Errors under corruption, mean over severities, %",
        ["corruption", *systems],
        rows,
        f"The same {table['scenes']} test scenes for all. MNIST-C: its {len(theirs)} kinds at its "
        f"severities, in our scenes and by our formulas. {verdict(errors)}"
        + f" Updates of training: {trained}."
        * bool(trained),
    )
    by_severity = Sheet(
        f"Errors of {first} by severity of corruption, %",
        ["corruption", *map(str, severities)],
        [[kind, *(f"{value:.1f}" for value in errors[first][kind])] for kind in kinds],
    )
    return [means, by_severity]


def verdict(errors: Mapping[str, Mapping[str, Any]]) -> str:
    """In words, where another system than the first is the better choice."""
    first, *others = errors
    if not others:
        return "No whole-scene network stands beside it: --references UPDATES trains some."
    words = []
    for name in others:
        kinds = [kind for kind in errors[name] if kind not in ("clean", "mean")]
        better = [kind for kind in kinds if sum(errors[name][kind]) < sum(errors[first][kind])]
        clean = errors[name]["clean"] - errors[first]["clean"]
        words.append(
            f"{name} errs {abs(clean):.1f} points {'less' if clean < 0 else 'more'} on clean "
            f"scenes, and less than {first} under {len(better)} of {len(kinds)} corruptions."
        )
    return " ".join(words)


def _layouts(result: dict[str, Any]) -> list[Sheet]:
    titles = {
        "clutter": "Errors by pieces of clutter, %",
        "side": "Errors by side of the scene in pixels, %",
        "size": "Errors by size of the objects (1 in training), %",
    }
    return [
        Sheet(
            titles[axis],
            ["", *(f"{step:g}" for step in table["steps"])],
            [
                [name, *(f"{value:.1f}" for value in values)]
                for name, values in table["errors"].items()
            ],
        )
        for axis, table in result["layouts"].items()
    ]


def _policy(result: dict[str, Any]) -> Sheet:
    policy, updates = result["policy"], result["updates"]
    trained = policy.get("trained", {})
    rows = []
    for name, values in policy["own"].items():
        other = f"{trained[name][-1]:.2f}" if name in trained else "-"
        rows.append([name, f"{values[-1]:.2f}", other])
    gain, best = policy["gain"], policy["best_other"]
    words = f"The learned gaze errs {abs(gain):.2f} points {'less' if gain >= 0 else 'more'} than "
    if policy["readers"] == "own":
        words += (
            f"{best}, the best other, read by the agent's own reader, which favors the gaze it "
            "was trained with: only readers of their own (--readers UPDATES) make this fair."
        )
    else:
        words += f"{best}, the best other, each with a reader of its own and trained "
        words += f"{policy['reader_updates']:,} updates"
        words += f" (the agent itself: {updates:,})." if updates else "."
        if "fixed" not in trained:
            words += " The fixed scanpath has no reader of its own here (--readers UPDATES)."
    return Sheet(
        f"What the policy adds: errors after {result['glimpses']} glimpses, %",
        ["gaze", "the agent's reader", "a reader of its own, all trained alike"],
        rows,
        words,
    )


def seeds_sheet(paired: dict[str, Any]) -> Sheet:
    """What several runs come to together."""
    names = {
        "error": "error, %",
        "policy_gain": "learned gaze errs less than the best other by, points, each with a reader "
        "of its own",
        "policy_gain_own": "learned gaze errs less than the best other by, points, both read by "
        "the agent's own reader, which favors it",
        "time_saved": "time saved by the best rule, %",
        "corrupted_error": "error under corruption, %",
        "ece": "ECE",
        "saved": "glimpses saved, %",
        "worse": "added error, points",
    }
    rows = []
    for key, found in paired.items():
        first, _, rest = key.partition("_")
        name = names.get(key)
        if name is None and first == "ece":
            way, _, t = rest.partition("_")
            name = f"ECE after {t} glimpses, {way}, %"
        elif name is None:
            rule = "that validation chose" if first == "best" else f"by {first}"
            name = f"rule {rule}: {names[rest]}"
        low_high = found["interval"]
        rows.append(
            [
                name,
                f"{found['mean']:.2f}",
                f"{low_high[0]:.2f} to {low_high[1]:.2f}" if low_high else "-",
                " ".join(f"{value:.2f}" for value in found["values"]),
            ]
        )
    return Sheet(
        f"{len(next(iter(paired.values()))['values'])} runs together",
        ["", "mean", "95 %", "runs"],
        rows,
        "Intervals of the mean over runs (Student's t); differences are paired within each run.",
    )
