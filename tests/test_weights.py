"""Shipped agents: by name, to the very same numbers."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import saccade
from saccade import shipped
from saccade.agents.checkpoint import read_json, write_json
from saccade.agents.cli import main
from saccade.agents.config import TrainConfig, read_config
from saccade.agents.results import make_row, read_rows, write_row
from saccade.agents.seeds import Order, row_folder, train_seed
from saccade.agents.suite import find_row
from saccade.agents.weights import make_card, open_trained, ship
from saccade.data import load as load_data
from saccade.digits import draw_digits
from scripts import benchmark

ROW = find_row("translated-60-4g")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two trained seeds of a row, and the row."""
    import numpy as np

    folder = tmp_path_factory.mktemp("place")
    digits = draw_digits(600, 0)
    np.savez(folder / "few.npz", images=digits.images[:, 0], labels=digits.labels)
    order = Order(
        out=folder / "runs", data=str(folder / "few.npz"), device="cpu", threads=1, updates=3
    )
    for seed in range(2):
        assert train_seed(ROW, order, seed) == 0
    found = [read_json(order.seed(ROW, seed).out / "result.json") for seed in range(2)]
    write_row(make_row(ROW, found, "command"), folder / "results")
    return folder


def ship_by_command(place, weights, *more):
    return benchmark.main(
        ["--ship", ROW.name, "--out", str(place / "runs"), "--results", str(place / "results"),
         "--weights", str(weights), *more]
    )  # fmt: skip


@pytest.fixture
def weights(place, tmp_path, monkeypatch):
    """A folder with one shipped agent, as the package's own."""
    assert ship_by_command(place, tmp_path / "weights") == 0
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "weights")
    return tmp_path / "weights"


def test_the_seed_with_the_least_validation_error_is_shipped(place, weights):
    (row,) = read_rows(place / "results")
    best = min(range(2), key=lambda seed: row["validation"][seed])
    assert row["shipped"] == {"name": ROW.name, "seed": best, "error": row["errors"][best]}
    run = row_folder(place / "runs", ROW.name, row["augmented"], "cpu") / f"seed-{best}"
    trained, kept = load_file(run / "model.safetensors"), shipped.read(ROW.name)[0]
    assert trained.keys() == kept.keys()
    assert all(torch.equal(trained[name], kept[name]) for name in kept)
    assert shipped.names() == [ROW.name]
    assert {path.name for path in weights.iterdir()} == {
        f"{ROW.name}.safetensors", f"{ROW.name}.md"
    }  # fmt: skip


def test_the_choice_follows_validation_against_the_test(place, tmp_path):
    (row,) = read_rows(place / "results")
    folder = row_folder(place / "runs", ROW.name, row["augmented"], "cpu")
    for worse in range(2):
        write_row(row | {"validation": [50.0 + (seed == worse) for seed in range(2)]}, tmp_path)
        assert ship_by_command(place, tmp_path, "--results", str(tmp_path)) == 0
        assert shipped.read(ROW.name, tmp_path)[1]["seed"] == 1 - worse
    # The one to ship was trained elsewhere, and is not here.
    away = row | {"seed_numbers": [0, 7], "validation": [51.0, 50.0]}
    (tmp_path / f"{ROW.task}.json").unlink()
    write_row(away, tmp_path)
    with pytest.raises(ValueError, match=f"seed 7 .* {folder / 'seed-7'} is not there"):
        benchmark.ship_row(benchmark.options(
            ["--ship", ROW.name, "--out", str(place / "runs"), "--results", str(tmp_path)]
        ))  # fmt: skip


def test_evaluate_gives_the_tables_number_again(place, weights, tmp_path, capsys):
    (row,) = read_rows(place / "results")
    seed = row["shipped"]["seed"]
    data = str(place / "few.npz")
    for name in ("one.json", "two.json"):
        path = tmp_path / name
        assert main(["evaluate", ROW.name, "--data", data, "--json", str(path)]) == 0
        said = json.loads(path.read_text())
        assert said["error"] == row["errors"][seed]
        assert said["task"] == "translated-60"
        assert said["glimpses"] == 4
        assert len(said["by_glimpse"]) == 4
        assert said["total"] == 60
        assert said["correct"] == shipped.read(ROW.name)[1]["test"]["correct"]
    assert f"test error {row['errors'][seed]:.2f} %" in capsys.readouterr().out
    # The run folder says the same.
    run = row_folder(place / "runs", ROW.name, row["augmented"], "cpu") / f"seed-{seed}"
    assert main(["evaluate", str(run), "--json", str(tmp_path / "run.json")]) == 0
    other = json.loads((tmp_path / "run.json").read_text())
    same = ("task", "glimpses", "error", "by_glimpse", "correct", "total", "accuracy")
    assert {key: other[key] for key in same} == {key: said[key] for key in same}


def test_a_name_loads_and_looks(place, weights):
    agent = saccade.load(ROW.name)
    assert (agent.spec.glimpses, agent.spec.height, agent.spec.retina.scales) == (4, 60, 3)
    trained = open_trained(ROW.name)
    maker_data = load_data(str(place / "few.npz"))
    scenes = trained.look(maker_data.test, "test")
    assert torch.equal(agent.look(scenes.scenes).locations, scenes.scanpath.locations)
    first = trained.look(maker_data.test, "test", count=5)
    assert torch.equal(first.scenes[:5], scenes.scenes[:5])  # clutter or not, the same scenes
    assert sum(first.confusion.flatten()) == 5


def test_a_shipped_agent_carries_its_whole_recipe(place, weights):
    """So that others learn as it did whatever its task's recipe has become."""
    (row,) = read_rows(place / "results")
    run = row_folder(place / "runs", ROW.name, row["augmented"], "cpu") / (
        f"seed-{row['shipped']['seed']}"
    )
    ran, said = read_config(run / "config.json"), open_trained(ROW.name).config
    assert (said.updates, said.core, said.lr, said.seed) == (3, "gru", 2e-3, ran.seed)
    assert said.data == "mnist"  # not where it lay on the machine that trained it
    own = TrainConfig()
    assert said == replace(ran, data="mnist", out=own.out, device=own.device, threads=own.threads)


def test_watch_takes_a_name(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACCADE_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["watch", ROW.name, "--count", "1"]) == 0
    assert "digits drawn on the fly" in capsys.readouterr().out
    assert (tmp_path / "runs" / ROW.name / "gaze.png").stat().st_size > 1000


def test_an_unknown_name_is_told_the_names(weights, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"shipped: {ROW.name}"):
        saccade.load("cluttered-61")
    for command in ("evaluate", "watch"):
        assert main([command, "cluttered-61"]) == 2
        assert f"shipped: {ROW.name}" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="shipped: none yet"):
        saccade.load("cluttered-61", weights=tmp_path / "empty")


def test_a_run_folder_of_that_name_comes_first(place, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ROW.name).mkdir()
    # An empty folder, such as watch makes, hides nothing.
    assert open_trained(ROW.name).agent.spec.glimpses == 4
    other = TrainConfig(glimpses=2, hidden=8)
    agent = other.agent_spec((1, 28, 28), tuple("01"))
    from dataclasses import asdict

    from saccade.agent import save_weights

    save_weights(agent.build(), tmp_path / ROW.name)
    write_json(
        tmp_path / ROW.name / "config.json", {"config": other.to_json(), "agent": asdict(agent)}
    )
    assert saccade.load(ROW.name).spec.glimpses == 2
    assert open_trained(ROW.name).agent.spec.glimpses == 2


def test_the_card_says_what_must_be_said(place, weights):
    text = (weights / f"{ROW.name}.md").read_text()
    (row,) = read_rows(place / "results")
    assert f"| test error of these weights | {row['shipped']['error']:.2f} % (" in text
    assert f"| mean over 2 seed(s) | {row['error']:.2f} %, 95 % interval " in text
    assert "not to the end of its recipe: 3 updates" in text
    assert "\n    saccade train --data " in text
    assert f"| commit | {row['commit'][0]} |" in text
    for word in ("license", "augmentation", "extra supervision", "Protocol", "Limits", "1.54"):
        assert word in text
    assert str(place) not in text
    folder = row_folder(place / "runs", ROW.name, row["augmented"], "cpu") / "seed-0"
    slips = read_json(folder / "result.json") | {"recipe": row["recipe"] | {"slip": 0.1}}
    card = make_card(ROW.name, row | {"augmented": False}, slips, 1)
    assert "| augmentation | none; in training the eye slips by 0.1 |" in card


def test_weights_that_do_not_give_the_rows_count_are_not_shipped(place, tmp_path):
    (row,) = read_rows(place / "results")
    run = row_folder(place / "runs", ROW.name, row["augmented"], "cpu") / "seed-0"
    result, splits = read_json(run / "result.json"), load_data(str(place / "few.npz"))
    wrong = [*result["correct"][:-1], result["correct"][-1] + 1]
    with pytest.raises(ValueError, match=r"measure the row here \(--measure\)"):
        ship(row, run, result | {"correct": wrong}, splits, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_what_is_too_large_is_not_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="has at most 1,000"):
        shipped.write("big", {"weight": torch.zeros(500)}, {}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    save_file({"weight": torch.zeros(3)}, tmp_path / "bare.safetensors")
    shipped.write("old", {"weight": torch.zeros(3)}, {"row": ROW.name, "scenes": {}}, tmp_path)
    for name in ("torn", "bare", "old"):
        with pytest.raises(ValueError, match=f"{name}.safetensors holds no agent"):
            saccade.load(name, weights=tmp_path)


@pytest.mark.parametrize("name", shipped.names() or [None])
def test_what_is_shipped_is_small_and_has_a_card_and_gives_its_number(name, data_dir):
    if name is None:
        pytest.skip("no agent is shipped")
    path = shipped.FOLDER / f"{name}.safetensors"
    assert path.stat().st_size < 3_000_000
    assert f"# {name}\n" in path.with_suffix(".md").read_text()
    trained = open_trained(name)
    assert find_row(name).glimpses == trained.agent.spec.glimpses
    told = shipped.read(name)[1]["test"]
    seen = trained.look(load_data(str(data_dir)).test, "test")
    # Another processor may differ in single images; on the one that measured it, in none.
    assert abs(seen.correct[-1] - told["correct"][-1]) <= 0.001 * told["total"]
