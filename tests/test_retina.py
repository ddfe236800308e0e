from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.retina import Retina
from tests.reference import slow_glimpse


@st.composite
def looks(draw):
    shape = (draw(st.sampled_from([1, 3])), draw(st.integers(1, 17)), draw(st.integers(1, 17)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    coordinate = st.one_of(
        st.floats(-1.5, 1.5, width=32),
        st.sampled_from([-1.0, 1.0, 0.0, -3.0, 3.0]),
        st.integers(-2, 20).map(lambda i: (2 * i + 1) / 17 - 1),
    )
    location = (draw(coordinate), draw(coordinate))
    retina = Retina(draw(st.integers(1, 7)), draw(st.integers(1, 4)), draw(st.sampled_from([2, 3])))
    return image, location, retina


@given(looks())
def test_uint8_is_the_reference_rounded_once(look):
    image, location, retina = look
    place = torch.tensor([location], dtype=torch.float32)
    got = retina.look(torch.from_numpy(image)[None], place)
    exact = tuple(float(v) for v in place[0])
    want = slow_glimpse(image, exact, retina.size, retina.scales, retina.factor)
    area = retina.factor ** (2 * np.arange(retina.scales))[:, None, None, None]
    want = (np.rint(want * area) / (area * 255)).astype(np.float32)
    np.testing.assert_array_equal(got[0].numpy(), want)


@given(looks())
def test_float_is_the_reference_to_a_millionth(look):
    image, location, retina = look
    image = (image / 255).astype(np.float32)
    place = torch.tensor([location], dtype=torch.float32)
    got = retina.look(torch.from_numpy(image)[None], place)
    exact = tuple(float(v) for v in place[0])
    want = slow_glimpse(image, exact, retina.size, retina.scales, retina.factor)
    np.testing.assert_allclose(got[0].numpy(), want, atol=1e-6)


def test_both_kernels_agree_bit_for_bit_at_the_finest_scale():
    images = torch.randint(0, 256, (40, 3, 19, 31), dtype=torch.uint8)
    places = torch.rand(40, 2) * 3 - 1.5
    crop = Retina(7, 1).look(images, places)
    table = Retina(7, 3).look(images, places)
    assert torch.equal(crop, table[:, :1])


def test_hand_computed_corner():
    image = torch.tensor([[[[255, 0], [0, 255]]]], dtype=torch.uint8)
    # Upper left corner: the windows start at -1 and -2; three of four fine cells are outside.
    got = Retina(2, 2).look(image, torch.tensor([[-1.0, -1.0]]))
    assert got.tolist() == [[[[[0, 0], [0, 1]]], [[[0, 0], [0, 0.5]]]]]


def test_many_looks_at_few_images_share_them():
    images = torch.randint(0, 256, (3, 1, 20, 20), dtype=torch.uint8)
    index = torch.tensor([2, 0, 2, 1])
    places = torch.rand(4, 2) * 2 - 1
    for retina in (Retina(6, 1), Retina(6, 3)):
        shared = retina.look(retina.prepare(images), places, index)
        assert torch.equal(shared, retina.look(images[index], places))


def test_a_table_that_wraps_around_stays_exact():
    # 4200^2 * 255 is over 2^32: the int32 table wraps, its differences do not.
    image = torch.full((1, 1, 4200, 4200), 255, dtype=torch.uint8)
    got = Retina(4, 2).look(image, torch.tensor([[0.99, 0.99], [0.0, 0.0]]), torch.tensor([0, 0]))
    assert torch.equal(got, torch.ones_like(got))


def test_images_are_not_changed_and_need_no_gradient():
    images = torch.rand(2, 1, 9, 9, requires_grad=True)
    before = images.detach().clone()
    assert not Retina(4, 2).look(images, torch.zeros(2, 2)).requires_grad
    assert torch.equal(images.detach(), before)


def odd(anything: Any) -> Any:
    """What a type checker would not let through."""
    return anything


def look_at(index):
    return Retina(8).look(torch.zeros(2, 1, 5, 5), torch.zeros(2, 2), index)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Retina(0), "size is a whole number of 1 or more"),
        (lambda: Retina(8, -1), "scales is a whole number"),
        (lambda: Retina(8, 20), "use fewer scales"),
        (lambda: Retina(8).look(torch.zeros(28, 28), torch.zeros(1, 2)), "batch, channels"),
        (lambda: Retina(8).look(torch.zeros(2, 1, 0, 5), torch.zeros(2, 2)), "no pixels"),
        (
            lambda: Retina(8).look(torch.zeros(2, 1, 5, 5).int(), torch.zeros(2, 2)),
            "uint8 or float",
        ),
        (lambda: Retina(8).look(torch.zeros(2, 1, 5, 5), torch.zeros(2)), "locations are"),
        (lambda: Retina(8).look(torch.zeros(2, 1, 5, 5), torch.zeros(3, 2)), "image_index"),
        (lambda: Retina(8).look(torch.zeros(2, 0, 5, 5), torch.zeros(2, 2)), "no pixels"),
        (lambda: Retina(8).look(odd(np.zeros((2, 1, 5, 5))), torch.zeros(2, 2)), "from_numpy"),
        (lambda: Retina(8).look(torch.zeros(2, 1, 5, 5), odd([[0, 0], [0, 0]])), "as_tensor"),
        (
            lambda: look_at(torch.tensor([0.0, 1.0])),
            r"\(N,\) int64 on cpu, got \(2,\) torch.float32",
        ),
        (lambda: look_at(torch.tensor([True, False])), "torch.bool"),
        (lambda: look_at(torch.tensor([[0], [1]])), r"got \(2, 1\) torch.int64"),
        (lambda: look_at(torch.tensor([0, 1], device="meta")), "on meta"),
        (lambda: look_at([0, 1]), "got list"),
        (lambda: Retina(8).integrate(torch.zeros(2, 1, 5, 5).int(), torch.zeros(2, 2)), "uint8 or"),
        (lambda: Retina(8).integrate(torch.zeros(2, 1, 5, 5), torch.zeros(3, 2)), "image_index"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
