"""The retina's benchmark: its cases and its rows, on a case of no size."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parent.parent / "scripts/bench_retina.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_retina", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_retina"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_retina"]


def test_rows_say_what_was_measured(bench):
    rows = bench.measure(bench.Case(20, 3, 4, 2, 5), 3, 0.0, quick=False)
    assert json.loads(json.dumps(rows)) == rows
    wanted = {
        "case",
        "method",
        "value",
        "ratio",
        "backend",
        "compiled",
        "looks",
        "dtype",
        "threads",
    }
    assert all(wanted <= set(row) for row in rows)
    assert {row["case"] for row in rows} == {"20x3-g4-s2-b5"}
    assert rows[0]["method"] == "common"
    assert rows[0]["ratio"] == 1
    ours = [row for row in rows if row["method"] == "saccade"]
    assert ("auto", False) in {(row["backend"], row["compiled"]) for row in ours}
    assert {"table", "direct"} <= {row["backend"] for row in ours}
    assert all(row["error"] < 1e-7 for row in ours)
    assert {"grid_sample", "opencv"} <= {row["method"] for row in rows}
    assert all(row["error"] < 1e-6 for row in rows if row["method"] == "opencv")


def test_quick_measures_the_cases_of_the_figures(bench):
    assert [case.name for case in bench.FIGURES] == [
        "28x1-g8-s1-b1024", "60x1-g12-s3-b1024", "100x3-g12-s4-b1024", "224x3-g32-s4-b128",
        "4096x1-g64-s4-b8",
    ]  # fmt: skip
    assert len({case.name for case in bench.ALL}) == len(bench.ALL)
    assert set(bench.FIGURES) <= set(bench.ALL)
    assert all(case.fits for case in bench.ALL)


def test_the_retina_in_common_use_means_what_ours_does(bench):
    """Where the center is the vertex of four pixels, its rounding down changes nothing."""
    images = torch.randint(0, 256, (4, 1, 20, 20), dtype=torch.uint8)
    places, retina = torch.zeros(1, 4, 2), bench.Retina(4, 3)
    theirs = bench.common(images, images.float() / 255, places, retina)[0]
    assert torch.allclose(theirs, retina.look(images, places[0]), atol=1e-6)
