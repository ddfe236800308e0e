"""Whether a belief can be trusted, by one scanpath and by several."""

import pytest

from saccade.agents.belief import (
    SCANPATHS,
    doubt_about,
    measure_belief,
    measure_scanpaths,
    measure_strange,
)
from saccade.agents.evaluate import split_keys
from saccade.agents.full_look import look_at_split, look_fully
from saccade.agents.stress import first_scenes
from saccade.counter import fold
from tests.test_halting import MAKER, POOL, make_agent, seen_by


def test_a_reader_that_is_random_finds_nothing_strange_in_the_usual():
    agent = make_agent()
    scenes, _, keys = first_scenes(MAKER, "test", 40)
    doubts = doubt_about(agent, scenes, keys, 0.1, 2.0)
    assert all(value.shape == (40,) for value in doubts.values())
    assert doubts["disagreement, noise"].min() > -1e-9
    order = doubts["confidence"].argsort(stable=True)
    assert doubts["confidence"].max() <= 0.9
    assert doubts["entropy"][order[-1]] > doubts["entropy"][order[0]]
    found = measure_strange(agent, MAKER, 20, 0.1, 1.0)
    for values in found["auroc"].values():
        assert values["confidence"] == pytest.approx(values["confidence, scaled"])
        assert all(0 <= value <= 1 for value in values.values())


def test_several_scanpaths_beside_one():
    agent, keys = make_agent(), split_keys("test", 40, "cpu")
    agent.network.classifier.weight.data *= 50  # so that answers differ
    seen = {split: seen_by(agent) for split in ("validation", "test")}
    other_keys = split_keys("validation", 40, "cpu")
    seen["validation"] = look_at_split(agent, MAKER, other_keys)
    makers, both = dict.fromkeys(seen, MAKER), {"validation": other_keys, "test": keys}
    same = measure_scanpaths(agent, makers, both, seen, 1e-9)  # all scanpaths are the mode's
    right = seen["test"].right[:, -1].double()
    assert same["mean"]["noise"]["error"] == pytest.approx(100 * (1 - float(right.mean())))
    belief = measure_belief(seen)
    assert same["mean"]["noise"]["ece"] == pytest.approx(belief["raw"]["ece"][-1], abs=1e-3)
    assert same["mean"]["noise"]["temperature"] == pytest.approx(
        belief["temperature"][-1], rel=1e-3
    )
    assert same["aurc"]["mean belief, noise"] == pytest.approx(same["aurc"]["confidence"], abs=1e-3)
    assert same["aurc"]["confidence"] == pytest.approx(belief["raw"]["aurc"][-1])
    # By hand: five first fixations, one at a time.
    scenes = first_scenes(MAKER, "test", 40)[0]
    assert len(seen["test"].look.logits[:, -1].argmax(-1).unique()) > 1
    looks = [
        look_fully(agent, scenes, fold(keys, draw + 1), random_first=True).logits[:, -1].double()
        for draw in range(SCANPATHS)
    ]
    mean = sum(look.softmax(-1) for look in looks) / SCANPATHS
    wrong = (mean.argmax(-1) != seen["test"].labels).double().mean()
    assert same["mean"]["first"]["error"] == pytest.approx(100 * float(wrong))
    # What is fitted does not know the test labels.
    seen["test"] = seen["test"]._replace(labels=(POOL.labels + 1) % 10)
    other = measure_scanpaths(agent, makers, both, seen, 1e-9)
    for way, each in other["mean"].items():
        assert each["temperature"] == same["mean"][way]["temperature"]
    assert other["aurc"] != same["aurc"]
