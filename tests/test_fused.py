"""The fused GPU kernel, as far as a machine without a GPU can tell: logic, limits, code size.

Its numbers on a GPU are in `tests/test_gpu_retina.py`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from saccade.kernels import choose, fused, table
from saccade.retina import Retina

ROOT = Path(__file__).parent.parent


def test_its_logic_under_the_interpreter():
    pytest.importorskip("triton")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/interpreted_fused.py",
        ],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_says_why_it_cannot_serve(monkeypatch):
    kernel, retina, images = fused.KERNEL, Retina(4, 2), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    assert kernel.refusal(images, retina) == "needs images on a CUDA device"
    monkeypatch.setattr(fused, "INTERPRETED", True)
    monkeypatch.setattr(fused, "HAS_TRITON", True)
    assert kernel.refusal(images, retina) is None
    assert "not torch.float64" in kernel.refusal(images.double(), retina)
    assert kernel.refusal(images, Retina(64, 7)) is None
    assert "windows of 8192 pixels" in kernel.refusal(images, Retina(64, 8))
    vast = torch.zeros(1, dtype=torch.uint8).expand(1, 1, 2**16, 2**15)
    assert "2**31" in kernel.refusal(vast, retina)
    monkeypatch.setattr(fused, "HAS_TRITON", False)
    assert "Triton" in kernel.refusal(images, retina)


@given(
    size=st.integers(1, 80),
    scales=st.integers(1, 6),
    factor=st.integers(1, 5),
    words=st.booleans(),
)
def test_a_plan_covers_every_pixel_once(size, scales, factor, words):
    warps, steps = fused.plan(size, scales, factor, words)
    assert warps in (1, 2, 4, 8)
    for scale, (cell, wide, lanes, tile, rows) in enumerate(steps):
        assert cell == factor**scale
        assert lanes * wide >= cell  # lanes beyond the cell are dropped
        assert wide == 1 or (words and lanes * wide == cell)  # no lane reaches into the next
        assert cell % rows == 0
        assert tile & (tile - 1) == lanes & (lanes - 1) == 0  # Triton wants powers of two
        assert tile < 2 * size


def test_the_operator_has_a_shape_without_running():
    with FakeTensorMode():
        images = torch.empty(5, 3, 20, 30, dtype=torch.uint8)
        index = torch.empty(7, dtype=torch.int64)
        work = (images, images, torch.empty(7, 2), index, 4, 2, 2, torch.bfloat16)
        seen = torch.ops.saccade.look("fused", *work)
        assert seen.shape == (7, 2, 3, 4, 4)
        assert seen.dtype == torch.bfloat16


@pytest.fixture
def _another_device(monkeypatch):
    """CUDA as far as it is asked: fake images, and no device tried yet."""
    monkeypatch.setattr(fused, "_TRIED", {})
    monkeypatch.setattr(fused, "HAS_TRITON", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def images_on_a_gpu() -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)  # or the mode would start it
        with FakeTensorMode():
            return torch.empty(2, 1, 20, 32, dtype=torch.uint8, device="cuda:0")


@pytest.mark.usefixtures("_another_device")
@pytest.mark.parametrize("why", ["no compiler", "capability"])
def test_where_triton_does_not_work_the_table_serves_and_it_is_said_once(why, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("no compiler\nand much more")

    def stay(tensor, kind, to=torch.Tensor.to):
        return tensor if isinstance(kind, torch.device) else to(tensor, kind)

    if why == "capability":
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 0))
    monkeypatch.setattr(torch.Tensor, "to", stay)
    monkeypatch.setattr(fused.Fused, "look", fail)
    images, retina = images_on_a_gpu(), Retina(4, 2)
    with caplog.at_level("WARNING", logger="saccade"):
        assert [choose(images, retina, 8, "auto") for _ in range(3)] == ["table"] * 3
    assert len(caplog.records) == 1
    assert why in caplog.text
    with pytest.raises(ValueError, match="'fused' does not work on cuda:0: "):
        choose(images, retina, 8, "fused")


@pytest.mark.usefixtures("_another_device")
def test_a_device_is_tried_once_and_not_where_nothing_may_wait(monkeypatch):
    tried = []
    monkeypatch.setattr(fused, "_problem", tried.append)
    images, retina = images_on_a_gpu(), Retina(4, 2)
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        assert choose(images, retina, 8, "auto") == "fused"
    assert tried == []
    assert [choose(images, retina, 8, "auto") for _ in range(3)] == ["fused"] * 3
    assert tried == [torch.device("cuda:0")]
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        assert choose(images, retina, 8, "auto") == "fused"


def test_the_trial_ends_well_only_with_the_right_glimpses(monkeypatch):
    here = torch.device("cpu")
    monkeypatch.setattr(fused.Fused, "look", lambda self, *work: torch.zeros(1, 2, 1, 2, 2))
    assert fused._problem(here) == "its glimpses are wrong"
    right = table.prepare
    monkeypatch.setattr(
        fused.Fused,
        "look",
        lambda self, images, _, *work: table.look(images, right(images, Retina(2, 2)), *work),
    )
    assert fused._problem(here) is None


def test_bytes_that_start_within_a_word_are_copied_once_and_not_at_each_look():
    flat = torch.zeros(2 * 20 * 32 + 1, dtype=torch.uint8)
    images = flat[1:].view(2, 1, 20, 32)
    ready = fused.KERNEL.prepare(images, Retina(4, 2))
    assert ready.data_ptr() % 4 == 0
    assert fused.KERNEL.prepare(ready, Retina(4, 2)) is ready
    floats = images.float()
    assert fused.KERNEL.prepare(floats, Retina(4, 2)) is floats


def test_one_program_serves_wherever_the_images_begin():
    pytest.importorskip("triton")
    from saccade.kernels.triton_look import look_kernel

    free = {each.name for each in look_kernel.params if each.do_not_specialize_on_alignment}
    assert free == {"images", "locations", "image_index"}


def machine_code(kind: str, size: int, scales: int, words: bool, width: int) -> str:
    """The kernel compiled for compute capability 9.0, as PTX; needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from saccade.kernels.triton_look import look_kernel

    warps, steps = fused.plan(size, scales, 2, words)
    constants = {
        "SIZE": size,
        "COLUMNS": triton.next_power_of_2(size),
        "SCALES": scales,
        "WIDTH": width,
        "PLAN": steps,
        "INDEXED": True,
        "DOT": True,
    }
    types = ["*" + kind, "*fp32", "*i64", "*bf16", "i32", "i32"]
    names = look_kernel.arg_names
    source = ASTSource(
        fn=look_kernel,
        signature=dict(zip(names, types, strict=False)) | dict.fromkeys(constants, "constexpr"),
        constexprs={(names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": warps, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]


@pytest.fixture
def _no_kept_code(monkeypatch, tmp_path):
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("_no_kept_code")
def test_bytes_are_read_and_added_four_at_a_time():
    code = machine_code("u8", 32, 4, words=True, width=224)
    words = bytes_ = 0  # reads of a thread for some cells of each scale, with and without a mask
    warps, steps = fused.plan(32, 4, 2, True)
    assert warps == 1, "warps that wait for each other are slower"
    for cell, wide, lanes, tile, _ in steps:
        words += 2 * tile * lanes * cell * {1: 0, 2: 2, 4: 2, 8: 3}[wide]
        bytes_ += 2 * tile * lanes * (cell == 1)
    assert code.count("dp4a.u32.u32") == words == 80
    assert len(re.findall(r"ld\.global\S*\.b8", code)) == bytes_ == 16
    # Byte by byte a cell of the widest scale alone would take 128 reads:
    # 958 instructions with Triton 3.9, 1136 with 3.6, borders and preparation included.
    instructions = len(re.findall(r"^\s+(?:@\S+ )?[a-z][a-z0-9.]+ .*;", code, re.MULTILINE))
    assert instructions < 1400


@pytest.mark.usefixtures("_no_kept_code")
@pytest.mark.parametrize("kind", ["u8", "fp32", "bf16"])
def test_starts_of_windows_are_rounded_as_on_a_cpu(kind):
    code = machine_code(kind, 12, 3, words=False, width=61)
    assert "dp4a" not in code
    assert "mul.rn.f64" in code  # `mul.f64` and `add.f64` might be fused into one, rounded once
    assert not re.search(r"(mul|add|sub)\.f64|fma", code)
