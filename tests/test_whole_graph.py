"""A whole update is one graph: nothing in an episode needs Python, or waits for the device."""

from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.reinforce import Reinforce
from saccade.data import Splits
from saccade.digits import draw_digits


@pytest.fixture(autouse=True)
def traced(monkeypatch):
    """Compiling is tracing here, without generating code, which would take minutes."""
    real = torch.nn.Module.compile
    kind = {"backend": "eager"}

    def trace(module, fullgraph):
        assert fullgraph
        real(module, fullgraph=True, **kind)

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    torch._dynamo.reset()
    yield kind
    torch._dynamo.reset()


def two_updates(**changes):
    """Of a learner as it is, and of one that is traced: metrics, pair by pair."""
    config = TrainConfig(
        scene="cluttered", side=40, size=6, scales=2, glimpses=2, batch=4, what=8, where=8,
        maps=4, canvas=3, hidden=8, policy_hidden=8, reward="dense", early=0.5, core="gru",
        routing="shared", augment=True, bend=0.1, clutter=1, aim="relative", slip=0.1,
        refine=0.5, updates=2,
    )  # fmt: skip
    digits = draw_digits(20, seed=0)
    splits = Splits(digits, digits, digits, "digits")
    plain, traced = (
        Reinforce(replace(config, compile=way, **changes), splits, torch.device("cpu"))
        for way in (False, True)
    )
    assert plain.trip._compiled_call_impl is None
    assert traced.trip._compiled_call_impl is not None
    for _ in range(2):
        one, other = plain.update(), traced.update()
        assert one.keys() == other.keys()
        yield from zip(one.values(), other.values(), strict=True)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_playing_and_judging_is_one_graph_with_the_same_numbers(precision, monkeypatch):
    monkeypatch.setattr("saccade.agents.precision.fast_type", lambda device=None: torch.bfloat16)
    assert all(torch.equal(*pair) for pair in two_updates(precision=precision))


@pytest.mark.parametrize("augment", [False, True])
def test_the_graph_is_one_that_compilers_take(augment, traced):
    """Forward and backward of its operators, all but the code that is made of them."""
    traced["backend"] = "aot_eager"
    for one, other in two_updates(augment=augment):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_learner_compiles_once_so_that_many_can(monkeypatch):
    digits = draw_digits(20, seed=0)
    splits = Splits(digits, digits, digits, "digits")
    config = TrainConfig(size=6, glimpses=2, batch=4, what=8, where=8, hidden=8, compile=True)
    torch._dynamo.utils.counters.clear()
    for gaze in ("learned", "random", "center", "raster", "learned", "random"):
        learner = Reinforce(replace(config, gaze=gaze), splits, torch.device("cpu"))
        for _ in range(3):
            learner.update()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 6


def test_an_update_takes_what_changes_from_tensors_that_stay():
    """So that what is recorded of one update is right for all."""
    digits = draw_digits(20, seed=0)
    splits = Splits(digits, digits, digits, "digits")
    config = TrainConfig(
        size=6, glimpses=2, batch=4, what=8, where=8, hidden=8, warmup=2, updates=4,
        augment=True, refine=0.5,
    )  # fmt: skip
    honest, other = (Reinforce(config, splits, torch.device("cpu")) for _ in range(2))
    index, number, strength = other._index, other.optimizer.number, other.strength
    for update in range(4):
        wanted = honest.update()
        other.updates = update
        other._index.copy_(other._next_images())
        other.optimizer.schedule(update)
        other.strength.fill_(1.0 if update < 2 else 0.5)
        other.updates = 10**6  # a recording would not know it either
        seen = other._learn()
        assert all(torch.equal(wanted[name], seen[name]) for name in wanted)
    assert index is other._index
    assert number is other.optimizer.number
    assert strength is other.strength is other.scenes.strength
