"""What is altered to be learned from, and that nothing is altered to be judged on."""

from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.reinforce import Reinforce, make_scenes
from saccade.data import Splits
from saccade.digits import draw_digits

DIGITS = draw_digits(90, seed=0)
SPLITS = Splits(DIGITS, DIGITS, DIGITS, "digits")
SMALL = TrainConfig(
    scene="cluttered", side=40, size=4, scales=2, glimpses=3, what=16, where=8, hidden=24,
    policy_hidden=8, batch=32, warmup=5, updates=10,
)  # fmt: skip


def learner(**changes):
    return Reinforce(replace(SMALL, **changes), SPLITS, torch.device("cpu"))


def test_only_training_scenes_are_augmented_and_corrupted():
    config = replace(SMALL, augment=True, bend=0.1, corrupt=0.5)
    training = make_scenes(config, DIGITS, training=True)
    assert (training.augment, training.bend, training.corrupt) == (True, 0.1, 0.5)
    judged = make_scenes(config, DIGITS)
    assert (judged.augment, judged.bend, judged.corrupt) == (False, 0.0, 0.0)
    one = learner(corrupt=0.5)
    assert one.scenes.corrupt == 0.5
    assert one.validation.corrupt == 0


@pytest.mark.parametrize("kind", [{"augment": True, "bend": 0.1}, {"slip": 0.2}])
def test_over_the_last_share_of_the_updates_less_is_altered(kind):
    ever, eased = learner(**kind), learner(**kind, refine=0.2)
    assert ever.strength is None
    for update in range(10):
        loss, other = (float(each.update()["loss_classify"]) for each in (ever, eased))
        assert float(eased.strength) == (1.0 if update < 8 else 0.5)
        assert (loss == other) == (update < 8)


def test_where_nothing_is_altered_nothing_eases():
    assert learner(refine=0.2).strength is None


def test_the_eye_slips_in_training_alone():
    sure, slipping = learner(), learner(slip=0.3)
    assert sure.validate() == slipping.validate()
    assert sure.update()["loss_classify"] != slipping.update()["loss_classify"]
