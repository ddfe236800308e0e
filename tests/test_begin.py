"""A trained agent that is given a canvas: it stays as it is, and what it answers is both's."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from saccade import shipped
from saccade.agent import load
from saccade.agents import reinforce
from saccade.agents.cli import main
from saccade.agents.config import read_config
from saccade.agents.presets import PRESETS
from saccade.agents.results import make_row, read_rows, write_row
from saccade.agents.seeds import Order, check_begun, train_seed
from saccade.agents.suite import find_row
from saccade.agents.table import make_table
from saccade.digits import draw_digits
from scripts import benchmark

SMALL = {
    "size": 8, "glimpses": 2, "what": 16, "where": 8, "hidden": 16, "policy_hidden": 8, "batch": 32,
    "updates": 6, "warmup": 0, "eval_every": 3, "log_every": 2, "threads": 1,
}  # fmt: skip


def train(out, *more, **options):
    options = {name: str(value) for name, value in (SMALL | options | {"out": out}).items()}
    flags = [("--" + name.replace("_", "-"), value) for name, value in options.items()]
    return main(["train", *(word for flag in flags for word in flag), *more])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    digits = draw_digits(200, 0)
    path = tmp_path_factory.mktemp("data") / "few.npz"
    np.savez(path, images=digits.images[:, 0], labels=digits.labels)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("runs") / "first"
    assert train(out, data=data, core="rnn-norm") == 0
    return out


def test_an_agent_stays_as_it_is_and_its_canvas_learns(run, data, tmp_path):
    more = {"data": data, "core": "rnn-norm", "canvas": 2, "begin": run, "lr": 0.01}
    assert train(tmp_path / "fresh", **more, updates=1, weight_decay=0.0) == 0
    assert train(tmp_path / "more", **more) == 0
    old, fresh, new = (
        load_file(folder / "model.safetensors")
        for folder in (run, tmp_path / "fresh", tmp_path / "more")
    )
    assert {name.split(".")[0] for name in new.keys() - old.keys()} == {"canvas"}
    assert all(torch.equal(new[name], old[name]) for name in old)
    canvas = [name for name in new if name.startswith("canvas.")]
    assert all(not torch.equal(new[name], fresh[name]) for name in canvas)
    # It looks where the first looks, and answers with its canvas besides.
    images = draw_digits(20, 3).images
    before, after = load(run).look(images), load(tmp_path / "more").look(images)
    assert torch.equal(before.locations, after.locations)
    assert not torch.equal(before.beliefs, after.beliefs)


@pytest.mark.parametrize("begins", [False, True])
def test_beside_what_is_trained_a_canvas_learns_alone(begins, run, data, tmp_path, monkeypatch):
    told, honest = [], reinforce.hybrid_losses
    monkeypatch.setattr(
        reinforce, "hybrid_losses", lambda *a, **k: (told.append(k["alone"]), honest(*a, **k))[1]
    )
    more = {"begin": run} if begins else {}
    assert train(tmp_path / "more", data=data, core="rnn-norm", canvas=2, **more) == 0
    assert {*told} == {begins}


def test_what_was_stopped_goes_on_to_the_same(run, data, tmp_path, monkeypatch):
    more = {"data": data, "core": "rnn-norm", "canvas": 2, "begin": run, "save_seconds": 0}
    assert train(tmp_path / "whole", **more) == 0
    honest = reinforce.Reinforce.update

    def cut(self):
        if self.updates == 3:
            raise KeyboardInterrupt
        return honest(self)

    monkeypatch.setattr(reinforce.Reinforce, "update", cut)
    assert train(tmp_path / "cut", **more) == 130
    monkeypatch.undo()
    assert main(["train", "--resume", "--out", str(tmp_path / "cut"), "--threads", "1"]) == 0
    whole, resumed = (load_file(tmp_path / each / "model.safetensors") for each in ("whole", "cut"))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hidden": 24}, "has hidden 16, but 24 is asked for"),
        ({"core": "rnn"}, "has core rnn-norm, but rnn is asked for"),
        ({"aim": "relative"}, "has aim absolute, but relative is asked for"),
        ({"scales": 2}, "has retina"),
        ({"first": "learned"}, "has first center, but learned is asked for"),
        ({"gaze": "random"}, "has gaze learned, but random is asked for"),
        ({"join": "multiply"}, "has join add, but multiply is asked for"),
        ({"seed": 1}, "images that seed 1 is validated on; take --seed 0"),
        ({"canvas": 0}, "add --canvas 24"),
        ({"begin": "nobody"}, "no run folder nobody"),
        ({"begin": "runs/nobody"}, "holds no config.json"),
    ],
)
def test_another_agent_is_refused_before_anything_is_written(
    options, sentence, run, data, tmp_path, capsys
):
    more = {"data": data, "core": "rnn-norm", "canvas": 2, "begin": run} | options
    assert train(tmp_path / "more", **more) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "more").exists()


def test_readers_are_trained_whole(run, data, tmp_path, capsys):
    assert train(tmp_path / "more", "--readers", data=data, canvas=2, begin=run) == 2
    assert "--readers trains whole ones" in capsys.readouterr().err


def test_what_has_not_ended_is_not_begun_from(run, data, tmp_path, capsys):
    half = tmp_path / "half"
    shutil.copytree(run, half)
    (half / "summary.json").unlink()
    more = {"data": data, "core": "rnn-norm", "canvas": 2}
    assert train(tmp_path / "more", **more, begin=half) == 2
    assert "training has not ended" in capsys.readouterr().err


def test_an_agent_has_one_canvas(run, data, tmp_path, capsys):
    more = {"data": data, "core": "rnn-norm", "canvas": 2}
    assert train(tmp_path / "one", **more, begin=run) == 0
    assert train(tmp_path / "two", **more, begin=tmp_path / "one") == 2
    assert "has a canvas already" in capsys.readouterr().err


@pytest.fixture
def ended(data, tmp_path, monkeypatch):
    """Two seeds of a row that were trained, and an order that gives them a canvas."""
    small = {name: value for name, value in SMALL.items() if name not in ("glimpses", "threads")}
    first = dataclasses.replace(PRESETS["mnist-cpu"], **small, canvas=0)
    monkeypatch.setitem(PRESETS, "mnist-cpu", first)
    monkeypatch.setitem(PRESETS, "mnist-canvas", dataclasses.replace(first, canvas=2, updates=4))
    order = Order(out=tmp_path / "first", data=str(data), device="cpu", threads=1)
    row = find_row("centered-28-2g")
    monkeypatch.setitem(PRESETS, row.preset, first)
    for seed in range(2):
        assert train_seed(row, order, seed) == 0
    begin = order.seed(row, 0).out.parent
    return (
        row,
        begin,
        dataclasses.replace(order, out=tmp_path / "more", preset="mnist-canvas", begin=begin),
    )


def test_seeds_begin_each_from_its_own_and_their_row_tells_of_both(ended, tmp_path):
    row, begin, order = ended
    words = ["--begin", str(begin), "--preset", "mnist-canvas", "--out", str(order.out)]
    words += ["--data", order.data, "--device", "cpu", "--threads", "1", "--seeds", "2"]
    results = ["--results", str(tmp_path / "rows")]
    for seed in range(2):
        assert train_seed(row, order, seed) == 0
    assert benchmark.main(["--collect", row.name, *words, *results]) == 0
    (made,) = [each for each in read_rows(tmp_path / "rows") if each["glimpses"] == 2]
    assert made["seeds"] == 2
    assert f"--begin {begin}" in made["command"]
    assert made["updates"] == [4, 4]
    assert made["begun"]["updates"] == 6
    assert "--begin" not in made["begun"]["train_command"]
    assert "--begin runs/begun" in made["train_command"]
    assert made["complete"]
    for seed in range(2):
        config = read_config(order.seed(row, seed).out / "config.json")
        assert config.begin == str(begin / f"seed-{seed}")
        old = load_file(begin / f"seed-{seed}" / "model.safetensors")
        new = load_file(order.seed(row, seed).out / "model.safetensors")
        assert all(torch.equal(new[name], old[name]) for name in old)  # both rounded to float16
    assert "| cpu | to the end, canvas added |" in make_table([made])
    assert "stayed as it was" in make_table([made])
    # They lie apart from what begins from nothing; what begins elsewhere is another seed.
    assert order.seed(row, 0).out.parent.name == "augmented-cpu-begun"
    other = dataclasses.replace(order, begin=tmp_path / "other").seed(row, 0)
    with pytest.raises(ValueError, match="was begun with begin"):
        check_begun(other)
    # With the agents that they began from they are rows of their own.
    words = ["--out", str(begin.parents[1]), "--data", order.data, "--device", "cpu"]
    assert benchmark.main(["--collect", row.name, *words, *results]) == 0
    both = [each for each in read_rows(tmp_path / "rows") if each["glimpses"] == 2]
    assert [bool(each["begun"]) for each in both] == [False, True]


def test_what_a_gpu_had_a_part_in_counts_as_a_gpus(ended, tmp_path):
    row, begin, order = ended
    for path in begin.glob("seed-*/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"device": "cuda"}))
    assert train_seed(row, order, 0) == 0
    result = json.loads((order.seed(row, 0).out / "result.json").read_text())
    assert result["device"] == "cuda"
    assert result["hardware"]["gpu"] is None
    words = ["--preset", "mnist-canvas", "--begin", str(begin), "--out", str(order.out)]
    words += ["--data", order.data, "--device", "cpu", "--results", str(tmp_path / "rows")]
    assert benchmark.main(["--collect", row.name, *words]) == 0
    (made,) = read_rows(tmp_path / "rows")
    assert made["device"] == "cuda"
    assert "| cuda, then cpu | to the end, canvas added |" in make_table([made])
    assert "--device cpu" in made["command"]
    words += ["--weights", str(tmp_path / "weights")]
    assert benchmark.main(["--ship", row.name, *words]) == 0
    facts = shipped.read(row.name, tmp_path / "weights")[1]
    assert facts["test"]["correct"] == result["correct"]
    card = (tmp_path / "weights" / f"{row.name}.md").read_text()
    assert "| before, without its canvas | 6 updates, 192 scenes, " in card
    first = result["begun"]["train_command"]
    assert f"    {first} --out runs/begun\n\nand, its weights rounded to float16" in card


def test_seeds_that_began_otherwise_are_another_training(ended, tmp_path):
    row, _, order = ended
    for seed in range(2):
        assert train_seed(row, order, seed) == 0
    one, two = (
        json.loads((order.seed(row, seed).out / "result.json").read_text()) for seed in range(2)
    )
    for key, value in {"updates": 7, "device": "cuda", "recipe": {}}.items():
        other = two | {"begun": two["begun"] | {key: value}}
        with pytest.raises(ValueError, match=f"begin from differs in {key}"):
            make_row(row, [one, other], "command")
        write_row(make_row(row, [one, one | {"seed": 5}], "command"), tmp_path / key)
        fewer = make_row(row, [other], "command")
        with pytest.raises(ValueError, match=f"{key} of what it began from differ"):
            write_row(fewer, tmp_path / key)
    with pytest.raises(ValueError, match="begin from differs in recipe"):
        make_row(row, [one, two | {"begun": None}], "command")
    two["begun"] |= {"commit": "later, last"}
    for each in (one, two):
        _, made = write_row(make_row(row, [each], "command"), tmp_path / "rows")
    assert made["seed_numbers"] == [0, 1]
    assert {*made["begun"]["commit"]} == {*one["begun"]["commit"].split(", "), "later", "last"}


def test_a_row_begins_from_what_has_ended(ended):
    row, begin, order = ended
    (begin / "seed-0" / "result.json").unlink()
    with pytest.raises(FileNotFoundError, match="rows begin from seeds of rows that ended"):
        train_seed(row, order, 0)
    assert not order.seed(row, 0).out.exists()
