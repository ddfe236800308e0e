"""Which kernel serves, and in how many steps."""

from contextlib import nullcontext

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from saccade.kernels import choose, compiled, table
from saccade.retina import Retina


def test_kernels_are_named_and_refuse_with_a_reason():
    images = torch.zeros(1, 1, 30, 30, dtype=torch.uint8)
    with pytest.raises(ValueError, match="no kernel 'fast'"):
        choose(images, Retina(), 8, "fast")
    with pytest.raises(ValueError, match="'crop'"):
        Retina(6, 2).prepare(images, kernel="crop")
    assert choose(images, Retina(6, 1), 8, "torch") not in ("compiled", "fused")
    assert choose(images.double(), Retina(6, 3), 8, "auto") != "compiled"


@pytest.mark.parametrize(
    ("retina", "shape", "kind", "looks", "wanted"),
    [
        (Retina(7, 4), (1024, 1, 100, 100), torch.uint8, 128, "columns"),
        (Retina(8, 6), (256, 1, 200, 200), torch.uint8, 128, "table"),
        (Retina(8, 4, 3), (64, 3, 200, 200), torch.float32, 128, "table"),
        (Retina(7, 4), (1024, 1, 100, 100), torch.uint8, 8, "compiled"),  # few looks
        (Retina(7, 4), (64, 1, 100, 100), torch.uint8, 128, "compiled"),  # a small batch
        (Retina(7, 2), (1024, 1, 60, 60), torch.uint8, 512, "compiled"),  # small cells
        (Retina(8, 4), (1024, 1, 100, 100), torch.uint8, 128, "compiled"),  # each pixel read once
        (Retina(64, 1), (1024, 1, 100, 100), torch.uint8, 128, "compiled"),
    ],
    ids=str,
)
def test_sums_are_prepared_where_each_look_would_add_up_many_pixels_anew(
    retina, shape, kind, looks, wanted, monkeypatch
):
    monkeypatch.setattr(compiled, "refusal", lambda images, retina: None)
    images = torch.zeros(1, 1, 1, 1, dtype=kind).expand(shape)
    assert choose(images, retina, looks, "auto") == wanted


@pytest.mark.parametrize(
    ("retina", "looks", "wanted"),
    [
        (Retina(8, 1), 8, "crop"),
        (Retina(12, 3), 3, "direct"),  # 1.9 pixels of windows for each of the image
        (Retina(12, 3), 4, "columns"),  # 2.6
        (Retina(7, 3), 4, "direct"),  # 0.9, of windows that do not nest
        (Retina(7, 3), 5, "columns"),  # 1.1
        (Retina(12, 5), 8, "table"),
    ],
    ids=str,
)
def test_without_a_compiler_sums_are_prepared_where_looks_read_more_than_the_image(
    retina, looks, wanted
):
    images = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(1024, 1, 60, 60)
    assert choose(images, retina, looks, "torch") == wanted


def test_a_table_on_a_gpu_is_read_in_few_large_steps():
    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            self.count += op is torch.ops.aten.index_select.default
            return op(*args, **kwargs or {})

    retina, reads = Retina(32, 4), {}
    for device in ("cpu", "meta"):  # which is as little of a CPU as a GPU is
        with FakeTensorMode() if device == "cpu" else nullcontext(), Reads() as counted:
            ready = torch.empty(512, 3, 225, 225, dtype=torch.int16, device=device)
            images = torch.empty(512, 3, 224, 224, dtype=torch.uint8, device=device)
            at = torch.empty(512, 2, device=device)
            table.look(images, ready, at, None, retina, torch.float32)
        reads[device] = counted.count
    assert reads == {"cpu": 52, "meta": 1}
