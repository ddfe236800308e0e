"""The fused kernel's logic, run on a CPU by Triton's interpreter.

Triton must see TRITON_INTERPRET=1 before it is imported, so `tests/test_fused.py` runs this file
in a process of its own. By hand: `TRITON_INTERPRET=1 python -m pytest tests/interpreted_fused.py`.
The interpreter takes about a tenth of a second for a program: few glimpses, small images.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from saccade.kernels import fused
from saccade.retina import Retina
from tests.reference import slow_glimpse

PLACES = torch.tensor([[0.03, -0.2], [-1.0, 0.9], [1.3, 0.4], [0.7, -1.05], [-0.5, 9.0]])


@pytest.fixture(autouse=True)
def _few_programs(monkeypatch):
    assert fused.INTERPRETED
    monkeypatch.setattr(fused, "PROGRAMS", 1)


def look(
    images: Tensor,
    locations: Tensor,
    retina: Retina,
    index: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    kernel = fused.KERNEL
    assert kernel.refusal(images, retina) is None
    return kernel.look(images, kernel.prepare(images, retina), locations, index, retina, dtype)


def noise(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def reference(image: Tensor, location: Tensor, retina: Retina) -> np.ndarray:
    """Float64 glimpse in the image's units; of bytes, whole sums divided once."""
    x, y = location.tolist()
    seen = slow_glimpse(image.numpy(), (x, y), retina.size, retina.scales, retina.factor)
    if image.dtype != torch.uint8:
        return seen
    area = float(retina.factor) ** (2 * np.arange(retina.scales))[:, None, None, None]
    return np.rint(seen * area) / (255 * area)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    ("retina", "shape"),
    [
        (Retina(4, 5), (1, 30, 28)),  # cells of 1 to 16 bytes: bytes, halves, words, two words
        (Retina(4, 4), (1, 9, 12)),  # the narrowest image that is read in words
        (Retina(5, 4), (1, 21, 30)),  # odd size, rows that do not start on a word
        (Retina(3, 3, 3), (2, 13, 16)),  # factor 3
        (Retina(2, 3, 4), (1, 25, 40)),  # factor 4
        (Retina(12, 1), (3, 8, 16)),  # one scale, wider than the image is high
        (Retina(1, 6), (1, 40, 36)),  # cells of up to 32 pixels a side
        (Retina(3, 2), (1, 1, 1)),
    ],
)
def test_every_cell_is_that_of_the_reference(retina, shape, kind):
    images = noise(2, *shape)
    if kind == torch.float32:
        images = images / 128 - 1  # floats keep their values, whatever their range
    index = torch.arange(len(PLACES)) % 2
    seen = look(images, PLACES, retina, index).numpy()
    for glimpse, place, which in zip(seen, PLACES, index, strict=True):
        wanted = reference(images[which], place, retina)
        if kind == torch.uint8:
            assert np.array_equal(glimpse, wanted.astype(np.float32))
        else:
            assert np.abs(glimpse - wanted).max() < 1e-6


def test_bytes_are_bit_for_bit_those_of_the_other_kernels():
    images, retina = noise(3, 2, 33, 36), Retina(6, 4)
    locations = PLACES[:3] * torch.tensor([1.0, 0.9])
    assert torch.equal(look(images, locations, retina), retina.look(images, locations))


def test_cells_whose_sum_float32_cannot_hold():
    images, retina = noise(1, 1, 250, 16) | 192, Retina(1, 2, 257)  # 255 * 257**2 is over 2**24
    wanted = reference(images[0], torch.zeros(2), retina).astype(np.float32)
    assert np.array_equal(look(images, torch.zeros(1, 2), retina)[0].numpy(), wanted)


def test_parts_of_a_glimpse_are_the_whole(monkeypatch):
    images, retina = noise(1, 1, 40, 40), Retina(16, 3)
    whole = look(images, PLACES[:1], retina)
    monkeypatch.setattr(fused, "PROGRAMS", 3)
    assert torch.equal(look(images, PLACES[:1], retina), whole)


def test_half_floats_are_float32_rounded_once_more():
    images, retina = noise(2, 1, 20, 24), Retina(4, 3)
    exact = look(images, PLACES[:2], retina)
    assert torch.equal(look(images, PLACES[:2], retina, dtype=torch.float16), exact.half())
    brain = look(images, PLACES[:2], retina, dtype=torch.bfloat16)
    assert brain.dtype == torch.bfloat16  # the interpreter truncates: up to a unit less
    assert ((brain.float() - exact).abs() <= exact * 2**-7).all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_float_images(kind):
    images, retina = (noise(2, 1, 20, 24) / 255).to(kind), Retina(4, 3)
    wanted = look(images.float(), PLACES[:2], retina)
    assert torch.equal(look(images, PLACES[:2], retina), wanted)


def test_nowhere_is_zero_and_no_image_is_nan():
    images, retina = noise(2, 1, 20, 24) | 1, Retina(4, 2)
    places = torch.tensor([[math.nan, 0.0], [0.0, math.inf], [-math.inf, 0.0], [1e30, 0.0], [0, 0]])
    seen = look(images, places, retina, torch.tensor([0, 1, 0, 1, 0]))
    assert torch.equal(seen[:4], torch.zeros_like(seen[:4]))
    assert (seen[4] > 0).all()
    assert look(images, places[:2] * 0, retina, torch.tensor([2, -1])).isnan().all()


def test_images_that_are_not_laid_out_for_words():
    images, retina = noise(2, 2, 16, 20), Retina(4, 3)
    wanted = look(images, PLACES[:2], retina)
    inside_a_word = noise(2 * 2 * 16 * 20 + 1)[1:].view(2, 2, 16, 20).copy_(images)
    assert torch.equal(look(inside_a_word, PLACES[:2], retina), wanted)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(look(channels_last, PLACES[:2], retina), wanted)
    assert torch.equal(look(images, PLACES[:2].double(), retina), wanted)


def test_a_device_on_which_it_works_passes_the_trial():
    assert fused._problem(torch.device("cpu")) is None


def test_empty_batches():
    assert look(noise(0, 3, 9, 12), torch.zeros(0, 2), Retina(4, 2)).shape == (0, 2, 3, 4, 4)


def test_it_is_a_custom_operator():
    images, retina = noise(1, 1, 16, 20), Retina(2, 2)
    arguments = ("fused", images, images, PLACES[:1], None, 2, 2, 2, torch.float32)
    torch.library.opcheck(
        torch.ops.saccade.look.default, arguments, test_utils=("test_schema", "test_faketensor")
    )
    torch.library.opcheck(
        torch.ops.saccade.look.default,
        ("fused", images, images, PLACES[:1], torch.tensor([0]), 2, 2, 2, torch.bfloat16),
        test_utils=("test_schema", "test_faketensor"),
    )

    def double(images, places):
        return retina.look(retina.prepare(images, kernel="fused"), places * 0.5) * 2

    compiled = torch.compile(double, fullgraph=True, backend="aot_eager")
    wanted = look(images, PLACES[:1] * 0.5, retina) * 2
    assert torch.equal(compiled(images, PLACES[:1]), wanted)
