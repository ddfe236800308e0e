import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
from setuptools import find_packages

import saccade

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GENERATED = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
GENERATED += [".git"]
ROOMS = {"saccade": "saccade", "envs": "saccade/envs", "agents": "saccade/agents"}
ALLOWED = """pyproject.toml README.md LICENSE .gitignore .ci
             saccade envs agents tests scripts docs"""


def own_files(folder: Path) -> Iterator[Path]:
    """Files of the project, relative to ROOT: nothing generated, no symlinked folder."""
    for entry in sorted(folder.iterdir()):
        if any(fnmatch(entry.name, pattern) for pattern in GENERATED):
            continue
        if entry.is_symlink():
            continue
        if entry.is_dir():
            yield from own_files(entry)
        else:
            yield entry.relative_to(ROOT)


def imported_names(path: Path) -> set[str]:
    """Absolute names that a Python file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def python_files() -> list[Path]:
    return [path for path in own_files(ROOT) if path.suffix == ".py"]


def test_packages_are_those_of_the_tree():
    found = find_packages(str(ROOT), include=["saccade*"])
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(found)


def test_every_package_has_a_folder_and_the_links_lead_there():
    folders = PROJECT["tool"]["setuptools"]["package-dir"]
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        link = ROOT / package.replace(".", "/")
        parts = package.split(".")
        # setuptools takes the folder of the nearest parent that is mapped.
        depth = max(n for n in range(1, len(parts) + 1) if ".".join(parts[:n]) in folders)
        folder = ROOT.joinpath(folders[".".join(parts[:depth])], *parts[depth:])
        assert (folder / "__init__.py").is_file()
        assert link.resolve() == folder.resolve()
    for name in ("envs", "agents"):
        link = ROOT / "saccade" / name
        assert link.is_symlink(), f"{link} must be a symlink to ../{name}"
        assert os.readlink(link) == f"../{name}"
        assert not (ROOT / name).is_symlink()


def test_nobody_imports_the_bare_names():
    # `import envs` would make a second copy of each class.
    for path in python_files():
        bare = {name.split(".")[0] for name in imported_names(path)} & {"envs", "agents"}
        assert not bare, f"{path} imports {bare}: write saccade.envs, saccade.agents"


@pytest.mark.parametrize(
    ("room", "above"),
    [("saccade", ("saccade.envs", "saccade.agents")), ("envs", ("saccade.agents",))],
)
def test_no_room_imports_what_stands_above_it(room, above):
    files = [path for path in python_files() if path.parts[0] == room]
    # `python -m saccade` is the command, which joins all rooms.
    files = [path for path in files if path.name != "__main__.py"]
    assert files
    for path in files:
        upward = {name for name in imported_names(path) if name.startswith(above)}
        assert not upward, f"{path} imports {upward}"


def test_version_is_said_once():
    assert saccade.__version__ == PROJECT["project"]["version"]


def test_pins_lie_in_the_ranges():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {}
    for line in (ROOT / "scripts/constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    declared = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]
    for extra in PROJECT["project"]["optional-dependencies"].values():
        declared += extra
    for requirement in map(Requirement, declared):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    assert pins["opencv-python"] == pins["opencv-python-headless"]


def test_top_level_holds_only_what_belongs_there():
    entries = {
        entry.name
        for entry in ROOT.iterdir()
        if not any(fnmatch(entry.name, pattern) for pattern in GENERATED)
    }
    assert entries <= set(ALLOWED.split())


def test_no_file_names_a_package_registry():
    # In pieces, that this file passes its own test.
    hosts = [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("anaconda", "org")]
    hosts += [("anaconda", "com"), ("conda", "io"), ("download.pytorch", "org")]
    hosts += [("pypi.nvidia", "com"), ("crates", "io"), ("npmjs", "com")]
    pattern = re.compile("|".join(rf"\b{name}\.{ending}\b" for name, ending in hosts))
    for path in own_files(ROOT):
        text = (ROOT / path).read_bytes().decode("utf-8", errors="ignore")
        assert not pattern.search(text), f"{path} names a package registry"


def test_import_brings_nothing_heavy():
    heavy = ("matplotlib", "cv2", "stable_baselines3", "tyro", "saccade.envs", "saccade.agents")
    code = f"import sys, saccade; print(*(name for name in {heavy} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert result.stdout.split() == []
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("said", "found"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_wait_patiently_unless_told_otherwise(said, found):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    code = "import saccade, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | said,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from an sdist built from a copy of the checkout, without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignore = shutil.ignore_patterns(*GENERATED)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=out)
    assert result.returncode == 0, result.stdout + result.stderr
    (path,) = out.glob("saccade_rl-*.whl")
    return path


def test_wheel_holds_every_file_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        "/".join((ROOMS[path.parts[0]], *path.parts[1:]))
        for path in own_files(ROOT)
        if path.parts[0] in ROOMS
    }
    assert "saccade/py.typed" in held
    assert held == expected


def test_wheel_imports_far_from_the_checkout(wheel, tmp_path):
    unpacked, elsewhere = tmp_path / "unpacked", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    code = f"""
import importlib, pkgutil, sys
sys.path.insert(0, {str(unpacked)!r})
import saccade
names = [info.name for info in pkgutil.walk_packages(saccade.__path__, "saccade.")]
for name in names:
    module = importlib.import_module(name)
    assert module.__file__.startswith({str(unpacked)!r}), module.__file__
print(*names)
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=elsewhere, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert {"saccade.retina", "saccade.envs", "saccade.agents"} <= set(result.stdout.split())
