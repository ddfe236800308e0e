"""What stopping early saves and costs: thresholds from validation, figures from test scenes."""

import math
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from saccade.agent import Agent
from saccade.agents.full_look import Seen
from saccade.agents.halting import (
    RULES,
    StopHead,
    StopRule,
    learn_to_stop,
    stop_early,
    stops,
    sweep,
    threshold_for_budget,
    threshold_for_error,
)
from saccade.agents.stress import first_scenes
from saccade.scenes import SceneMaker


def paired_bound(difference: Tensor) -> list[float]:
    """Mean of paired differences `(N,)` in % and its two-sided 95 % interval over scenes."""
    mean = 100 * float(difference.mean())
    half = 100 * 1.96 * float(difference.std()) / math.sqrt(len(difference))
    return [mean, mean - half, mean + half]


def measure_stopping(
    agent: Agent, seen: dict[str, Seen], tolerance: float = 0.0005
) -> tuple[dict[str, Any], StopHead]:
    """Each rule's curve on the test set, and what the thresholds chosen on validation do there.

    Args:
        agent: Who looked.
        seen: Of "train", "validation" and "test".
        tolerance: Share of validation scenes that stopping may lose, see `threshold_for_error`.

    Returns:
        The figures, in % and glimpses, and the learned rule's head.
    """
    test, validation = seen["test"], seen["validation"]
    started = time.monotonic()
    head = learn_to_stop(seen["train"].look, seen["train"].labels)
    found: dict[str, Any] = {
        "tolerance": 100 * tolerance,
        "head_seconds": round(time.monotonic() - started, 1),
        "rules": {},
    }
    total = agent.spec.glimpses
    full = test.right[:, -1]

    def outcome(scores: Tensor, threshold: float) -> dict[str, Any]:
        taken = stops(scores, threshold)
        right = test.right.gather(1, taken[:, None] - 1)[:, 0]
        mean = float(taken.double().mean())
        return {
            "threshold": threshold,
            "glimpses": mean,
            "saved": 100 * (1 - mean / total),
            "error": 100 * (1 - float(right.double().mean())),
            "worse": paired_bound(full.double() - right.double()),
        }

    for kind in RULES:
        rule = StopRule(kind, head=head)
        own, chosen = rule.scores(test.look), rule.scores(validation.look)
        curve = sweep(own, test.right, 60)
        budgets = [b for b in (1.5, 2, 3, 4, 6, 8) if b < total]
        found["rules"][kind] = {
            "curve": [
                [g, 100 * (1 - a)]
                for g, a in zip(curve.glimpses.tolist(), curve.accuracy.tolist(), strict=True)
            ],
            "budgets": [
                {"wanted": b, **outcome(own, threshold_for_budget(chosen, b))} for b in budgets
            ],
            "chosen": outcome(own, threshold_for_error(chosen, validation.right, tolerance)),
            "validation_glimpses": float(
                stops(chosen, threshold_for_error(chosen, validation.right, tolerance))
                .double()
                .mean()
            ),
        }
    rules = found["rules"]
    found["best"] = min(rules, key=lambda kind: rules[kind]["validation_glimpses"])
    return found, head


def measure_time(
    agent: Agent, maker: SceneMaker, stop: dict[str, Any], head: StopHead, rounds: int = 15
) -> dict[str, Any]:
    """Seconds for a batch of test scenes with the whole budget and with the best rule.

    Both take turns; of each the fastest round counts, which other work on the machine delays least.
    """
    kind = stop["best"]
    rule = StopRule(kind, stop["rules"][kind]["chosen"]["threshold"], head)
    scenes = first_scenes(maker, "test", 500)[0]

    def clock(act: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        act().stop.cpu()  # waits for the device
        return time.perf_counter() - begun

    ways = {
        "full": lambda: agent.look(scenes),
        "stopping": lambda: stop_early(agent, scenes, rule),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, act in ways.items():
            seconds = clock(act)
            if turn:  # the first round warms up
                taken[name].append(seconds)
    full, stopping = (min(taken[name]) for name in ways)
    return {
        "rule": kind,
        "scenes": len(scenes),
        "full_seconds": full,
        "stopping_seconds": stopping,
        "saved": 100 * (1 - stopping / full),
    }
