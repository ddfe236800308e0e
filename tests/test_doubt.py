"""`saccade doubt`: what it measures, on what it chooses, and what it writes."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from saccade.agents import doubt
from saccade.agents.belief import measure_belief
from saccade.agents.cli import main
from saccade.agents.config import read_config
from saccade.agents.doubt import Effort, same_data
from saccade.agents.doubt_page import verdict
from saccade.agents.full_look import FullLook, Seen, look_fully
from saccade.agents.gain import best_fixed, fixed_gaze, fixed_script
from saccade.agents.gaze import SCRIPTS
from saccade.agents.pairs import over_seeds, pair
from saccade.agents.stopping import measure_stopping, paired_bound
from saccade.agents.stress import first_scenes
from saccade.agents.weights import open_trained
from saccade.corruptions import KINDS
from saccade.digits import draw_digits
from tests.test_halting import MAKER, POOL, T, make_agent, seen_by

SMALL = shlex.split(
    "--scene translated --side 36 --size 6 --scales 2 --glimpses 3 --what 16 --where 8 "
    "--hidden 24 --policy-hidden 8 --batch 32 --updates 25 --lr 0.005 --warmup 2 --early 0.5 "
    "--log-every 10 --eval-every 25 --threads 1 --device cpu"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with drawn digits and two runs on them, of two seeds."""
    path = tmp_path_factory.mktemp("doubt")
    digits = draw_digits(420, 0)
    np.savez(path / "digits.npz", images=digits.images[:, 0].numpy(), labels=digits.labels.numpy())
    for seed in "01":
        words = ["train", "--data", str(path / "digits.npz"), "--out", str(path / f"run{seed}")]
        assert main([*words, "--seed", seed, *SMALL]) == 0
    return path


@pytest.fixture(autouse=True)
def _little(monkeypatch):
    few = Effort(test=60, validation=60, train=100, strange=10, corrupted=6, path=20)
    monkeypatch.setattr(doubt, "QUICK", few)


def test_a_run_is_doubted(folder, capsys):
    run = folder / "run0"
    assert main(["doubt", str(run), "--quick", "--json", str(folder / "all.json")]) == 0
    shown = capsys.readouterr().out
    found = json.loads((folder / "all.json").read_text())
    assert found == json.loads((run / "doubt" / "doubt.json").read_text())
    summary = json.loads((run / "summary.json").read_text())
    errors = [100 * (1 - value) for value in summary["accuracy"]["learned"]]
    assert found["anytime"] == pytest.approx(errors, abs=1e-3)  # the very test scenes of training
    for name in ("random", "center", "raster"):
        own = [100 * (1 - value) for value in summary["accuracy"][name]]
        assert found["policy"]["own"][name] == pytest.approx(own, abs=1e-3)
    assert set(found["stop"]["rules"]) == {"confidence", "entropy", "learned"}
    assert set(found["corrupted"]["errors"]["saccade"]) == {"clean", *KINDS, "mean"}
    assert set(found["strange"]["auroc"]) == {"latin", "greek", "noise"}
    text = (run / "doubt" / "doubt.md").read_text()
    for words in ("Stopping early", "Calibration", "zigzag", "What the policy adds"):
        assert words in text
        assert words in shown
    assert "the agent's own reader, which favors" in " ".join(shown.split())
    for picture in ("stopping", "reliability", "risk", "corruptions"):
        assert (run / "doubt" / f"{picture}.png").stat().st_size > 5000
        assert f"]({picture}.png)" in text
    first = {key: value for key, value in found.items() if key not in ("seconds", "stop")}
    assert main(["doubt", str(run), "--quick", "--json", str(folder / "all.json")]) == 0
    again = json.loads((folder / "all.json").read_text())
    assert {key: again[key] for key in first} == first
    assert again["stop"]["rules"] == found["stop"]["rules"]


def test_seeds_readers_and_references(folder, capsys):
    runs = [str(folder / "run0"), str(folder / "run1")]
    options = ["--quick", "--readers", "4", "--references", "3", "--out", str(folder / "out")]
    assert main(["doubt", *runs, *options]) == 0
    whole = json.loads((folder / "out" / "together.json").read_text())
    results = list(whole["runs"].values())
    assert len(results) == 2
    errors = [result["anytime"][-1] for result in results]
    assert whole["together"]["error"]["values"] == errors
    assert whole["together"]["error"]["mean"] == pytest.approx(sum(errors) / 2)
    gains = [result["policy"]["gain"] for result in results]
    assert whole["together"]["policy_gain"]["values"] == gains
    own = [r | {"policy": r["policy"] | {"readers": "own"}} for r in results]
    assert "policy_gain" not in pair(own)
    assert pair(own)["policy_gain_own"]["values"] == gains
    assert not {"policy_gain", "policy_gain_own"} & set(pair([results[0], own[1]]))
    for result in results:
        policy = result["policy"]
        short = {name: values[-1] for name, values in policy["trained"].items()}
        assert set(short) == {"learned", "random", "center", "raster", "fixed"}
        learned = short.pop("learned")  # trained as long as the readers, not as the agent
        assert policy["gain"] == pytest.approx(min(short.values()) - learned)
        kept = folder / "out" / f"run{result['seed']}" / "readers-4" / "learned"
        assert read_config(kept / "config.json").updates == 4
        assert policy["trained"]["learned"] != policy["own"]["learned"]
        assert set(result["corrupted"]["errors"]) == {
            "saccade", "fc-64", "fc-256", "cnn-paper", "cnn-small"
        }  # fmt: skip
    text = (folder / "out" / "run0" / "doubt.md").read_text()
    assert "trained 4 updates (the agent itself: 25)" in text
    assert "Updates of training: fc-64 3, fc-256 3, cnn-paper 3, cnn-small 3." in text
    assert "fixed" not in SCRIPTS
    capsys.readouterr()
    # What was trained is there the next time, also where it is not asked for.
    assert main(["doubt", runs[0], "--quick", "--out", str(folder / "out" / "run0")]) == 0
    assert "cnn-small" in capsys.readouterr().out


def test_what_cannot_be_doubted(folder, capsys):
    def says(*words):
        assert main(["doubt", *map(str, words)]) == 2
        return capsys.readouterr().err

    run = folder / "run0"
    assert "config.json" in says(folder / "nothing") or "no run" in says(folder / "nothing")
    assert "given twice" in says(run, run)
    assert "0 or more" in says(run, "--readers", -1)
    assert "no folder" in says(run, "--json", folder / "not" / "there.json")
    world = folder / "world"
    world.mkdir()
    (world / "config.json").write_text(json.dumps({"config": {"env": "saccade/Catch-v0"}}))
    assert "plays in a world" in says(world)


def test_readers_beside_a_shipped_agent(folder, capsys):
    out, path = folder / "shipped", folder / "shipped.json"
    options = ["--data", "digits", "--quick", "--readers", "2", "--out", str(out)]
    assert main(["doubt", "centered-28-6g", *options, "--json", str(path)]) == 0
    policy = json.loads(path.read_text())["policy"]
    assert policy["reader_updates"] == 2
    assert set(policy["trained"]) == {"learned", "random", "center", "raster", "fixed"}
    assert policy["trained"]["learned"][-1] > policy["own"]["learned"][-1]  # two updates: little
    (place,) = out.glob("readers-2-digits-*")  # apart from what would learn on MNIST
    recipe = read_config(place / "random" / "config.json")
    own = open_trained("centered-28-6g").config
    assert (own.data, own.gaze, own.updates) == ("mnist", "learned", 8000)
    assert own.begin  # but a reader is trained whole
    assert replace(recipe, out=own.out) == replace(
        own, data="digits", gaze="random", updates=2, begin="", readers=False, compile=False
    )
    capsys.readouterr()


def test_what_was_learned_on_other_data_is_not_taken(folder, capsys):
    run, other = folder / "read", draw_digits(420, 1)
    path = folder / "elsewhere" / "digits.npz"  # of the same name
    path.parent.mkdir()
    np.savez(path, images=other.images[:, 0].numpy(), labels=other.labels.numpy())
    words = ["train", "--data", str(folder / "digits.npz"), "--out", str(run), "--readers"]
    assert main([*words, "--seed", "0", *SMALL]) == 0
    found = {}
    for data in ([], ["--data", str(path)], []):
        assert main(["doubt", str(run), "--quick", "--readers", "25", *data]) == 0
        found[bool(data)] = json.loads((run / "doubt" / "doubt.json").read_text())["policy"]
        assert set(found[bool(data)]["trained"]) == {
            "learned", "random", "center", "raster", "fixed"
        }  # fmt: skip
    summary = json.loads((run / "summary.json").read_text())
    wanted = [100 * (1 - value) for value in summary["accuracy"]["random"]]
    assert found[False]["trained"]["random"] == pytest.approx(wanted, abs=1e-3)
    own, others = sorted((run / "doubt").glob("readers-25*"))
    # On its own data the agent and its readers have learned for 25 updates already.
    assert [kept.name.partition("-")[0] for kept in own.iterdir()] == ["fixed"]
    kinds = {kept.name.partition("-")[0] for kept in others.iterdir()}
    assert kinds == {"learned", "random", "center", "raster", "fixed"}
    assert read_config(others / "learned" / "config.json").data == str(path)
    assert found[True]["trained"]["learned"] != found[True]["own"]["learned"]
    capsys.readouterr()


def test_the_same_data_by_another_path(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").symlink_to(tmp_path / "here")
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    assert same_data("digits", "digits", "digits")
    assert same_data(there, here, "here")
    assert same_data(str(tmp_path / "mnist"), "mnist", "mnist")
    assert not same_data(str(tmp_path / "digits"), "digits", "digits")
    assert not same_data(str(tmp_path / "a" / "mnist"), str(tmp_path / "b" / "mnist"), "mnist")


def test_choices_do_not_look_at_test_labels():
    agent = make_agent()
    seen = {split: seen_by(agent) for split in ("train", "validation", "test")}
    stop, _ = measure_stopping(agent, seen)
    belief = measure_belief(seen)
    seen["test"] = seen["test"]._replace(labels=(POOL.labels + 1) % 10)  # planted: all others
    other, _ = measure_stopping(agent, seen)
    for kind, rule in stop["rules"].items():
        assert other["rules"][kind]["chosen"]["threshold"] == rule["chosen"]["threshold"]
        assert other["rules"][kind]["curve"] != rule["curve"]  # while what is told differs
    assert other["best"] == stop["best"]
    assert measure_belief(seen)["temperature"] == belief["temperature"]


def test_stopping_by_hand():
    # Two scenes: one is right and sure from the start, the other right and sure only at the end.
    sure, unsure = torch.tensor([9.0, 0.0]), torch.tensor([0.0, 0.1])
    logits = torch.stack([torch.stack([sure] * T), torch.stack([unsure] * (T - 1) + [sure])])
    look = FullLook(logits.repeat(100, 1, 1), torch.zeros(200, T, 24), torch.zeros(200, T, 2))
    seen = Seen(look, torch.zeros(200, dtype=torch.int64))
    found, _ = measure_stopping(make_agent(), {"train": seen, "validation": seen, "test": seen})
    for kind in ("confidence", "entropy"):
        chosen = found["rules"][kind]["chosen"]
        assert chosen["glimpses"] == 3
        assert chosen["saved"] == pytest.approx(40)
        assert chosen["worse"] == [0, 0, 0]
        one = found["rules"][kind]["curve"][0]
        assert one == pytest.approx([1, 50])
    belief = measure_belief({"validation": seen, "test": seen})
    assert belief["raw"]["ece"][0] == pytest.approx(100 * abs(0.5 * 0.525) + 0.006, abs=0.01)
    assert belief["aurc_least"][-1] == 0


def test_paired_bound_by_hand():
    mean, low, high = paired_bound(torch.tensor([1.0, 0, 0, -1]).double())
    half = 196 * (2 / 3) ** 0.5 / 2
    assert (mean, low, high) == pytest.approx((0, -half, half))


def test_over_seeds_by_hand():
    assert over_seeds([2.0])["interval"] is None
    found = over_seeds([1.0, 2.0, 3.0])
    assert found["mean"] == 2
    assert found["interval"] == pytest.approx([2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], abs=1e-3)


def test_runs_of_several_tasks_are_not_paired():
    kinds = [{"data": "a", "scene": "centered", "shape": [1, 2, 2], "glimpses": n} for n in (3, 4)]
    with pytest.raises(ValueError, match="several tasks"):
        pair(kinds)


def test_the_fixed_scanpath_is_the_greedy_one():
    agent = make_agent(glimpses=2)
    scenes, labels, keys = first_scenes(MAKER, "validation", 40)
    path = best_fixed(agent, scenes, labels, grid=3)
    places = torch.cartesian_prod(*[torch.tensor([-2 / 3, 0, 2 / 3])] * 2)

    def loss(*steps):
        gaze = fixed_gaze(torch.stack([*steps, *[places[0]] * (2 - len(steps))]))
        look = look_fully(agent, scenes, keys, gaze=gaze)
        return float(F.cross_entropy(look.logits[:, len(steps) - 1], labels))

    first = min(places, key=lambda place: loss(place))
    second = min(places, key=lambda place: loss(first, place))
    assert torch.allclose(path, torch.stack([first, second]))
    with fixed_script(path) as name:
        assert torch.equal(SCRIPTS[name](1, 2, keys), path[1].expand(40, 2))
    assert name not in SCRIPTS


def test_the_verdict_says_where_another_is_better():
    agent = {"clean": 2.0, "fog": [10, 20], "zigzag": [10, 20], "mean": 15}
    other = {"clean": 1.0, "fog": [20, 30], "zigzag": [1, 2], "mean": 13}
    words = verdict({"saccade": agent, "cnn": other})
    assert words.startswith("cnn errs 1.0 points less on clean scenes")
    assert words.endswith("and less than saccade under 1 of 2 corruptions.")
    assert "--references" in verdict({"saccade": agent})


def test_a_folder_of_its_own_unless_told(folder):
    assert doubt.default_folder(Path("some/run")) == Path("some/run/doubt")
