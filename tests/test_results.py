"""Results of the benchmark: intervals, headlines, rows and the table."""

import json
from pathlib import Path

import numpy as np
import pytest

from saccade import shipped
from saccade.agents.results import (
    cut_short,
    interval,
    make_row,
    mark_headlines,
    read_rows,
    write_row,
)
from saccade.agents.suite import find_row
from saccade.agents.table import make_table, put_table


def test_the_interval_is_students():
    # Mean 2, standard deviation 1, error 1 / sqrt(3), times 4.302653.
    assert interval([1.0, 2.0, 3.0]) == [round(2 - 2.484138, 4), round(2 + 2.484138, 4)]
    assert interval([1.5]) is None
    assert interval([0.7, 0.7]) == [0.7, 0.7]
    with pytest.raises(ValueError, match="up to 9 seeds"):
        interval([1.0] * 10)


@pytest.mark.parametrize("count", range(2, 10))
def test_the_interval_agrees_with_scipy(count):
    stats = pytest.importorskip("scipy.stats")
    errors = np.random.default_rng(count).uniform(1, 3, count)
    wanted = stats.t.interval(0.95, count - 1, loc=errors.mean(), scale=stats.sem(errors))
    assert interval(errors.tolist()) == pytest.approx(wanted, abs=1e-3)


def agent_row(**other):
    row = {
        "task": "cluttered-60", "glimpses": 8, "method": "saccade", "error": 2.0,
        "interval": [1.5, 2.5], "seeds": 5, "augmented": True, "extra_supervision": "none",
        "device": "cpu", "headline": True, "complete": True, "validation": [2.0],
        "test_digest": "abc", "by_glimpse": [], "errors": [], "curves": [], "seed_numbers": [],
        "recipe": {}, "images_by_split": {}, "updates": [],
    }  # fmt: skip
    return row | {"trained_for": (row | other)["glimpses"]} | other


def test_the_headline_is_chosen_by_validation_and_never_by_test():
    rows = [
        agent_row(validation=[2.0, 2.2], error=9.0),
        agent_row(validation=[2.1, 2.3], error=1.0, augmented=False),
        agent_row(validation=[0.1], error=0.1, method="raster"),
        agent_row(validation=[5.0], glimpses=4),
    ]
    mark_headlines(rows)
    assert [row["headline"] for row in rows] == [True, False, False, True]
    rows[1]["validation"] = [2.0, 2.2]  # equal: without augmentation
    mark_headlines(rows)
    assert [row["headline"] for row in rows] == [False, True, False, True]
    rows[1] |= {"validation": [0.1], "complete": False}  # not before what was trained to its end
    mark_headlines(rows)
    assert [row["headline"] for row in rows] == [True, False, False, True]


def test_a_row_takes_the_place_of_its_own_kind(tmp_path):
    write_row(agent_row(), tmp_path)
    write_row(agent_row(augmented=False, validation=[3.0]), tmp_path)
    write_row(agent_row(device="cuda", validation=[1.0]), tmp_path)
    path, _ = write_row(agent_row(error=1.5), tmp_path)
    rows = json.loads(path.read_text())
    assert len(rows) == 3
    assert [row["device"] for row in rows if row["headline"]] == ["cuda"]
    assert [row["error"] for row in rows if row["augmented"] and row["device"] == "cpu"] == [1.5]
    assert read_rows(tmp_path) == rows
    with pytest.raises(ValueError, match="another test set"):
        write_row(agent_row(test_digest="xyz"), tmp_path)


def test_a_smaller_budget_is_read_early_unless_an_agent_was_trained_for_it(tmp_path):
    results = [
        {"by_glimpse": [9.0, 6.0, 4.0], "validation_by_glimpse": [9.5, 6.5, 4.5]},
        {"by_glimpse": [9.4, 6.2, 4.0], "validation_by_glimpse": [9.7, 6.7, 4.7]},
    ]
    whole = agent_row(glimpses=3, by_glimpse=[9.2, 6.1, 4.0], errors=[4.0, 4.0])
    early = cut_short(whole, results, 2)
    assert early["errors"] == [6.0, 6.2]
    assert early["error"] == 6.1
    assert early["interval"] == interval([6.0, 6.2])
    assert early["validation"] == [6.5, 6.7]
    assert early["by_glimpse"] == [9.2, 6.1]
    assert (early["glimpses"], early["trained_for"]) == (2, 3)
    assert "| for 3, to the end |" in make_table([early])
    own = agent_row(glimpses=2, error=5.0)
    for row in (early, own, early):  # in whatever order they come
        path, _ = write_row(row, tmp_path)
    assert json.loads(path.read_text()) == [own]
    write_row(whole, tmp_path)
    assert [row["headline"] for row in read_rows(tmp_path)] == [True, True]


def seeds_row(curves, commit="a", machine="first", **other):
    """A row of some seeds, by what each had after one and two glimpses; None where not known."""
    numbers = list(curves)
    known = [curve for curve in curves.values() if curve]
    return agent_row(
        glimpses=2, seed_numbers=numbers, seeds=len(numbers), curves=list(curves.values()),
        errors=[c[-1] if c else 9.0 for c in curves.values()],
        by_glimpse=np.mean(known, 0).round(4).tolist(), commit=[commit], command=f"train {numbers}",
        hardware={"cpu": machine, "gpu": None}, versions={"torch": "2"}, recipe={"lr": 1},
        data="mnist", updates=[10] * len(numbers), **{key: [10 + n for n in numbers] for key in (
            "validation", "images", "threads", "wall_seconds")},
    ) | other  # fmt: skip


def test_seeds_that_were_trained_elsewhere_are_kept(tmp_path):
    write_row(seeds_row({0: [8.0, 2.0], 2: [7.0, 3.0]}) | {"shipped": {"seed": 0}}, tmp_path)
    new = seeds_row({1: [6.0, 1.0], 2: [5.0, 2.5]}, commit="b", machine="second")
    path, row = write_row(new, tmp_path)
    assert json.loads(path.read_text()) == [row]
    assert (row["seed_numbers"], row["seeds"]) == ([0, 1, 2], 3)
    assert row["errors"] == [2.0, 1.0, 2.5]
    assert (row["error"], row["interval"]) == (1.8333, interval([2.0, 1.0, 2.5]))
    assert row["curves"] == [[8.0, 2.0], [6.0, 1.0], [5.0, 2.5]]
    assert row["by_glimpse"] == [6.3333, 1.8333]
    assert row["validation"] == row["wall_seconds"] == [10, 11, 12]
    assert (row["commit"], row["shipped"]) == (["a", "b"], {"seed": 0})
    assert row["hardware"] == {"cpu": "first; second", "gpu": None}
    assert row["command"] == "train [0, 2]; train [1, 2]"
    assert write_row(new, tmp_path)[1] == row, "once more is the same"
    named = seeds_row({3: [6.0, 1.0]}, data="digits")  # the same images, by another path
    assert write_row(named, tmp_path)[1]["data"] == "mnist; digits"


def test_a_row_is_made_of_seeds_that_were_trained_alike():
    kind = find_row("cluttered-60-4g")
    alike = {
        "recipe": {"lr": 1}, "test_digest": "abc", "device": "cpu", "data": "mnist", "preset": "p",
        "augmented": True, "images_by_split": {}, "train_command": "train", "complete": True,
        "versions": {"torch": "2"}, "images": 9, "threads": 1, "seconds": 5.0,
    }  # fmt: skip
    one = alike | {
        "seed": 0, "error": 2.0, "by_glimpse": [4.0, 2.0], "validation": 1.0, "updates": 10,
        "commit": "a, b", "hardware": {"cpus": 2},
    }  # fmt: skip
    two = one | {"seed": 1, "error": 3.0, "by_glimpse": [5.0, 3.0], "commit": "b"}
    two["hardware"] = {"cpus": 2, "processor": "x"}
    row = make_row(kind, [one, two], "command")
    assert (row["error"], row["by_glimpse"], row["commit"]) == (2.5, [4.5, 2.5], ["a", "b"])
    assert row["hardware"] == {"cpus": 2, "processor": "not recorded; x"}
    for other in ({"updates": 20}, {"recipe": {"lr": 2}}, {"test_digest": "xyz"}):
        with pytest.raises(ValueError, match=f"differ in {next(iter(other))}"):
            make_row(kind, [one, two | other], "command")
    assert make_row(kind, [one, two | {"updates": 3, "complete": False}], "c")["updates"] == [10, 3]


def test_what_is_longer_or_better_trained_is_not_lost(tmp_path):
    old = seeds_row({0: [8.0, 2.0], 2: [7.0, 3.0]})
    write_row(old, tmp_path)
    for other in ({"recipe": {"lr": 2}}, {"updates": [20]}, {"complete": False}):
        with pytest.raises(ValueError, match=f"1 seed.*place of 2 .*{next(iter(other))} differ"):
            write_row(seeds_row({5: [4.0, 0.5]}, **other), tmp_path)
    with pytest.raises(ValueError, match="complete differ"):
        write_row(seeds_row({5: [4.0, 0.5], 6: [4.0, 0.5]}, complete=False), tmp_path)
    assert read_rows(tmp_path) == [old]
    other = seeds_row({5: [4.0, 0.5], 6: [4.0, 0.5]}, recipe={"lr": 2})
    assert write_row(other, tmp_path)[1]["seed_numbers"] == [5, 6], "another recipe begins anew"


def test_the_mean_curve_needs_no_curve_of_seeds_that_stay(tmp_path):
    old = seeds_row({0: [8.0, 2.0], 1: None, 2: None}) | {"by_glimpse": [9.0, 3.0]}
    before = {key: value for key, value in old.items() if key != "curves"}  # as rows once were
    write_row(before, tmp_path / "before")
    row = write_row(seeds_row({3: [1.0, 3.0]}), tmp_path / "before")[1]
    assert (row["curves"], row["by_glimpse"]) == ([None, None, None, [1.0, 3.0]], [7.0, 3.0])
    write_row(old, tmp_path)
    row = write_row(seeds_row({0: [6.0, 1.0], 3: [4.0, 2.0]}), tmp_path)[1]
    # Of 3 * 9 = 27 and 3 * 3 = 9 seed 0 had 8 and 2.
    assert row["by_glimpse"] == [(19 + 6 + 4) / 4, (7 + 1 + 2) / 4]
    with pytest.raises(ValueError, match="train all of those anew, or none"):
        write_row(seeds_row({1: [6.0, 1.0]}), tmp_path)
    assert read_rows(tmp_path) == [row]


def test_the_table_has_the_papers_numbers_beside_ours():
    rows = [
        agent_row(),
        agent_row(augmented=False, headline=False, error=2.75, interval=None, seeds=3),
        agent_row(method="random", headline=False, error=12.34, seeds=3, augmented=False),
        agent_row(method="cnn-paper", glimpses=0, headline=False, error=7.0, seeds=3),
        agent_row(task="cluttered-100", error=4.0),
    ]
    agents, gazes, whole, notes = make_table(rows).split("\n\n")
    assert (
        "| cluttered-60 | 8 | **2.00** | 1.50 to 2.50 | 4.04 | 2.63 | 5 | yes | none | cpu"
        in agents
    )
    assert "| cluttered-60 | 8 | 2.75 |  | 4.04 | 2.63 | 3 of 5 | no | none | cpu" in agents
    assert "| cluttered-100 | 8 | **4.00** | 1.50 to 2.50 | 8.11? | 5.9 | 5 |" in agents
    assert "| cluttered-60 | 8 | 2.00\\* | 12.34 (paper 14.4) |  |  |" in gazes
    assert "| cluttered-60 | (paper 28.58) | (paper 11.96) | 7.00\\* (paper 8.09) |  |" in whole
    few = make_table([agent_row(seeds=3, trained_for=9), rows[2]]).split("\n\n")[1]
    assert "| 2.00\\* (3 of 5 seeds, trained for 9) | 12.34 (paper 14.4) |" in few
    assert "could not be confirmed" in notes
    assert "| centered-28 | 7 |  |  | 1.07 |  |  |  |  |  | not yet |" in agents
    worse = make_table([agent_row(error=2.63)])
    assert "| cluttered-60 | 8 | 2.63 |" in worse, "as good as the rebuilt is not better"
    assert "slip" not in notes
    slips = make_table([agent_row(augmented=False, recipe={"slip": 0.1})])
    assert "| no, eye slips | none |" in slips
    assert "which is a jitter of its own" in slips
    reads = make_table([agent_row(recipe={"canvas": 24})])
    assert "| to the end, canvas |" in reads
    assert "laid where it was seen" in reads
    assert "laid where it was seen" not in slips
    for part in (agents, gazes, whole):
        assert len({line.count("|") for line in part.splitlines()}) == 1


ROOT = Path(__file__).resolve().parents[1]
ROWS = read_rows(ROOT / "docs/results")
KEYS = {
    "task": str, "glimpses": int, "method": str, "error": float, "seeds": int, "augmented": bool,
    "device": str, "headline": bool, "command": str, "commit": list, "versions": dict,
    "hardware": dict, "wall_seconds": list, "errors": list, "curves": list,
}  # fmt: skip


def test_the_readme_shows_the_rows_that_are_there():
    assert ROWS
    assert make_table(ROWS) in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['task']}-{row['glimpses']}")
def test_rows_that_are_there_say_what_they_must_and_agree_with_themselves(row):
    for key, kind in KEYS.items():
        assert isinstance(row[key], kind), key
    assert row["error"] == pytest.approx(np.mean(row["errors"]), abs=1e-4)
    assert row["seeds"] == len(row["errors"]) == len(row["seed_numbers"])
    assert row["interval"] == interval(row["errors"])
    assert row["rollouts"] == 1
    if row["by_glimpse"]:
        assert row["by_glimpse"][-1] == pytest.approx(row["error"], abs=1e-4)


def test_one_headline_for_a_task_and_budget_and_it_is_what_is_shipped():
    places = {(row["task"], row["glimpses"]) for row in ROWS if row["method"] == "saccade"}
    headlines = [(row["task"], row["glimpses"]) for row in ROWS if row["headline"]]
    assert sorted(headlines) == sorted(places)
    told = [row["shipped"]["name"] for row in ROWS if "shipped" in row]
    assert len(told) == len(set(told)), "one row alone is what is shipped"
    shipped_rows = {row["shipped"]["name"]: row for row in ROWS if "shipped" in row}
    assert set(shipped_rows) == set(shipped.names())
    for name, row in shipped_rows.items():
        facts = shipped.read(name)[1]
        place = row["seed_numbers"].index(facts["seed"])
        assert (row["headline"], row["shipped"]["seed"]) == (True, facts["seed"])
        assert row["validation"][place] == min(row["validation"]), "ship the best again"
        card = (ROOT / "saccade/weights" / f"{name}.md").read_text()
        assert f"| mean over {row['seeds']} seed(s) | {row['error']:.2f} %" in card
        assert facts["test"]["error"] == row["shipped"]["error"] == row["errors"][place]


def test_the_table_goes_between_two_markers():
    text = "before\n<!-- benchmark -->\nold\n<!-- /benchmark -->\nafter\n"
    new = put_table(text, "TABLE")
    assert new == "before\n<!-- benchmark -->\nTABLE\n<!-- /benchmark -->\nafter\n"
    assert put_table(new, "TABLE") == new
    for broken in ("", text + text, "<!-- /benchmark --> <!-- benchmark -->"):
        with pytest.raises(ValueError, match="there must be one"):
            put_table(broken, "TABLE")


def test_what_was_cut_short_is_said_in_the_table():
    assert "cut short" in make_table([agent_row(complete=False)])
    assert "cut short" not in make_table([agent_row()])
