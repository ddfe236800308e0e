"""The benchmark: its rows, its protocol, its command."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from saccade.agents import evaluate as evaluation
from saccade.agents import measure, optimize, references, seeds
from saccade.agents.config import read_config
from saccade.agents.evaluate import digest
from saccade.agents.gaze import SCRIPTS
from saccade.agents.presets import PRESETS
from saccade.agents.references import RATE
from saccade.agents.results import make_row, read_rows
from saccade.agents.seeds import Order, train_seed
from saccade.agents.suite import ROWS, find_row
from saccade.data import ImageSet
from saccade.digits import draw_digits
from saccade.scenes import SceneMaker
from scripts import benchmark

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def order(tmp_path, monkeypatch):
    """An order on a few digits, by recipes that take a second."""
    digits = draw_digits(200, 0)
    np.savez(tmp_path / "few.npz", images=digits.images[:, 0], labels=digits.labels)
    small = {"what": 16, "where": 8, "hidden": 24, "policy_hidden": 8, "batch": 32, "updates": 12,
             "warmup": 2, "eval_every": 6, "log_every": 5, "save_seconds": 0.0, "rollouts": 1,
             "baseline": "learned", "minutes": 0.0}  # fmt: skip
    for preset in {row.preset for row in ROWS.values()}:
        monkeypatch.setitem(PRESETS, preset, replace(PRESETS[preset], **small))
    return Order(out=tmp_path / "runs", data=str(tmp_path / "few.npz"), device="cpu", threads=1)


def result(order, row, seed=0):
    return json.loads((order.seed(row, seed).out / "result.json").read_text())


# The protocol -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["centered-28-2g", "centered-28-2g/random", "centered-28/fc-64"])
def test_the_test_set_is_looked_at_only_when_training_has_ended(name, order, monkeypatch):
    events = []

    def noted(function, what):
        return lambda *args, **words: (events.append(what(args)), function(*args, **words))[1]

    spied = noted(evaluation.split_keys, lambda args: args[0])
    for place in (evaluation, references):
        monkeypatch.setattr(place, "split_keys", spied)
    for kind in (optimize.Optimizer, torch.optim.AdamW):
        monkeypatch.setattr(kind, "step", noted(kind.step, lambda _: "step"))
    row = find_row(name)
    assert train_seed(row, order, 0) == 0
    last = max(number for number, event in enumerate(events) if event == "step")
    assert "test" not in events[:last]
    # Then by the run, with each gaze once, and once as stored; whole scenes once in all. The digest
    # of the scenes reads no answers, but it too asks for their keys.
    after = events[last:]
    assert after.count("test") == (2 if row.gaze is None else 2 + len({*SCRIPTS, row.gaze}))
    assert train_seed(row, order, 0) == 0
    assert events[last:] == after, "what was measured is not measured again"


def test_the_test_set_is_one_and_the_same():
    # Pinned: a test set that changes makes all that was measured before incomparable.
    images = (torch.arange(12 * 28 * 28) * 37 % 251).to(torch.uint8).view(12, 1, 28, 28)
    pool = ImageSet(images, torch.arange(12) % 10, tuple("0123456789"))
    maker = SceneMaker(pool, "cluttered", 60)
    assert digest(maker, "test") == digest(maker, "test", batch=5)
    assert digest(maker, "test") == PINNED
    assert digest(maker, "validation") != PINNED
    assert digest(replace(maker, clutter=5), "test") != PINNED


PINNED = "def27afc6c895584f3a27e0dd783548662ff262569e0b1aba82b6ea5dac707d7"


def test_all_methods_and_seeds_see_one_test_set_and_train_on_what_they_are_told(order):
    names = ("centered-28-2g", "centered-28-2g/random", "centered-28/fc-64")
    rows = [find_row(name) for name in names]
    for row in rows:
        for seed in range(2):
            assert train_seed(row, order, seed) == 0
    found = [result(order, row, seed) for row in rows for seed in range(2)]
    assert len({each["test_digest"] for each in found}) == 1
    for each in found:
        assert each["updates"] == 12
        assert each["images"] == 12 * 32
        assert each["complete"]
        assert each["total"] == 20
        assert each["error"] == 100 - 100 * each["correct"][-1] / 20
        assert each["device"] == "cpu"
    made = make_row(rows[0], found[:2], "command")
    assert made["seeds"] == 2
    assert made["error"] == pytest.approx(np.mean(made["errors"]))
    assert made["rollouts"] == 1
    assert len(made["by_glimpse"]) == 2
    assert made["by_glimpse"][-1] == pytest.approx(made["error"])
    assert made["extra_supervision"] == "none"
    assert make_row(rows[2], found[4:], "command")["by_glimpse"] == []
    with pytest.raises(ValueError, match="differ in augmented"):
        make_row(rows[0], [found[0], found[1] | {"augmented": False}], "command")
    # What was done is not done again, and not mixed with another recipe.
    before = (order.seed(rows[0], 0).out / "trainer.pt").stat().st_mtime_ns
    assert train_seed(rows[0], order, 0) == 0
    assert (order.seed(rows[0], 0).out / "trainer.pt").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="was begun with updates 12, but 13 is asked for"):
        train_seed(rows[0], replace(order, updates=13), 0)


def test_the_number_is_that_of_the_stored_weights_at_the_mode(order, monkeypatch):
    row = find_row("centered-28-3g")
    noisy = replace(PRESETS[row.preset], sigma=0.5, rollouts=4)  # of training alone
    monkeypatch.setitem(PRESETS, row.preset, noisy)
    assert train_seed(row, order, 0) == 0
    folder = order.seed(row, 0).out
    summary = json.loads((folder / "summary.json").read_text())
    found = result(order, row)
    assert found["by_glimpse"] == pytest.approx(
        [100 - 100 * each for each in summary["accuracy"]["learned"]], abs=1e-3
    )
    assert measure.measure(folder)["correct"] == found["correct"]
    (folder / "summary.json").write_text(
        json.dumps(summary | {"accuracy": {"learned": [1 - found["error"] / 200]}})
    )
    with pytest.raises(RuntimeError, match="but its summary says"):
        measure.measure(folder)


def test_what_was_cut_short_is_marked(order):
    row = find_row("centered-28/fc-64")
    assert train_seed(row, replace(order, updates=3), 0) == 0
    found = result(order, row)
    assert not found["complete"]


def test_networks_learn_at_a_rate_of_their_own_that_is_told(order, monkeypatch):
    row, rates, honest = find_row("centered-28/fc-64"), [], seeds.train_reference

    def kept(*args, lr, **options):
        rates.append(lr)
        return honest(*args, lr=lr, **options)

    monkeypatch.setattr(seeds, "train_reference", kept)
    assert train_seed(row, replace(order, updates=3), 0) == 0
    assert rates == [RATE]
    assert result(order, row)["recipe"]["lr"] == RATE


def test_a_stopped_seed_goes_on_to_the_very_same_weights(order, tmp_path, monkeypatch):
    row = find_row("centered-28-2g")
    straight = replace(order, out=tmp_path / "straight")
    assert train_seed(row, straight, 0) == 0
    schedule, stops = optimize.Optimizer.schedule, []

    def interrupted(self, update):
        if update == 7 and not stops:
            stops.append(update)
            os.kill(os.getpid(), signal.SIGINT)
        schedule(self, update)

    monkeypatch.setattr(optimize.Optimizer, "schedule", interrupted)
    assert train_seed(row, order, 0) == 130
    assert not (order.seed(row, 0).out / "result.json").exists()
    assert train_seed(row, order, 0) == 0
    assert stops == [7]
    one, other = (
        load_file(each.seed(row, 0).out / "model.safetensors") for each in (straight, order)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert result(order, row)["correct"] == result(straight, row)["correct"]


def test_minutes_become_updates_that_are_kept(order):
    row, short = find_row("centered-28/fc-64"), replace(order, minutes=0.05)
    assert train_seed(row, short, 0) == 0
    config = read_config(short.seed(row, 0).out / "config.json")
    assert config.minutes == 0
    assert result(short, row)["updates"] == config.updates
    assert train_seed(row, short, 0) == 0
    with pytest.raises(ValueError, match=r"was begun with minutes 0.05, but 5.0 is asked for"):
        train_seed(row, replace(order, minutes=5.0), 0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_nothing_is_begun_on_a_device_that_is_not_here(order):
    row, elsewhere = find_row("centered-28-2g"), replace(order, device="cuda")
    with pytest.raises(ValueError, match="cannot be used here"):
        train_seed(row, elsewhere, 0)
    assert not elsewhere.seed(row, 0).out.exists()


def test_what_a_gpu_trained_is_collected_where_there_is_none(order):
    row = find_row("centered-28-6g")
    for device in ("cuda", "cuda:1"):
        config = replace(order, device=device).seed(row, 0)
        assert config.out == order.out / "centered-28-6g" / "augmented-cuda" / "seed-0"
        assert config.compile, "on a GPU several times as fast"
    config = order.seed(row, 0)
    assert config.out.parent.name == "augmented-cpu"
    assert not config.compile


# The command ------------------------------------------------------------------------------------


def test_the_command_trains_rows_and_writes_them(order, tmp_path, monkeypatch, capsys):
    def in_this_process(work, order, jobs, extra):
        return [train_seed(row, order, seed) for row, seed in work]

    monkeypatch.setattr(benchmark, "run_jobs", in_this_process)
    folders = ["--out", str(order.out), "--results", str(tmp_path / "results")]
    same = ["--data", order.data, "--device", "cpu", "--threads", "1", "--no-augment", *folders]
    assert benchmark.main(["centered-28-2g", "centered-28/fc-64", "--seeds", "2", *same]) == 0
    rows = read_rows(tmp_path / "results")
    assert [row["method"] for row in rows] == ["fc-64", "saccade"]
    assert [row["headline"] for row in rows] == [False, True]
    assert not any(row["augmented"] for row in rows)
    assert rows[1]["command"].startswith("python scripts/benchmark.py centered-28-2g --seeds 2 ")
    assert "--threads 1" in rows[1]["command"]
    assert rows[1]["train_command"].startswith("saccade train --data ")
    assert "--preset" not in rows[1]["train_command"], "a preset may become another"
    for name in ("commit", "versions", "hardware", "wall_seconds", "updates", "images", "threads"):
        assert rows[1][name]
    capsys.readouterr()
    assert benchmark.main(["--table", *folders]) == 0
    assert "| centered-28 | 2 |" in capsys.readouterr().out
    # What has ended is written again without training; what has not is said.
    monkeypatch.setattr(benchmark, "run_jobs", None)
    again = ["--results", str(tmp_path / "again")]
    both = ["--collect", "centered-28-2g", "centered-28/fc-64", *same, *again]
    assert benchmark.main(both) == 0
    assert read_rows(tmp_path / "again") == rows
    assert benchmark.main(["--collect", "centered-28-3g", *same, *again]) == 2
    assert "no seed of centered-28-3g has ended" in capsys.readouterr().err
    # A seed that fails or is stopped now takes nothing from a row of seeds that have ended.
    monkeypatch.setattr(benchmark, "run_jobs", lambda work, *rest: [130] * len(work))
    assert benchmark.main(["centered-28-2g", "--seeds", "1", *same]) == 130
    assert read_rows(tmp_path / "results") == rows
    assert benchmark.main(["centered-28-2g", "--seeds", "10", *same]) == 2
    assert "--seeds is up to 9" in capsys.readouterr().err
    page = tmp_path / "page.md"
    page.write_text("<!-- benchmark --> <!-- /benchmark -->")
    assert benchmark.main(["--table", "--write", str(page), *folders]) == 0
    assert "| centered-28 | 2 |" in page.read_text()


def test_a_row_of_another_test_set_is_refused_and_the_next_one_written(
    order, tmp_path, monkeypatch, capsys
):
    results = tmp_path / "results"
    old = {"task": "centered-28", "glimpses": 3, "method": "saccade", "test_digest": "other"}
    trained = []

    def in_this_process(work, order, *_):
        trained.extend(row.name for row, _ in work)
        codes = [train_seed(row, order, seed) for row, seed in work]
        (results / "centered-28.json").write_text(json.dumps([old]))  # somebody else's, meanwhile
        return codes

    monkeypatch.setattr(benchmark, "run_jobs", in_this_process)
    results.mkdir()
    words = ["--data", order.data, "--device", "cpu", "--threads", "1", "--seeds", "1"]
    words += ["--out", str(order.out), "--results", str(results)]
    assert benchmark.main(["centered-28/fc-64", "translated-60/fc-64", *words]) == 2
    assert "another test set" in capsys.readouterr().err
    rows = json.loads((results / "translated-60.json").read_text())
    assert [row["method"] for row in rows] == ["fc-64"]
    # Where they were there before, nothing is trained.
    trained.clear()
    assert benchmark.main(["translated-60/fc-64", "centered-28/fc-256", *words]) == 2
    assert "another test set" in capsys.readouterr().err
    assert not trained
    assert benchmark.main(["translated-60/fc-64", *words]) == 0
    assert trained == ["translated-60/fc-64"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a row"),
        (["cluttered-60"], "there is no row 'cluttered-60'"),
        (["cluttered-60-8g", "--preset", "mnist-cpu"], "but cluttered-60 is"),
        (["--ship", "cluttered-60-8g/random"], "is no agent"),
        (["--ship", "cluttered-60-4g"], "train it first"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments, sentence, tmp_path, capsys):
    assert benchmark.main([*arguments, "--results", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


def test_the_list_of_rows(capsys):
    assert benchmark.main(["--list"]) == 0
    assert capsys.readouterr().out.split() == list(ROWS)


def test_ctrl_c_stops_all_seeds_side_by_side(order, tmp_path):
    command = [sys.executable, "scripts/benchmark.py", "centered-28/fc-64", "--seeds", "2"]
    command += ["--jobs", "2", "--updates", "1000000", "--data", order.data, "--device", "cpu"]
    command += ["--out", str(order.out), "--results", str(tmp_path / "results")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    begun = time.monotonic()
    while len(list(order.out.rglob("config.json"))) < 2 and time.monotonic() - begun < 120:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.count("stopped") == 2
    assert not (tmp_path / "results").exists()
