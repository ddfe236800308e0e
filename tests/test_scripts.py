"""scripts/setup, demo, test and .ci/run in a copy of the checkout, with a stand-in for pip.

Only the test that says so calls the real pip, offline.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
BASE = getattr(sys, "_base_executable", sys.executable)  # no virtual environment's Python
TOOLS = ("bash", "dirname", "env", "grep", "rm", "sed", "tail")
LIBGL = "libGL.so.1: cannot open shared object file: No such file or directory"

# Keeps what the real one keeps that matters here: the two opencv wheels share the folder cv2,
# so that uninstalling either takes it from both.
PIP = """
import json, os, pathlib, shutil, sys
site = pathlib.Path(__file__).parents[1]
args = sys.argv[1:]
if args == ["--version"]:
    sys.exit()
constraints = pathlib.Path(args[args.index("-c") + 1]).read_text() if "-c" in args else ""
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([args, constraints]) + "\\n")
if words := os.environ.get("PIP_FAILS"):
    sys.exit(words)

def wheel(name):
    return site / f"{name.replace('-', '_')}-5.0.0.93.dist-info"

def install(name, code):
    if not wheel(name).exists():
        wheel(name).mkdir()
        (wheel(name) / "METADATA").write_text(f"Name: {name}\\nVersion: 5.0.0.93\\n")
        (site / "cv2").mkdir(exist_ok=True)
        (site / "cv2/__init__.py").write_text(code)

if args[0] == "uninstall":
    for name in args[2:]:
        if wheel(name).exists():
            shutil.rmtree(wheel(name))
            shutil.rmtree(site / "cv2", ignore_errors=True)
elif "-e" in args:
    trouble = os.environ.get("CV2_LACKS")
    install("opencv-python", f"raise ImportError({trouble!r})" if trouble else "")
elif "opencv-python-headless==5.0.0.93" in args:
    install("opencv-python-headless", "")
"""


class Checkout:
    """A copy of the scripts, a PATH with little on it, and what pip was asked."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "check out"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or name)
        for name in ("scripts", ".ci"):
            shutil.copytree(ROOT / name, self.root / name)
        shutil.copy(ROOT / "pyproject.toml", self.root)
        self.env = {"PATH": str(self.bin), "CALLS": str(self.calls), "HOME": str(folder)}

    def add_python(self, name: str, code: str = "") -> Path:
        """Puts a Python on the PATH: `code` in bash, then the real one."""
        path = self.bin / name
        path.write_text(f'#!{shutil.which("bash")}\n{code}\nexec "{BASE}" "$@"\n')
        path.chmod(0o755)
        return path

    def add_venv(self) -> Path:
        """Makes .venv with the stand-in for pip; returns its site-packages."""
        subprocess.run([BASE, "-m", "venv", "--without-pip", self.root / ".venv"], check=True)
        (site,) = self.root.glob(".venv/lib/python*/site-packages")
        (site / "pip").mkdir()
        (site / "pip/__main__.py").write_text(PIP)
        return site

    def run(self, *command: str, cwd: Path | None = None, **env: str):
        """Runs a script of the checkout, or bash code after `source scripts/setup`."""
        if command[0] == "source":
            command = ("bash", "-c", f"source scripts/setup; {command[1]}")
            cwd = self.root
        else:
            command = (str(self.root / command[0]), *command[1:])
        return subprocess.run(
            command,
            cwd=cwd or self.root.parent,
            env=self.env | env,
            capture_output=True,
            text=True,
        )

    def pip_calls(self) -> list[list[str]]:
        """What pip was asked since the last time, without the paths."""
        if not self.calls.exists():
            return []
        calls = [json.loads(line)[0] for line in self.calls.read_text().splitlines()]
        self.calls.unlink()
        return calls


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


def add_torch(folder: Path, version: str) -> Path:
    (folder / f"torch-{version}.dist-info").mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    (folder / f"torch-{version}.dist-info/METADATA").write_text(text)
    (folder / "torch.py").write_text("")
    return folder


def sentence(result) -> str:
    """The one line that a failed run leaves."""
    assert result.returncode == 1, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("saccade: ")
    assert line.endswith(".")
    return line


def test_without_python_it_says_which_is_needed(checkout):
    assert "no Python 3.11 or newer found" in sentence(checkout.run("scripts/setup"))
    checkout.add_python("python3", "exit 1")  # too old
    assert "no Python 3.11 or newer found" in sentence(checkout.run("scripts/demo"))
    assert "PYTHON=python3 is no Python" in sentence(checkout.run("scripts/test", PYTHON="python3"))
    assert not (checkout.root / ".venv").exists()


def test_without_the_venv_module_it_names_the_package(checkout, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')")
    checkout.add_python("python3", f"export PYTHONPATH={tmp_path}/hidden")
    line = sentence(checkout.run("scripts/setup"))
    assert "python3 cannot make virtual environments" in line
    assert "apt-get install python3-venv" in line
    assert not (checkout.root / ".venv").exists()


def test_first_python_that_can_is_taken(checkout, tmp_path):
    code = 'find_python; echo "$base $site"'
    checkout.add_python("python3", "exit 1")
    checkout.add_python("python3.12")
    checkout.add_python("python3.13")
    assert checkout.run("source", code).stdout == "python3.13 \n"
    add_torch(tmp_path / "torch", "2.9.1")
    checkout.add_python("python3.12", f"export PYTHONPATH={tmp_path}/torch")
    assert checkout.run("source", code).stdout == "python3.12 --system-site-packages\n"
    assert checkout.run("source", code, PYTHON="python3.13").stdout == "python3.13 \n"


def test_torch_of_another_virtual_environment_is_not_shared(checkout):
    site = checkout.add_venv()
    add_torch(site, "2.9.1")
    python = str(checkout.root / ".venv/bin/python")
    result = checkout.run("source", 'find_python; echo "$site"; torch_of "$base"', PYTHON=python)
    assert result.stdout == "\n2.9.1\n"


@pytest.mark.parametrize(
    "version",
    [
        "2.7.1",
        "2.8.0a0+5228986c39.nv25.6",
        "2.8.0rc1",
        "2.8.0.dev20250601",
        "2.8.0",
        "2.8.0.post1",
        "2.8.1a0",
        "2.9.0a0+git1",
        "2.9.1+cu128",
        "2.10.0",
        "2.14.0.dev20261101+cu130",
        "3.0.0",
    ],
)
def test_a_torch_is_kept_just_when_it_lies_in_the_range(checkout, tmp_path, version):
    add_torch(tmp_path / "torch", version)
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (torch,) = (Requirement(line) for line in dependencies if line.startswith("torch"))
    result = checkout.run("source", f'torch_of "{BASE}"', PYTHONPATH=str(tmp_path / "torch"))
    kept = torch.specifier.contains(version, prereleases=True)
    assert result.stdout.strip() == (version if kept else "")


def test_torch_in_the_venv_takes_the_place_of_the_pin(checkout):
    site = checkout.add_venv()
    pins = (ROOT / "scripts/constraints.txt").read_text()
    assert checkout.run("scripts/setup").returncode == 0
    ((_, used),) = map(json.loads, checkout.calls.read_text().splitlines())
    assert used == pins
    checkout.calls.unlink()
    (checkout.root / ".venv/setup-stamp").unlink()
    add_torch(site, "2.9.1+cu128")
    result = checkout.run("scripts/setup")
    assert "keeping torch 2.9.1+cu128" in result.stderr
    ((_, used),) = map(json.loads, checkout.calls.read_text().splitlines())
    changed = set(used.splitlines()) ^ set(pins.splitlines())
    assert sorted(changed) == ["torch==2.13.0", "torch==2.9.1+cu128"]


def test_quiet_when_there_is_nothing_to_do(checkout):
    checkout.add_venv()
    result = checkout.run("scripts/setup")
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 1
    ((command, flag, _, *rest),) = checkout.pip_calls()
    assert (command, flag, rest) == ("install", "-c", ["-e", str(checkout.root)])

    result = checkout.run("scripts/setup")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert checkout.pip_calls() == []

    assert checkout.run("scripts/setup", "dev").returncode == 0
    (call,) = checkout.pip_calls()
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]
    assert call[5:] == tools
    for arguments in ([], ["dev"]):  # with the tools there, both are content
        result = checkout.run("scripts/setup", *arguments)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert checkout.pip_calls() == []


@pytest.mark.parametrize("name", ["pyproject.toml", "scripts/constraints.txt"])
def test_a_change_of_what_is_asked_installs_again(checkout, name):
    checkout.add_venv()
    assert checkout.run("scripts/setup").returncode == 0
    checkout.pip_calls()
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    assert checkout.run("scripts/setup").returncode == 0
    assert len(checkout.pip_calls()) == 1


def test_an_installation_that_failed_is_tried_again(checkout):
    checkout.add_venv()
    assert checkout.run("scripts/setup", PIP_FAILS="conflict").returncode == 1
    assert len(checkout.pip_calls()) == 1
    assert checkout.run("scripts/setup").returncode == 0
    assert len(checkout.pip_calls()) == 1


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full: make room"),
        ("Max retries exceeded with url", "check the network and pip's own configuration"),
        ("ERROR: ResolutionImpossible", "its last words are above, all of them in "),
    ],
)
def test_when_pip_fails_its_words_and_the_mend_are_shown(checkout, words, mend):
    checkout.add_venv()
    result = checkout.run("scripts/setup", PIP_FAILS=words)
    assert result.returncode == 1
    *_, shown, last = result.stderr.splitlines()
    assert shown == words
    assert mend in last


def test_headless_takes_the_place_of_an_opencv_that_lacks_libraries(checkout):
    site = checkout.add_venv()
    result = checkout.run("scripts/setup", CV2_LACKS=LIBGL)
    assert result.returncode == 0
    assert "lacks libGL.so.1" in result.stderr
    assert "libgl1 libglib2.0-0" in result.stderr
    first, second, third = checkout.pip_calls()
    assert first[0] == "install"
    assert second == ["uninstall", "-y", "opencv-python"]
    assert third == ["install", "--no-deps", "opencv-python-headless==5.0.0.93"]
    assert [path.name for path in site.glob("opencv*")] == [
        "opencv_python_headless-5.0.0.93.dist-info"
    ]
    assert checkout.run("scripts/setup", CV2_LACKS=LIBGL).stderr == ""

    # Installing again never puts one beside the other, whether the library came or not.
    for lacks, left in (LIBGL, "opencv_python_headless"), ("", "opencv_python"):
        (checkout.root / ".venv/setup-stamp").unlink()
        assert checkout.run("scripts/setup", CV2_LACKS=lacks).returncode == 0
        calls = checkout.pip_calls()
        assert calls[0] == ["uninstall", "-y", "opencv-python", "opencv-python-headless"]
        assert [path.name for path in site.glob("opencv*")] == [f"{left}-5.0.0.93.dist-info"]
        assert (site / "cv2/__init__.py").read_text() == ""


def test_any_other_trouble_with_opencv_is_said(checkout):
    checkout.add_venv()
    result = checkout.run("scripts/setup", CV2_LACKS="numpy is too old")
    assert result.returncode == 1
    assert "import cv2 fails (ImportError: numpy is too old)" in result.stderr


def test_a_venv_whose_python_is_gone_is_left_for_its_owner_to_remove(checkout):
    checkout.add_venv()
    for path in (checkout.root / ".venv/bin").glob("python*"):
        path.unlink()
        path.symlink_to("/nowhere/python3")
    assert "remove that folder and run again" in sentence(checkout.run("scripts/setup"))


def test_offline_the_real_pip_is_told_apart_from_a_broken_one(checkout):
    checkout.add_python("python3")
    result = checkout.run(
        "scripts/setup", PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull
    )
    assert result.returncode == 1
    first, second, *_, last = result.stderr.splitlines()
    assert first.startswith("saccade: making .venv with Python 3.")
    assert second.startswith("saccade: installing packages")
    assert "check the network and pip's own configuration" in last
    assert not (checkout.root / ".venv/setup-stamp").exists()


def test_demo_passes_its_arguments_on_from_anywhere(checkout, tmp_path):
    checkout.add_venv()
    command = checkout.root / ".venv/bin/saccade"
    command.write_text(f'#!{shutil.which("bash")}\nprintf "%s|" "$PWD" "$@"\n')
    command.chmod(0o755)
    (tmp_path / "elsewhere").mkdir()
    result = checkout.run("scripts/demo", "--out", "a b", cwd=tmp_path / "elsewhere")
    assert result.returncode == 0
    assert result.stdout == f"{checkout.root}|demo|--out|a b|"


def test_test_runs_every_check_or_pytest_alone(checkout):
    site = checkout.add_venv()
    for name in ("ruff", "mypy", "pytest"):
        (site / f"{name}.py").write_text(
            "import os, sys\n"
            "print(__spec__.name, *sys.argv[1:])\n"
            "sys.exit(__spec__.name == os.environ.get('FAILS'))\n"
        )
    everything = ["ruff check", "ruff format --check", "mypy", "pytest"]
    assert checkout.run("scripts/test").stdout.splitlines() == everything
    assert checkout.run(".ci/run").stdout.splitlines() == everything
    alone = checkout.run("scripts/test", "tests/test_x.py", "-k", "a or b")
    assert alone.stdout == "pytest tests/test_x.py -k a or b\n"
    for fails in ("ruff", "mypy", "pytest"):
        assert checkout.run(".ci/run", FAILS=fails).returncode == 1


def test_matrix_lends_the_environment_and_swaps_versions(checkout):
    site = checkout.add_venv()
    (site / "pytest.py").write_text(
        "import os, pathlib, sys\n"
        "print('pytest', pathlib.Path(sys.prefix).name, *sys.argv[1:3])\n"
        "sys.exit(pathlib.Path(sys.prefix).name == os.environ.get('FAILS'))\n"
    )
    assert checkout.run("scripts/setup", "dev").returncode == 0
    checkout.calls.unlink()
    result = checkout.run("scripts/test", "--matrix")
    names = {"gymnasium-1.1": "1.1.1", "gymnasium-1.2": "1.2.2", "rllib": "1.2.2"}
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["pytest", name] for name in names]
    assert lines[0].endswith("tests/test_core.py tests/test_actions.py")
    assert lines[2].endswith("tests/test_rllib.py")
    calls = [json.loads(line) for line in checkout.calls.read_text().splitlines()]
    for (args, constraints), version in zip(calls, names.values(), strict=True):
        assert args[0] == "install"
        assert f"gymnasium=={version}" in args
        assert f"\ngymnasium=={version}\n" in constraints
        assert "\ntorch==" not in constraints
    assert calls[2][0][-1] == "ray[rllib]==2.60.0"
    alone = checkout.run("scripts/matrix", "rllib")
    assert [line.split()[1] for line in alone.stdout.splitlines()] == ["rllib"]
    fails = checkout.run("scripts/matrix", FAILS="gymnasium-1.1")
    assert fails.returncode == 1
    assert len(fails.stdout.splitlines()) == 3, "the others are run all the same"
