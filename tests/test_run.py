"""Runs: the same numbers again, whatever stops them in between."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import saccade
from saccade.agents import run as run_module
from saccade.agents.checkpoint import load_episodes, read_checkpoint, write_json
from saccade.agents.config import TrainConfig, from_json, read_config
from saccade.agents.evaluate import evaluate
from saccade.agents.fit import Interrupted, fastest_threads, updates_for
from saccade.agents.gain import known_readers
from saccade.agents.log import read_metrics
from saccade.agents.presets import PRESETS
from saccade.agents.reinforce import Reinforce
from saccade.agents.run import Run, show
from saccade.data import load

QUIET = Console(quiet=True)


@pytest.fixture
def small(tmp_path):
    """A configuration that trains on a few random images in a second."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 12, 10), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(90) % 3)
    return TrainConfig(
        data=str(tmp_path / "images.npz"), scene="cluttered", side=24, clutter_size=4, size=4,
        scales=2, glimpses=3, maps=4, what=16, where=8, hidden=24, policy_hidden=8, batch=32,
        rollouts=2, baseline="leave-one-out", reward="dense", early=0.2, augment=True,
        first="learned", core="lstm", updates=40, warmup=5, log_every=10, eval_every=20,
        save_seconds=0.0, threads=1, device="cpu", out=tmp_path / "run",
    )  # fmt: skip


def results(folder):
    weights = load_file(folder / "model.safetensors")
    summary = json.loads((folder / "summary.json").read_text())
    return weights, read_metrics(folder), summary["accuracy"], summary["validation"]


def assert_same(one, other):
    assert one[1:] == other[1:]
    assert one[0].keys() == other[0].keys()
    for name in one[0]:
        assert torch.equal(one[0][name], other[0][name]), name


def test_one_seed_gives_one_run(small, tmp_path):
    Run(small).train(QUIET)
    Run(replace(small, out=tmp_path / "again")).train(QUIET)
    assert_same(results(small.out), results(tmp_path / "again"))
    Run(replace(small, out=tmp_path / "other", seed=1)).train(QUIET)
    weights = results(tmp_path / "other")[0]
    assert not torch.equal(weights["core.weight_hh"], results(small.out)[0]["core.weight_hh"])


def test_an_interrupted_run_goes_on_to_the_very_same_numbers(small, tmp_path):
    straight = replace(small, out=tmp_path / "straight", readers=True)
    Run(straight).train(QUIET)
    broken = replace(small, readers=True)
    stops = 0
    while True:
        run = Run(broken, resume=stops > 0)
        timer = threading.Timer(0.25 * (1 + stops), os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            run.train(QUIET)
            break
        except Interrupted:
            stops += 1
        except KeyboardInterrupt:  # between two networks, where nothing is lost
            stops += 1
        finally:
            timer.cancel()
    assert stops > 0
    assert_same(results(tmp_path / "straight"), results(small.out))
    for gaze in ("random", "center", "raster"):
        one, other = (
            load_file(folder / "readers" / gaze / "model.safetensors")
            for folder in (tmp_path / "straight", small.out)
        )
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_kill_loses_no_more_than_the_last_checkpoint(small, tmp_path):
    Run(replace(small, updates=200, out=tmp_path / "straight")).train(QUIET)
    config = replace(small, updates=200)
    code = (
        "import sys, json; from saccade.agents.config import from_json;"
        "from saccade.agents.run import Run; from rich.console import Console;"
        "Run(from_json(json.loads(sys.argv[1]))).train(Console(quiet=True))"
    )
    child = subprocess.Popen([sys.executable, "-c", code, json.dumps(config.to_json())])
    while not (small.out / "trainer.pt").is_file():
        time.sleep(0.02)
    child.kill()
    assert child.wait() != 0
    assert not (small.out / "summary.json").exists()
    Run(config, resume=True).train(QUIET)
    assert_same(results(tmp_path / "straight"), results(small.out))


def test_a_run_that_is_judged_on_validation_never_looks_at_the_test_set(small, monkeypatch):
    looked = []

    def note(*words, **options):
        looked.append(words[2])
        return evaluate(*words, **options)

    monkeypatch.setattr(run_module, "evaluate", note)
    summary = Run(replace(small, judge="validation")).train(QUIET)
    assert set(looked) == {"validation"}
    assert summary["judged"] == "validation"
    assert summary["accuracy"] == summary["validation"]
    console = Console(file=io.StringIO(), width=200)
    show(summary, console)
    count = summary["images_by_split"]["validation"]
    assert f"Right on {count} validation scenes" in console.file.getvalue()
    assert len(load_episodes(small.out)[2]) == count
    write_json(small.out / "summary.json", summary | {"readers": "trained"})
    # Their errors are not of test scenes.
    assert known_readers(small.out) == ({}, 0)
    looked.clear()
    Run(replace(small, out=small.out.parent / "other")).train(QUIET)
    assert set(looked) == {"validation", "test"}


def test_what_a_run_leaves_behind(small):
    summary = Run(replace(small, readers=True)).train(QUIET)
    assert json.loads((small.out / "summary.json").read_text()) == summary
    for split in ("accuracy", "validation"):
        assert list(summary[split]) == ["learned", "random", "center", "raster"]
        assert all(len(values) == 3 for values in summary[split].values())
        assert all(0 <= value <= 1 for values in summary[split].values() for value in values)
    assert summary["seconds"] > 0
    assert summary["readers"] == "trained"
    lines = read_metrics(small.out)
    losses = next(line for line in lines if line["update"] == 10)
    assert {"loss_classify", "loss_policy", "loss_baseline", "reward", "policy_spread", "clipped",
            "at_edge", "grad_norm_policy", "grad_norm_encoder", "lr"} <= set(losses)  # fmt: skip
    assert len(losses["accuracy"]) == 3
    looks = [line["validation"] for line in lines if "validation" in line]
    assert [set(look) for look in looks] == [{"learned", "random", "center"}] * 2
    assert read_config(small.out / "config.json") == replace(small, readers=True)
    assert not list(small.out.rglob("*.part"))


def test_metrics_go_to_tensorboard_too(small):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Run(small).train(QUIET)
    events = EventAccumulator(str(small.out / "tensorboard"))
    events.Reload()
    lines = [line for line in read_metrics(small.out) if "loss_policy" in line]
    for tag, value in (
        ("loss_policy", lambda line: line["loss_policy"]),
        ("accuracy/glimpse_3", lambda line: line["accuracy"][2]),
    ):
        written = [(each.step, each.value) for each in events.Scalars(tag)]
        assert written == [(line["update"], pytest.approx(value(line))) for line in lines]
    assert len(events.Scalars("validation/learned/glimpse_1")) == 2


def test_a_loaded_agent_looks_as_it_was_evaluated(small):
    Run(small).train(QUIET)
    agent = saccade.load(small.out)
    scenes = load_file(small.out / "scenes.safetensors")["scenes"]
    kept = saccade.Scanpath.load(small.out / "scanpath.safetensors")
    looked = agent.look(scenes)
    torch.testing.assert_close(looked.locations, kept.locations)
    torch.testing.assert_close(looked.beliefs, kept.beliefs)
    assert torch.equal(looked.glimpses, kept.glimpses)
    assert len(agent.look(scenes[0])) == 1
    assert agent.look(torch.zeros(2, 1, 50, 31)).width == 31
    with pytest.raises(ValueError, match="1 channel"):
        agent.look(torch.zeros(2, 3, 24, 24))


def test_minutes_become_a_number_of_updates(small):
    run = Run(small)
    begun = time.monotonic()
    count = updates_for(8.0, Reinforce(small, run.splits, run.device))
    assert time.monotonic() - begun >= 5
    assert 1 <= count < 10_000
    assert fastest_threads(Reinforce(replace(small, threads=2), run.splits, run.device)) in (1, 2)
    torch.set_num_threads(1)


def test_the_learning_rate_by_hand(small):
    config = replace(small, lr=1.0, warmup=4, updates=24)
    learner = Reinforce(config, load(small.data), torch.device("cpu"))
    rates = [learner.optimizer.learning_rate(update) for update in (0, 3, 4, 14, 24, 99)]
    assert rates == pytest.approx([0.25, 1.0, 1.0, 0.5, 0.0, 0.0])


def test_each_image_once_an_epoch(small):
    splits = load(small.data)
    learner = Reinforce(replace(small, batch=16), splits, torch.device("cpu"))
    count, drawn = len(splits.train), []
    for update in range(18):
        learner.updates = update
        drawn += learner._next_images().tolist()
    for epoch in range(16 * 18 // count):
        part = drawn[epoch * count : (epoch + 1) * count]
        assert sorted(part) == list(range(count))
    assert drawn[:count] != drawn[count : 2 * count]


def test_batches_larger_than_the_data_are_filled_from_the_next_epochs(small):
    learner = Reinforce(replace(small, batch=500), load(small.data), torch.device("cpu"))
    assert len(learner._next_images()) == 500


def test_a_run_is_not_written_over_and_another_is_not_resumed(small, tmp_path):
    Run(small).train(QUIET)
    with pytest.raises(ValueError, match="already holds a run"):
        Run(small)
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        Run(replace(small, out=tmp_path / "none"), resume=True)
    (small.out / "trainer.pt").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"trainer.pt is broken"):
        Run(small, resume=True)


def test_it_says_how_it_goes_and_what_looks_like_a_collapse(small):
    console = Console(record=True, quiet=False, width=200, file=io.StringIO())
    Run(small).train(console)
    every = range(small.eval_every, small.updates + 1, small.eval_every)
    lines = [line for line in console.export_text().splitlines() if "validation learned" in line]
    assert [line.partition(":")[0].strip() for line in lines] == [f"{done:,}" for done in every]
    assert all("; gaze spread " in line and "% outside" in line for line in lines)
    learner = Reinforce(small, load(small.data, seed=0), torch.device("cpu"))
    seen = {"learned": [0.2, 0.5], "random": [0.3, 0.6], "center": [0.1, 0.1]}
    assert "collapsed" in learner.diagnosis(seen, {})
    better = seen | {"learned": [0.2, 0.7]}
    assert "collapsed" not in learner.diagnosis(better, {})
    for place, lost in (((1.0, 0.0), True), ((-0.7, 0.7), False)):  # an edge, a place within
        with torch.no_grad():
            learner.network.policy.net[-1].weight.zero_()
            learner.network.policy.net[-1].bias.copy_(
                torch.tensor(place).clamp(-0.999, 0.999).atanh()
            )
        seen = {name: value.mean().item() for name, value in learner.update().items()}
        assert seen["at_edge"] == lost
        assert ("run to the edge" in learner.diagnosis(better, seen)) == lost


def test_a_gradient_that_is_no_number_stops_the_run_with_the_state_before_it(small):
    run = Run(small)
    honest, learned = Reinforce._trip, []

    def poisoned(self, key, index):
        loss, metrics = honest(self, key, index)
        if self.updates == 13:
            learned.append({name: each.clone() for name, each in self.network.state_dict().items()})
            loss = loss + torch.nan * self.network.core.weight_hh.sum()
        return loss, metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reinforce, "_trip", poisoned)
        with pytest.raises(FloatingPointError, match=r"update 13 .* in core; .*broken"):
            run.train(QUIET)
    saved = load_file(small.out / "broken" / "model.safetensors")
    for name, value in learned[0].items():
        assert torch.equal(saved[name], value), name
    assert saccade.load(small.out / "broken").spec.glimpses == small.glimpses
    assert read_checkpoint(small.out, torch.device("cpu"))["learner"]["updates"] <= 13
    resumed = replace(small, out=small.out / "broken", lr=1e-4)
    assert Run(resumed, resume=True).train(QUIET)["updates"] == small.updates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "--batch must be 1 or more"),
        ({"sigma": 0.0}, "--sigma must be over 0"),
        ({"slip": -0.1}, "--slip must be 0 or more"),
        ({"lr": float("nan")}, "--lr must be over 0"),
        ({"baseline": "leave-one-out", "rollouts": 1}, "needs --rollouts of 2"),
        ({"core": "transformer"}, "--core is one of rnn, rnn-norm, gru, lstm"),
        ({"discount": 1.5}, "--discount must be from 0 to 1"),
        ({"device": "cuda:99"}, "cannot be used here"),
        ({"scene": "translated", "side": 4}, "do not fit"),
        ({"data": "/none"}, "/none"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(small, change, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Run(replace(small, **change))
    assert not small.out.exists()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_sound_and_survive_json(name):
    config = PRESETS[name].check()
    assert from_json(json.loads(json.dumps(config.to_json()))) == config


def test_configurations_are_read_strictly(tmp_path):
    with pytest.raises(ValueError, match="unknown options in the configuration: glimses"):
        from_json({"glimses": 3})
    with pytest.raises(ValueError, match="glimpses in the configuration must be int"):
        from_json({"glimpses": "3"})
    assert from_json({"lr": 1}) == TrainConfig(lr=1.0)
    (tmp_path / "c.json").write_text("[1")
    with pytest.raises(ValueError, match="is not JSON"):
        read_config(tmp_path / "c.json")
    with pytest.raises(FileNotFoundError, match="no configuration file"):
        read_config(tmp_path / "none.json")
