"""Whether a classifier knows when it does not know: calibration, risk and coverage, AUROC.

A *confidence* is what a classifier says of its own answer, in [0, 1] for calibration and on any
rising scale for ranking. It is calibrated where, of the answers given with confidence p, a share
p is right (Guo et al. 2017, "On Calibration of Modern Neural Networks").

Everything is on one axis N of scenes, in float64, on any device.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.counter import make_key, row_keys, uniform


class Reliability(NamedTuple):
    """A reliability diagram of B bins.

    Attributes:
        edges: `(B + 1,)` the bins' borders, rising.
        answers: `(B,)` int64, how many are in each.
        confidence: `(B,)` their mean confidence; NaN where there are none.
        accuracy: `(B,)` the share of them that is right; NaN where there are none.
    """

    edges: Tensor
    answers: Tensor
    confidence: Tensor
    accuracy: Tensor


def reliability(
    confidence: Tensor, right: Tensor, bins: int = 15, adaptive: bool = False
) -> Reliability:
    """Sorts answers into bins by confidence.

    Args:
        confidence: `(N,)` in [0, 1].
        right: `(N,)` bool, whether the answer was right.
        bins: B.
        adaptive: Bins of equal counts (to one, ties in the order given) instead of equal width.

    Raises:
        ValueError: If there are no answers or no bins, or a confidence is not in [0, 1].
    """
    count = len(confidence)
    if confidence.shape != (count,) or right.shape != (count,) or not count:
        raise ValueError(f"one confidence an answer: {confidence.shape} and {right.shape}")
    if bins < 1:
        raise ValueError(f"a diagram has 1 bin or more, got {bins}")
    confidence, right = confidence.double(), right.double()
    if not bool(((confidence >= 0) & (confidence <= 1)).all()):
        raise ValueError("a confidence is from 0 to 1")
    if adaptive:
        order = confidence.argsort(stable=True)
        confidence, right = confidence[order], right[order]
        which = torch.arange(count, device=order.device) * bins // count
        inner = confidence[[-(-part * count // bins) for part in range(1, bins) if count >= bins]]
        first, last = confidence[:1], confidence[-1:]
        edges = torch.cat([first, inner, last]) if count >= bins else torch.cat([first, last])
    else:
        edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)
        which = (confidence * bins).long().clamp(max=bins - 1)
    total = torch.bincount(which, minlength=bins)
    return Reliability(
        edges=edges,
        answers=total,
        confidence=torch.bincount(which, confidence, minlength=bins) / total,
        accuracy=torch.bincount(which, right, minlength=bins) / total,
    )


def calibration_error(
    confidence: Tensor, right: Tensor, bins: int = 15, adaptive: bool = False
) -> float:
    """Expected calibration error (ECE): mean over answers of their bin's |accuracy - confidence|.

    From 0 to 1. With few answers a bin it is not 0 even for a perfectly calibrated classifier:
    see `calibration_floor`.
    """
    table = reliability(confidence, right, bins, adaptive)
    gaps = (table.accuracy - table.confidence).abs().nan_to_num(0)
    return float((gaps * table.answers).sum() / len(confidence))


def calibration_floor(
    confidence: Tensor, bins: int = 15, adaptive: bool = False, draws: int = 100
) -> float:
    """The mean ECE of a classifier that is right exactly as often as it says, at these confidences.

    What chance alone gives at this number of answers; found by `draws` drawings with fixed keys.
    """
    keys = row_keys(make_key(7, confidence.device), draws)
    errors = [
        calibration_error(confidence, uniform(key[None], len(confidence))[0] < confidence,
                          bins, adaptive)
        for key in keys
    ]  # fmt: skip
    return sum(errors) / draws


def fit_temperature(logits: Tensor, labels: Tensor, steps: int = 60) -> float:
    """The temperature T for which softmax(logits / T) has the least cross-entropy.

    Newton's method on 1/T, in which cross-entropy is convex; where a step leaves the interval
    that is known to hold the minimum, the interval is halved instead.

    Args:
        logits: `(N, K)`, finite.
        labels: `(N,)` int64.
        steps: Of the search; some ten are enough.

    Returns:
        T from 0.01 to 100.

    Raises:
        ValueError: If shapes do not fit or a logit is not finite.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(f"logits (N, K) and labels (N,), got {logits.shape} and {labels.shape}")
    logits = logits.double()
    if not bool(logits.isfinite().all()):
        raise ValueError("logits must be finite")
    wanted = logits.gather(1, labels[:, None])[:, 0]
    low, high, beta = 0.01, 100.0, 1.0
    for _ in range(steps):
        belief = (logits * beta).softmax(1)
        mean = (belief * logits).sum(1)
        slope = float((mean - wanted).mean())
        curve = float(((belief * logits**2).sum(1) - mean**2).mean())
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / curve if curve > 0 else low
        following = step if low < step < high else (low + high) / 2
        if abs(following - beta) < 1e-12 * beta:
            break
        beta = following
    return 1 / beta


def heat_by_entropy(logits: Tensor, offset: float, slope: float) -> Tensor:
    """A temperature for each belief: exp(offset + slope * log(entropy + 0.001)), `(N, 1)`.

    So what is surely known may be cooled while what is doubtful is heated, or the other way; no
    answer changes. After HTS of Balanya et al. 2022, "Adaptive Temperature Scaling for Robust
    Calibration of Deep Neural Networks".
    """
    belief = logits.double().softmax(-1)
    entropy = -torch.xlogy(belief, belief).sum(-1, keepdim=True)
    return torch.exp(offset + slope * torch.log(entropy + 1e-3))


def fit_heat_by_entropy(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The offset and slope of `heat_by_entropy` with the least cross-entropy, by L-BFGS.

    Args:
        logits: `(N, K)`, finite.
        labels: `(N,)` int64.
    """
    start = math.log(fit_temperature(logits, labels))  # refuses what is wrong
    logits = logits.detach().double()
    belief = logits.softmax(-1)
    told = torch.log(-torch.xlogy(belief, belief).sum(-1, keepdim=True) + 1e-3)
    found = logits.new_tensor([start, 0.0]).requires_grad_()
    search = torch.optim.LBFGS([found], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        value = F.cross_entropy(logits / torch.exp(found[0] + found[1] * told), labels)
        value.backward()
        return value

    search.step(loss)
    offset, slope = found.detach().tolist()
    return offset, slope


def risk_coverage(confidence: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The share of wrong answers among the most confident, for every number of them.

    Answers of one confidence are taken in mean: no order among them is preferred.

    Args:
        confidence: `(N,)` on any rising scale.
        right: `(N,)` bool.

    Returns:
        coverage `(N,)`, 1/N to 1, and risk `(N,)`, from 0 to 1.
    """
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(right):
        raise ValueError(f"one confidence an answer: {confidence.shape} and {right.shape}")
    order = confidence.argsort(descending=True, stable=True)
    wrong = (~right.bool())[order].double()
    _, group, size = torch.unique_consecutive(
        confidence[order], return_inverse=True, return_counts=True
    )
    wrong = (torch.bincount(group, wrong) / size)[group]
    taken = torch.arange(1, len(wrong) + 1, device=wrong.device, dtype=torch.float64)
    return taken / len(wrong), wrong.cumsum(0) / taken


def aurc(confidence: Tensor, right: Tensor) -> float:
    """Area under the risk-coverage curve: mean risk over all coverages; 0 is best.

    Geifman & El-Yaniv 2017. With `right` itself as confidence it is the least there can be.
    """
    return float(risk_coverage(confidence, right)[1].mean())


def auroc(higher: Tensor, lower: Tensor) -> float:
    """How often a number of `higher` is over one of `lower`, ties counted half.

    The area under the ROC curve of telling the two apart: 0.5 is chance, 1 is perfect.

    Args:
        higher: `(N,)` scores that should be high, such as doubt about strange scenes.
        lower: `(M,)` scores that should be low.
    """
    if not len(higher) or not len(lower):
        raise ValueError("AUROC compares one score or more on each side")
    lower = lower.double().sort().values
    higher = higher.double()
    under = torch.searchsorted(lower, higher) + torch.searchsorted(lower, higher, right=True)
    return float(under.double().mean() / 2 / len(lower))
