"""Whether a belief can be trusted: calibration, selective risk, doubt about strange scenes."""

from typing import Any

import torch
from torch import Tensor

from saccade.agent import Agent
from saccade.agents.full_look import Seen, look_fully
from saccade.agents.stress import first_scenes, strange_scenes
from saccade.calibration import (
    aurc,
    auroc,
    calibration_error,
    calibration_floor,
    fit_heat_by_entropy,
    fit_temperature,
    heat_by_entropy,
    reliability,
    risk_coverage,
)
from saccade.counter import fold, make_key, row_keys
from saccade.scenes import SceneMaker

SCANPATHS = 5  # sampled on a scene, for their disagreement


def measure_belief(seen: dict[str, Seen]) -> dict[str, Any]:
    """Calibration by glimpse, before and after temperature scaling, and selective risk.

    "scaled" is by one temperature for each number of glimpses, "by entropy" by one that depends on
    the belief's entropy too; both are fitted on validation scenes.
    """
    test, validation = seen["test"], seen["validation"]
    total = test.right.shape[1]
    found: dict[str, Any] = {"temperature": [], "diagram": {}, "risk": {}}
    for way in ("raw", "scaled", "by entropy"):
        found[way] = {"ece": [], "ece_adaptive": [], "floor": [], "aurc": [], "loss": []}
    for t in range(total):
        learned, logits = validation.look.logits[:, t], test.look.logits[:, t].double()
        temperature = fit_temperature(learned, validation.labels)
        found["temperature"].append(temperature)
        own = heat_by_entropy(logits, *fit_heat_by_entropy(learned, validation.labels))
        heats: dict[str, float | Tensor] = {"raw": 1.0, "scaled": temperature, "by entropy": own}
        right = test.right[:, t]
        for way, heat in heats.items():
            log_belief = (logits / heat).log_softmax(-1)
            confidence = log_belief.amax(-1).exp().clamp(max=1)
            row = found[way]
            row["ece"].append(100 * calibration_error(confidence, right))
            row["ece_adaptive"].append(100 * calibration_error(confidence, right, adaptive=True))
            row["floor"].append(100 * calibration_floor(confidence, draws=20))
            row["aurc"].append(100 * aurc(confidence, right))
            row["loss"].append(-float(log_belief.gather(1, test.labels[:, None]).mean()))
            if t + 1 in {min(2, total), total}:
                table = reliability(confidence, right)
                found["diagram"].setdefault(str(t + 1), {})[way] = [
                    [c, a, n]
                    for c, a, n in zip(
                        table.confidence.tolist(),
                        table.accuracy.tolist(),
                        table.answers.tolist(),
                        strict=True,
                    )
                    if n
                ]
                coverage, risk = risk_coverage(confidence, right)
                picked = torch.linspace(0, len(risk) - 1, 100).long()
                found["risk"].setdefault(str(t + 1), {})[way] = [
                    [100 * c, 100 * r]
                    for c, r in zip(
                        coverage.cpu()[picked].tolist(), risk.cpu()[picked].tolist(), strict=True
                    )
                ]
    found["aurc_least"] = [100 * aurc(test.right[:, t].double(), test.right[:, t])
                           for t in range(total)]  # fmt: skip
    return found


def measure_scanpaths(
    agent: Agent,
    makers: dict[str, SceneMaker],
    keys: dict[str, Tensor],
    seen: dict[str, Seen],
    sigma: float,
) -> dict[str, Any]:
    """What several scanpaths on a scene know that one does not, after the whole budget.

    Args:
        agent: Who looks.
        makers: Of "validation" and "test" scenes.
        keys: Of the scenes.
        seen: The agent's looks at the same scenes, at the policy's mode.
        sigma: Spread of the noise that makes scanpaths differ.

    Returns:
        In %: `aurc`, selective risk of the answers of the one look at the mode, ranked by each way
        of doubt; and of the answer by the mean belief over `SCANPATHS` looks `error`, `ece` and
        `ece_scaled`, by a temperature fitted on validation scenes.
    """
    test = seen["test"]
    own, right = test.look.logits[:, -1].double().softmax(-1), test.right[:, -1]
    answer = own.argmax(-1, keepdim=True)
    ranks = {"confidence": own.amax(-1), "entropy": -_entropy(own)}
    found: dict[str, Any] = {"scanpaths": SCANPATHS, "sigma": sigma, "mean": {}}
    for way, options in _ways(sigma).items():
        beliefs = {
            split: _look_often_at_pool(agent, makers[split], keys[split], options)
            for split in ("validation", "test")
        }
        together = beliefs["test"].mean(0)
        ranks[f"disagreement, {way}"] = -_disagreement(beliefs["test"])
        ranks[f"mean belief, {way}"] = together.gather(1, answer)[:, 0]
        log_mean = {split: each.mean(0).clamp(min=1e-12).log() for split, each in beliefs.items()}
        heat = fit_temperature(log_mean["validation"], seen["validation"].labels)
        wrong = together.argmax(-1) != test.labels
        scaled = (log_mean["test"] / heat).softmax(-1)
        found["mean"][way] = {
            "error": 100 * float(wrong.double().mean()),
            "ece": 100 * calibration_error(together.amax(-1).clamp(max=1), ~wrong),
            "ece_scaled": 100 * calibration_error(scaled.amax(-1).clamp(max=1), ~wrong),
            "temperature": heat,
        }
    found["aurc"] = {name: 100 * aurc(rank, right) for name, rank in ranks.items()}
    return found


def measure_strange(
    agent: Agent, maker: SceneMaker, count: int, sigma: float, temperature: float
) -> dict[str, Any]:
    """How well doubt tells strange scenes from test scenes: AUROC by sort of scene and of doubt."""
    usual, _, keys = first_scenes(maker, "test", count)
    doubts = doubt_about(agent, usual, keys, sigma, temperature)
    strange_keys = row_keys(fold(make_key(12, keys.device), "strange"), count)
    found = {}
    for name, scenes in strange_scenes(maker, count).items():
        other = doubt_about(agent, scenes, strange_keys, sigma, temperature)
        found[name] = {way: auroc(other[way], doubts[way]) for way in doubts}
    return {"scenes": count, "scanpaths": SCANPATHS, "sigma": sigma, "auroc": found}


def doubt_about(
    agent: Agent, scenes: Tensor, keys: Tensor, sigma: float, temperature: float
) -> dict[str, Tensor]:
    """Doubt about each scene, `(N,)`, in several ways; more is more doubt.

    "confidence" is 1 less the highest class probability and "entropy" that of the belief, both
    also "scaled" by temperature. Disagreement is the mutual information between answer and
    scanpath over `SCANPATHS` of them, with noise of spread `sigma` in the policy ("noise"), or
    with random first fixations ("first"); the entropy of the mean belief over the latter is both
    kinds of doubt together.
    """
    logits = look_fully(agent, scenes, keys).logits[:, -1].double()
    doubts = {}
    for suffix, heat in (("", 1.0), (", scaled", temperature)):
        belief = (logits / heat).softmax(-1)
        doubts[f"confidence{suffix}"] = 1 - belief.amax(-1)
        doubts[f"entropy{suffix}"] = _entropy(belief)
    for way, options in _ways(sigma).items():
        beliefs = _look_often(agent, scenes, keys, options)
        doubts[f"disagreement, {way}"] = _disagreement(beliefs)
        if way == "first":
            doubts["entropy of mean, first"] = _entropy(beliefs.mean(0))
    return doubts


def _ways(sigma: float) -> dict[str, dict[str, Any]]:
    """What makes several scanpaths on a scene differ, as options of `look_fully`."""
    return {"noise": {"sigma": sigma}, "first": {"random_first": True}}


def _look_often(agent: Agent, scenes: Tensor, keys: Tensor, options: dict[str, Any]) -> Tensor:
    """`(SCANPATHS, N, K)` beliefs after the whole budget."""
    looks = [
        look_fully(agent, scenes, fold(keys, draw + 1), **options).logits[:, -1]
        for draw in range(SCANPATHS)
    ]
    return torch.stack(looks).double().softmax(-1)


def _look_often_at_pool(
    agent: Agent, maker: SceneMaker, keys: Tensor, options: dict[str, Any]
) -> Tensor:
    """The same of the first scenes of a maker's pool."""
    index = torch.arange(len(keys), device=keys.device)
    parts = [
        _look_often(agent, maker(rows, fold(part, "scene")), part, options)
        for rows, part in zip(index.split(500), keys.split(500), strict=True)
    ]
    return torch.cat(parts, 1)


def _disagreement(beliefs: Tensor) -> Tensor:
    """`(S, N, K)` to `(N,)`: mutual information between answer and scanpath."""
    return _entropy(beliefs.mean(0)) - _entropy(beliefs).mean(0)


def _entropy(belief: Tensor) -> Tensor:
    return -torch.xlogy(belief, belief).sum(-1)
