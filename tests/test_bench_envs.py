"""The bench of the environments runs, and writes what its readers look for."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_writes_a_row_for_each_case_and_method(tmp_path):
    out = tmp_path / "rows.json"
    command = [sys.executable, "scripts/bench_envs.py", "--seconds", "0.02", "--repeats", "2"]
    result = subprocess.run(
        [*command, "--json", str(out)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = json.loads(out.read_text())
    with_ap_gym = find_spec("ap_gym") is not None
    found = {(row["case"], row["method"]) for row in rows}
    vectors = {f"28x1-g5-n{count}" for count in (1, 64, 256)}
    ours = {(case, method) for case in vectors for method in ("saccade", "saccade-torch")}
    assert found >= ours | {("28x1-g5-single", "saccade")}
    assert {case for case, method in found if method == "ap-gym"} == (
        vectors | {"28x1-g5-single"} if with_ap_gym else set()
    )
    for row in rows:
        assert 0 < row["low"] <= row["value"] <= row["high"]
        assert (row["ratio"] is None) is not with_ap_gym
        assert row["hardware"]["threads"] == 1
    assert ("ap-gym is not installed here" in result.stdout) is not with_ap_gym
    assert "28x1-g5-n256" in result.stdout
