"""Products in bfloat16: which they are, and what stays in float32 all the same."""

from dataclasses import replace

import pytest
import torch

from saccade.agents import player, precision, reinforce
from saccade.agents.config import TrainConfig
from saccade.agents.player import Player
from saccade.agents.precision import products
from saccade.agents.reinforce import Reinforce
from saccade.corruptions import KINDS, corrupt
from saccade.counter import make_key, row_keys
from saccade.data import Splits
from saccade.digits import draw_digits
from saccade.network import CORES
from saccade.scenes import SceneMaker

CPU = torch.device("cpu")
DIGITS = draw_digits(80, seed=0)
SPLITS = Splits(DIGITS, DIGITS, DIGITS, "digits")
SMALL = TrainConfig(
    what=32, where=16, hidden=48, policy_hidden=16, batch=64, glimpses=3, augment=True, bend=0.1,
    warmup=0, updates=10, routing="shared", reward="dense", early=0.5,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _any_processor(monkeypatch):
    """As on a processor that multiplies bfloat16; others do so too, if slowly."""
    monkeypatch.setattr(precision, "fast_type", lambda device=None: torch.bfloat16)


def learn(config, monkeypatch):
    """One update: what was played, and all gradients."""
    played, honest = [], reinforce.rollout

    def kept(*args, **kwargs):
        played.append(honest(*args, **kwargs))
        return played[-1]

    monkeypatch.setattr(reinforce, "rollout", kept)
    learner = Reinforce(config, SPLITS, CPU)
    learner.update()
    monkeypatch.setattr(reinforce, "rollout", honest)
    return played[0], {n: each.grad for n, each in learner.network.named_parameters()}


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(
    ("aim", "scales", "maps", "canvas"),
    [("absolute", 1, 0, 0), ("relative", 3, 8, 0), ("absolute", 2, 0, 6)],
)
def test_what_is_learned_is_nearly_the_same(core, aim, scales, maps, canvas, monkeypatch):
    # Of seed 0 one sum of the policy's nearly cancels out.
    config = replace(SMALL, core=core, aim=aim, scales=scales, maps=maps, canvas=canvas, seed=1)
    exact, wanted = learn(config, monkeypatch)
    half, found = learn(replace(config, precision="bfloat16"), monkeypatch)
    assert torch.equal(half.scanpath.glimpses[:, 0], exact.scanpath.glimpses[:, 0])
    for name in ("logits", "values", "means", "samples"):
        one, other = getattr(half, name), getattr(exact, name)
        assert one.dtype == torch.float32
        assert not torch.equal(one, other)
        first, later = (one[:, :1], other[:, :1]), (one, other)
        torch.testing.assert_close(*first, rtol=0.0, atol=0.02)  # 8 bits of numbers about 1
        torch.testing.assert_close(*later, rtol=0.0, atol=0.1)  # the eye may be a pixel away
    # A mean that were rounded itself would have no more than 8 bits.
    assert not torch.equal(half.means, half.means.bfloat16().float())
    for name, value in found.items():
        assert value.dtype == torch.float32
        likeness = torch.cosine_similarity(value.flatten(), wanted[name].flatten(), 0)
        assert likeness > (0.9 if name.startswith("policy") else 0.95), (name, likeness)


def test_a_processor_that_is_not_made_for_it_computes_in_float32(monkeypatch):
    monkeypatch.setattr(precision, "fast_type", lambda device=None: torch.float32)
    exact, wanted = learn(SMALL, monkeypatch)
    same, found = learn(replace(SMALL, precision="bfloat16"), monkeypatch)
    assert torch.equal(same.logits, exact.logits)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_resuming_is_exact_and_judging_is_in_float32(tmp_path):
    config = replace(SMALL, precision="bfloat16")
    whole, first, second = (Reinforce(config, SPLITS, CPU) for _ in range(3))
    for _ in range(4):
        whole.update()
    for _ in range(2):
        first.update()
    second.network.load_state_dict(first.network.state_dict())
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        second.update()
    weights = whole.network.state_dict()
    assert all(torch.equal(value, weights[n]) for n, value in second.network.state_dict().items())
    plain = Reinforce(replace(config, precision="float32"), SPLITS, CPU)
    plain.network.load_state_dict(weights)
    half, full = whole.look("learned").scanpath, plain.look("learned").scanpath
    assert torch.equal(half.beliefs, full.beliefs)
    assert torch.equal(half.locations, full.locations)


def test_worlds_are_played_in_it_too(monkeypatch):
    config = TrainConfig(
        env="saccade/Search-v0", what=16, where=8, hidden=16, policy_hidden=8, batch=16, updates=2
    )
    played, honest = [], player.play

    def kept(*args, **kwargs):
        played.append(honest(*args, **kwargs))
        return played[-1]

    monkeypatch.setattr(player, "play", kept)
    for kind in ("float32", "bfloat16"):
        Player(replace(config, precision=kind), CPU).update()
    for name in ("log_probs", "entropy", "values", "rewards"):
        full, half = (getattr(each, name) for each in played)
        assert full.dtype == half.dtype == torch.float32, name
    assert not torch.equal(played[0].values, played[1].values)
    torch.testing.assert_close(played[0].values[:, 0], played[1].values[:, 0], rtol=0, atol=0.02)


def test_scenes_are_the_same_whatever_is_around_them():
    maker = SceneMaker(DIGITS, "cluttered", 60, augment=True, bend=0.1)
    index, keys = torch.arange(16), row_keys(make_key(0), 16)
    scenes = maker(index, keys)
    images = DIGITS.images[:16].float() / 255
    broken = {kind: corrupt(images, kind, 3, keys) for kind in KINDS}
    with products(replace(SMALL, precision="bfloat16"), CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert torch.equal(maker(index, keys), scenes)
        for kind, wanted in broken.items():
            assert torch.equal(corrupt(images, kind, 3, keys), wanted), kind
