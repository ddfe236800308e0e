"""Calibration against numbers worked out by hand, slow references and what cannot be otherwise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
from saccade.counter import make_key, normal, row_keys, uniform

HALVES = torch.tensor([0.6, 0.7, 0.9, 0.9])
RIGHT = torch.tensor([False, True, True, True])


def test_bins_of_equal_width_by_hand():
    table = reliability(HALVES, RIGHT, bins=5)
    assert table.edges.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert table.answers.tolist() == [0, 0, 0, 2, 2]  # 0.6 as float32 is a little over 3/5
    assert table.confidence[3:].tolist() == pytest.approx([0.65, 0.9])
    assert table.accuracy[3:].tolist() == [0.5, 1]
    assert math.isnan(table.accuracy[0])
    assert calibration_error(HALVES, RIGHT, bins=5) == pytest.approx((2 * 0.15 + 2 * 0.1) / 4)


def test_bins_of_equal_counts_by_hand():
    confidence = torch.tensor([0.9, 0.1, 0.3, 0.8, 0.5])
    right = torch.tensor([True, False, False, True, True])
    table = reliability(confidence, right, bins=2, adaptive=True)
    assert table.answers.tolist() == [3, 2]
    assert table.edges.tolist() == pytest.approx([0.1, 0.8, 0.9])
    assert table.confidence.tolist() == pytest.approx([0.3, 0.85])
    assert table.accuracy.tolist() == pytest.approx([1 / 3, 1])
    error = calibration_error(confidence, right, bins=2, adaptive=True)
    assert error == pytest.approx((3 * (1 / 3 - 0.3) + 2 * 0.15) / 5)


def test_more_bins_than_answers():
    table = reliability(HALVES, RIGHT, bins=9, adaptive=True)
    assert int(table.answers.sum()) == 4
    assert table.answers.max() == 1


def test_full_confidence_falls_into_the_last_bin():
    table = reliability(torch.tensor([0.0, 1.0]), torch.tensor([False, True]), bins=10)
    assert table.answers.tolist() == [1, *[0] * 8, 1]
    assert calibration_error(torch.tensor([0.0, 1.0]), torch.tensor([False, True])) == 0


def test_what_is_not_a_confidence_is_refused():
    for wrong in (torch.tensor([1.2]), torch.tensor([math.nan]), torch.tensor([-0.1])):
        with pytest.raises(ValueError, match="from 0 to 1"):
            reliability(wrong, torch.tensor([True]))
    with pytest.raises(ValueError, match="one confidence"):
        reliability(HALVES, RIGHT[:2])
    with pytest.raises(ValueError, match="1 bin"):
        reliability(HALVES, RIGHT, bins=0)


def test_the_floor_is_what_a_calibrated_classifier_shows():
    confidence = uniform(row_keys(make_key(1), 1), 4000)[0]
    drawn = uniform(row_keys(make_key(2), 1), 4000)[0] < confidence
    floor = calibration_floor(confidence)
    assert 0.01 < floor < 0.03  # about 0.8 sqrt(bins * mean p(1-p) / N)
    assert abs(calibration_error(confidence, drawn) - floor) < 0.008
    assert calibration_floor(confidence.repeat(16)) < floor / 2
    assert calibration_error(confidence, drawn & False) > 0.4  # planted: never right


def planted(temperature, count=6000, classes=5):
    """Logits that are right as often as softmax(logits / temperature) says."""
    key = row_keys(make_key(3), count)
    logits = 2 * normal(key, classes).double()
    belief = (logits / temperature).softmax(1)
    draw = uniform(row_keys(make_key(4), count), 1)
    return logits, (draw > belief.cumsum(1)).sum(1).clamp(max=classes - 1)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_planted_temperature_is_found(temperature):
    logits, labels = planted(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.06)
    losses = [
        torch.nn.functional.cross_entropy(logits / (found * by), labels) for by in (0.98, 1, 1.02)
    ]
    assert losses[1] == min(losses)  # a minimum, by brute force
    assert fit_temperature(logits + 1000, labels) == pytest.approx(found, rel=1e-6)
    assert fit_temperature(logits * 10, labels) == pytest.approx(found * 10, rel=1e-6)


def test_temperature_mends_calibration():
    logits, labels = planted(2.5)

    def error(scale):
        belief = (logits / scale).softmax(1)
        return calibration_error(belief.amax(1), belief.argmax(1) == labels)

    assert error(fit_temperature(logits, labels)) < 0.03 < 0.1 < error(1)


def test_heat_by_entropy_mends_what_one_temperature_cannot():
    logits, labels = planted(1.0, count=8000)
    sure = logits.softmax(1).amax(1, keepdim=True) > 0.6
    bent = logits * torch.where(sure, 2.0, 0.8)  # too sure where sure, too doubtful elsewhere
    for each in (logits, bent):
        offset, slope = fit_heat_by_entropy(each, labels)
        heat = heat_by_entropy(each, offset, slope)
        losses, errors = [], []
        for scale in (heat, fit_temperature(each, labels)):
            losses.append(torch.nn.functional.cross_entropy(each / scale, labels))
            belief = (each / scale).softmax(1)
            assert torch.equal(belief.argmax(1), each.argmax(1))
            errors.append(calibration_error(belief.amax(1), belief.argmax(1) == labels))
        assert losses[0] <= losses[1] + 1e-9  # one temperature is a slope of 0
    assert slope < -0.05
    assert errors[0] < errors[1] - 0.01
    constant = heat_by_entropy(logits, math.log(3), 0.0)
    assert constant.flatten().tolist() == pytest.approx([3] * len(logits))


def test_no_minimum_ends_at_the_border_or_where_nothing_is_left_to_gain():
    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0]])
    assert 0.01 <= fit_temperature(logits, torch.tensor([0, 1])) < 5 / 30  # 1 - 1e-13 right
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(100, rel=1e-3)
    assert 0.01 <= fit_temperature(torch.zeros(2, 3), torch.tensor([0, 1])) <= 100
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(torch.tensor([[math.inf, 0.0]]), torch.tensor([0]))


def test_risk_and_coverage_by_hand():
    confidence = torch.tensor([0.2, 0.9, 0.6, 0.8])
    right = torch.tensor([False, True, False, True])
    coverage, risk = risk_coverage(confidence, right)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert aurc(confidence, right) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert aurc(right.double(), right) == pytest.approx((1 / 3 + 1 / 2) / 4)  # the least
    assert aurc(-confidence, right) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


def test_ties_prefer_no_order():
    flat = torch.full((4,), 0.5)
    right = torch.tensor([True, True, False, False])
    assert risk_coverage(flat, right)[1].tolist() == [0.5] * 4
    assert aurc(flat, right) == aurc(flat, right.flip(0)) == 0.5


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
)
def test_auroc_is_the_share_of_pairs(higher, lower):
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in higher for b in lower]
    found = auroc(torch.tensor(higher), torch.tensor(lower))
    assert found == pytest.approx(sum(pairs) / len(pairs))
    assert auroc(torch.tensor(lower), torch.tensor(higher)) == pytest.approx(1 - found)
