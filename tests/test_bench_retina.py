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
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)  # as for whoever runs it
        patch.setitem(sys.modules, "bench_retina", module)
        spec.loader.exec_module(module)
        yield module
        del sys.modules["retina_peers"]


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


def test_a_row_that_fails_on_the_gpu_leaves_the_others(bench, monkeypatch, capsys, tmp_path):
    def measure(case, dtype):
        if dtype == torch.bfloat16:
            raise RuntimeError("no [red] launch")
        kind = {"case": case.name, "method": "saccade", "backend": "fused", "compiled": True}
        return kind | {"value": 1.0, "looks": 20, "gb_per_s": 1.0, "error": 0.0, "equal": False}

    monkeypatch.setattr(bench, "measure_on_gpu", measure)
    monkeypatch.setattr(bench, "measure", lambda *work: pytest.fail("rows of the CPU"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    written = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["bench", "--gpu", "--json", str(written)])
    with pytest.raises(SystemExit, match="rows are missing"):
        bench.main()
    said = capsys.readouterr().out
    assert "no row for 224x3-g32-s4-b4096 on the GPU: RuntimeError: no [red] launch" in said
    assert "60x1-g12-s3-b4096" in said
    assert "other bits" in said
    assert [row["case"] for row in json.loads(written.read_text())] == ["60x1-g12-s3-b4096"]


def test_without_a_gpu_there_is_nothing_to_measure_on_it(bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench", "--gpu"])
    with pytest.raises(SystemExit, match="no CUDA device") as stopped:
        bench.main()
    assert stopped.value.code not in (0, None)


def test_glimpses_are_judged_and_their_bytes_counted(bench):
    case, retina = bench.Case(20, 3, 4, 2, 5), bench.Retina(4, 2)
    images = torch.randint(0, 256, (5, 3, 20, 20), dtype=torch.uint8)
    places = torch.rand(5, 2) * 2 - 1
    seen = retina.look(images, places)
    found = bench.judge(seen, images, places, retina)
    assert found["error"] < 1e-7
    assert found["equal"] is True
    assert bench.judge(seen.nextafter(seen + 1), images, places, retina)["equal"] is False
    found = bench.judge(seen.bfloat16(), images, places, retina)
    assert 1e-5 < found["error"] < 2**-8
    assert "equal" not in found
    wide, narrow = (bench.moved_bytes(case, places[None], 1, size) for size in (4, 2))
    assert wide - narrow == 2 * seen.numel()
    assert wide == bench.moved_bytes(case, places[None], 1)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_of_the_gpu(bench, dtype):
    row = bench.measure_on_gpu(bench.Case(60, 3, 12, 3, 64), dtype)
    assert json.loads(json.dumps(row)) == row
    assert row["error"] < (1e-7 if dtype == torch.float32 else 2**-8)
    assert row.get("equal", True)
