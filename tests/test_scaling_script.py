"""`scripts/bench_scaling.py` on tiny settings: its rows, its page, and what it refuses."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import cv2
import pytest

from saccade.agents import scaling, scaling_train
from saccade.agents.dense import Member
from saccade.agents.scaling_page import MARKS, draw_scaling, make_table, write_page
from saccade.agents.scaling_train import Plan
from saccade.data import Splits
from saccade.digits import draw_digits

SCRIPT = Path(__file__).parent.parent / "scripts/bench_scaling.py"
KEYS = {
    "side", "series", "background", "method", "seconds", "prepare_seconds", "total_seconds",
    "error", "interval", "scenes", "flops", "peak_bytes", "bytes_read", "trained", "device",
    "threads", "params", "choice", "train_minutes", "command", "commit", "versions", "hardware",
    "precision", "data", "photos", "glimpses", "prepare_bytes_read", "chosen_at", "equal",
    "timed_on",
}  # fmt: skip


@pytest.fixture(scope="module")
def bench():
    kept = sys.argv
    spec = importlib.util.spec_from_file_location("bench_scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_scaling"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_scaling"]
    sys.argv = kept


def test_the_script_measures_and_times_again(bench, tmp_path, monkeypatch):
    monkeypatch.delenv("SACCADE_DATA", raising=False)
    scaling.plate_photos.cache_clear()
    parts = [draw_digits(60, seed) for seed in range(3)]
    monkeypatch.setattr(scaling, "load", lambda data: Splits(*parts, name=data))
    family = {"detail": (Member(4, 2), Member(4, 16))}
    monkeypatch.setattr(scaling, "FAMILY", family)
    monkeypatch.setattr(scaling, "SIDES", (100, 128))
    for name, value in (("STORED", 2), ("SIDES", (100, 128)), ("OFTEN", (100, 128))):
        monkeypatch.setattr(scaling_train, name, value)
    monkeypatch.setattr(bench, "WORK", tmp_path / "work")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "stored.json")
    for kind in ("agent", "dense"):
        monkeypatch.setitem(bench.PLANS, ("detail", kind), Plan(1))
    out = tmp_path / "rows.json"
    words = ["bench", "--data", "digits", "--sides", "100", "128", "--series", "detail"]
    words += [
        "--devices",
        "cpu",
        "--weights",
        str(tmp_path / "weights"),
        "--scenes",
        "6",
        "--seconds",
        "0.01",
    ]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(out)])
    bench.main()
    rows = json.loads(out.read_text())
    methods = {"saccade", "crop-cnn", "fcn-4/2", "fcn-4/16"}
    assert methods | {"cnn-equal-cost"} <= {row["method"] for row in rows}
    assert all(set(row) >= KEYS for row in rows)
    places = {(row["side"], row["background"], row["method"]) for row in rows}
    assert len(places) == len(rows)
    assert all(r["total_seconds"] == r["seconds"] + r["prepare_seconds"] for r in rows)
    assert all(0 <= r["interval"][0] <= r["error"] <= r["interval"][1] <= 100 for r in rows)
    assert all((row["choice"] is None) == (not row["method"].startswith("cnn")) for row in rows)
    assert {row["photos"] for row in rows} == {"drawn"}
    assert {(row["side"], row["scenes"]) for row in rows} == {(100, 6), (128, 6)}

    (tmp_path / "stored.json").write_text(json.dumps(rows))
    before = {(r["background"], r["side"], r["method"]): r for r in rows}
    for kind in ("--quick", "--retime"):
        monkeypatch.setattr(sys, "argv", [*words, kind, "--json", str(out)])
        bench.main()
        again = json.loads(out.read_text())
        assert all(set(row) >= KEYS for row in again)
        timed = {row["method"] for row in again}
        assert timed >= (methods if kind == "--retime" else {"saccade", "cnn-equal-cost"})
        for new in again:
            if kind == "--retime" and new["method"] == "cnn-equal-cost":
                continue  # which is chosen depends on the times
            old = before[new["background"], new["side"], new["method"]]
            assert (new["error"], new["choice"]) == (old["error"], old["choice"])
            assert (new["scenes"], new["errors_data"]) == (old["scenes"], old["data"])
            assert new["errors_commit"] == old["commit"]

    page = tmp_path / "page.md"
    page.write_text(f"a\n{MARKS[0]}\nold\n{MARKS[1]}\nb\n")
    write_page(page, make_table(rows))
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert "old" not in text
    assert "fcn-4/16" in text
    draw_scaling(rows, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000

    # A GPU's rows stand beside the CPU's, in tables and pictures of their own, and do not mix.
    faster = [each | {"device": "cuda", "seconds": each["seconds"] / 8} for each in rows]
    both = make_table(rows + faster)
    assert "**detail, photo** (" in both
    assert "**detail, photo, cuda** (" in both
    assert both.count("\n| cuda | detail | fcn-4/16 |") == 1
    draw_scaling(rows + faster, tmp_path / "both.png")
    small, large = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("scaling", "both"))
    assert large.shape == (2 * small.shape[0], *small.shape[1:])
    singles = [each for each in rows if not each["choice"]]
    pairs = bench.pair(singles + [each for each in faster if not each["choice"]])
    for each in pairs:
        same = [r for r in rows if r["method"] == each["choice"] and r["side"] == each["side"]]
        assert each["seconds"] * (8 if each["device"] == "cuda" else 1) == same[0]["seconds"]

    scaling.plate_photos.cache_clear()


def test_a_device_has_the_rows_of_the_cpu_until_it_has_its_own(bench):
    cpu, cuda, other = (
        {"device": device, "series": series, "choice": choice}
        for device, series, choice in (
            ("cpu", "detail", "a"), ("cuda", "detail", "b"), ("cpu", "proportional", "c")
        )
    )  # fmt: skip
    for stored in ([cpu, other], [other, cpu]):
        assert bench.stored_rows(stored, "detail", "cuda") == [cpu]
    for stored in ([cpu, cuda, other], [cuda, other, cpu]):
        assert bench.stored_rows(stored, "detail", "cuda") == [cpu, cuda]  # the last one counts
        assert bench.stored_rows(stored, "detail", "cpu") == [cpu]


def test_published_is_a_whole_run_on_mnist_and_photographs(bench, monkeypatch):
    monkeypatch.setattr(bench, "photo_files", lambda: ["one.jpg"])
    usual = {
        "sides": [*scaling.SIDES], "series": ["proportional", "detail"], "weights": bench.WEIGHTS,
        "threads": 1, "quick": False, "retime": False, "scenes": 500, "data": "mnist",
    }  # fmt: skip
    assert bench.publishes(argparse.Namespace(**usual))
    assert bench.publishes(argparse.Namespace(**usual | {"retime": True, "scenes": 1}))
    for change in (
        {"sides": [100]}, {"series": ["detail", "detail"]}, {"weights": Path("w")}, {"threads": 2},
        {"quick": True}, {"scenes": 499}, {"data": "digits"},
    ):  # fmt: skip
        assert not bench.publishes(argparse.Namespace(**usual | change)), change
    monkeypatch.setattr(bench, "photo_files", list)
    assert not bench.publishes(argparse.Namespace(**usual))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--quick --json none/rows.json", "no folder none"),
        ("--quick --json .", "is no file"),
        ("--retime --sides 64", "detail 64 black crop-cnn"),
        ("--data digits", "give --json FILE"),
    ],
)
def test_a_bad_call_ends_before_anything_is_measured(words, said, bench, monkeypatch, capsys):
    monkeypatch.setattr(bench, "measure", None)
    monkeypatch.setattr(sys, "argv", ["bench", *words.split()])
    with pytest.raises(SystemExit):
        bench.main()
    assert said in capsys.readouterr().err


def test_published_weights_are_not_learned_on_other_data(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "WEIGHTS", tmp_path)
    with pytest.raises(SystemExit, match="saccade-detail has no weights"):
        bench.train_missing("detail", "digits", tmp_path)
