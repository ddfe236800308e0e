"""Every block of the README does what it says, as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import saccade

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OWN = ("scripts/demo", "scripts/test")  # the two commands: too long here, or this very run


@pytest.mark.filterwarnings("default")
def test_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bin_folder = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    names: dict = {}
    kinds = []
    for kind, text in BLOCK.findall(README.read_text()):
        kinds.append(kind)
        if kind == "python":
            exec(compile(text, "README.md", "exec"), names)
        elif text.strip() not in OWN:
            subprocess.run(["sh", "-ec", text], check=True, env=environment, timeout=240)
    assert kinds.count("python") >= 3
    assert kinds.count("sh") >= 4
    assert names["glimpses"].shape == (4, 3, 3, 12, 12)
    for name in ("report.html", "gaze.png", "gaze.gif", "summary.json"):
        assert (tmp_path / "runs/first" / name).is_file()
    assert (tmp_path / "gaze.png").is_file()


def test_options_and_files_that_it_names_exist():
    from saccade.agents.cli import COMMANDS
    from saccade.agents.presets import PRESETS

    text = README.read_text()
    fields = {name for kind, _ in COMMANDS.values() for name in kind.__dataclass_fields__}
    for option in re.findall(r"--([a-z][a-z-]+)", text):
        known = {"help", "threads", "json", "seconds", "device"}  # of all, of the benchmarks
        known |= {"quick", "gpu", "list"}  # of scripts
        known |= {"matrix", "env_id", "total_steps", "gaze", "nproc"}
        assert option.replace("-", "_") in fields | known, option
    for path in re.findall(r"`((?:saccade|envs|agents|scripts|docs)/[\w./]+)`", text):
        assert (README.parent / path).exists(), path
    for preset in PRESETS:
        assert preset == "default" or preset in text, preset
    for name in saccade.ENVIRONMENTS:
        assert name in text
