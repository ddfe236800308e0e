"""What several runs of a task come to together: means over seeds, differences within each run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from saccade.agents.halting import RULES
from saccade.agents.results import interval


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Mean of a number over runs and its 95 % interval (`results.interval`); None for one run."""
    return {
        "values": list(values),
        "mean": float(np.mean(values)),
        "interval": interval(list(values)),
    }


def pair(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What several runs of a task come to together; differences are paired within each run.

    Raises:
        ValueError: If the runs are of other scenes or budgets.
    """
    kinds = {(r["data"], r["scene"], tuple(r["shape"]), r["glimpses"]) for r in results}
    if len(kinds) > 1:
        raise ValueError(f"runs of several tasks are not taken together: {sorted(kinds)}")
    numbers: dict[str, list[float]] = {
        "error": [r["anytime"][-1] for r in results],
        "time_saved": [r["stop"]["time"]["saved"] for r in results],
        "corrupted_error": [r["corrupted"]["errors"]["saccade"]["mean"] for r in results],
    }
    read = {(r["policy"]["readers"], r["policy"].get("reader_updates")) for r in results}
    if len(read) == 1:  # gains with readers of their own and without do not compare
        kind = "policy_gain" if results[0]["policy"]["readers"] == "trained" else "policy_gain_own"
        numbers[kind] = [r["policy"]["gain"] for r in results]
    for kind in (*RULES, "best"):  # best: the rule that stops earliest on a run's validation scenes
        rules = [r["stop"]["best"] if kind == "best" else kind for r in results]
        chosen = [r["stop"]["rules"][own]["chosen"] for r, own in zip(results, rules, strict=True)]
        numbers[f"{kind}_saved"] = [each["saved"] for each in chosen]
        numbers[f"{kind}_worse"] = [each["worse"][0] for each in chosen]
    total = results[0]["glimpses"]
    for t in sorted({min(2, total), total}):
        for way in ("raw", "scaled", "by entropy"):
            numbers[f"ece_{way}_{t}"] = [r["belief"][way]["ece"][t - 1] for r in results]
    return {name: over_seeds(values) for name, values in numbers.items()}
