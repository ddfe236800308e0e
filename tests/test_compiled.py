"""The compiled kernel's library: where there is a compiler, and where there is none."""

import logging
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from saccade.kernels import KERNELS, choose, compiled
from saccade.retina import Retina


def test_a_scene_is_unpickled_where_there_is_no_compiler(monkeypatch):
    retina, images = Retina(6, 3), torch.randint(0, 256, (2, 1, 30, 30)).byte()
    if reason := KERNELS["compiled"].refusal(images, retina):
        pytest.skip(reason)
    scene = retina.prepare(images, kernel="compiled")
    kept = pickle.dumps(scene)
    monkeypatch.setenv("SACCADE_COMPILED", "0")
    again = pickle.loads(kept)
    assert again.kernel != "compiled"
    assert torch.equal(*(retina.look(each, torch.zeros(2, 2)) for each in (scene, again)))


@pytest.mark.parametrize("command", ["/no/such/compiler", "g++ 'unbalanced"])
def test_without_a_compiler_another_kernel_serves_and_it_is_said_once(
    command, tmp_path, monkeypatch, caplog
):
    images, retina = torch.randint(0, 256, (2, 1, 30, 30)).byte(), Retina(6, 3)
    wanted = retina.look(images, torch.zeros(2, 2))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SACCADE_COMPILED", raising=False)
    monkeypatch.setenv("CXX", command)
    compiled._library.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger="saccade"):
            seen = [retina.look(images, torch.zeros(2, 2)) for _ in range(3)]
            assert choose(images, retina, 8, "auto") != "compiled"
        assert len(caplog.records) == 1
        assert all(torch.equal(each, wanted) for each in seen)
        with pytest.raises(ValueError, match="'compiled'"):
            retina.prepare(images, kernel="compiled")
        assert not list(tmp_path.rglob("*.so"))
    finally:
        compiled._library.cache_clear()


def test_every_source_decides_under_which_name_the_library_is_kept(tmp_path, monkeypatch):
    try:
        compiler = compiled._compiler()
    except compiled.NotBuilt as reason:
        pytest.skip(str(reason))
    sources = [Path(shutil.copy(path, tmp_path)) for path in (compiled.SOURCE, *compiled.HEADERS)]
    monkeypatch.setattr(compiled, "SOURCE", sources[0])
    monkeypatch.setattr(compiled, "HEADERS", sources[1:])
    command = [*compiler, "-MM", str(sources[0])]  # lists what the build reads
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert {Path(word).name for word in read.split()[1:]} - {"\\"} == {p.name for p in sources}
    keys = {compiled._key(compiler)}
    for source in sources:
        source.write_text(source.read_text() + "// another\n")
        keys.add(compiled._key(compiler))
    assert len(keys) == 1 + len(sources)


def test_it_can_be_turned_off(monkeypatch):
    images = torch.zeros(1, 1, 30, 30, dtype=torch.uint8)
    monkeypatch.setenv("SACCADE_COMPILED", "0")
    with pytest.raises(ValueError, match="SACCADE_COMPILED=0"):
        Retina(6, 3).prepare(images, kernel="compiled")
