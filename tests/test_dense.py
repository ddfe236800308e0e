"""Networks that read a whole scene: the family, folding, and pictures made smaller."""

import pytest
import torch

from saccade.agents import scaling
from saccade.agents.dense import (
    CROP,
    FAMILY,
    FIELD,
    DenseReader,
    Member,
    crop_true,
    shrink,
    shrink_anywhere,
)
from saccade.kernels import KERNELS
from saccade.retina import Retina


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
def test_one_reader_serves_scenes_of_any_side(factor):
    torch.manual_seed(factor)
    reader = DenseReader(Member(4, factor)).eval()
    image = torch.zeros(1, 1, 256, 256, dtype=torch.uint8)
    image[:, :, 64:128, 64:128] = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    large = torch.zeros(1, 1, 512, 512, dtype=torch.uint8)
    large[:, :, 256:512, 256:512] = image
    member = reader.member
    one, other = (reader(member.prepare(each)) for each in (image, large))
    assert one.shape == (1, 10)
    moved = torch.zeros_like(large)
    moved[:, :, 128:384, 64:320] = image  # the same scene elsewhere on the same black
    assert torch.allclose(other, reader(member.prepare(moved)), atol=1e-5)
    assert (other >= one - 1e-5).all()  # what was seen there is seen here, among more of black


def test_members_learn_where_a_place_sees_a_digit():
    for member in (Member(4, 1), Member(4, 8, deep=True)):
        reader = DenseReader(member).eval()
        pixels = torch.rand(1, 1, 200, 200, requires_grad=True)
        for layer in reader.body:
            if isinstance(layer, torch.nn.ReLU):
                layer.inplace = False
        reader.body(pixels)[0, :, 12, 12].sum().backward()
        seen = pixels.grad[0, 0].nonzero()
        spans = seen.amax(0) - seen.amin(0) + 1
        assert 0.8 * FIELD < int(spans.min()) <= int(spans.max()) <= FIELD
        # Digits are 28 of 100 pixels wide: 47 wide in a scene of 167.
        assert [member.fits(side * member.factor) for side in (47, 48, 167, 168)] == [
            False, True, True, False
        ]  # fmt: skip
    system = scaling.dense_system(DenseReader(Member(4, 16, deep=True)), "proportional", 0.0)
    assert [system.trained(side) for side in (512, 768, 1024, 2048)] == [False, True, True, True]
    assert not system.trained(4096)
    fixed = scaling.dense_system(DenseReader(Member(4, fixed=100)), "proportional", 0.0)
    assert fixed.trained(4096)


@pytest.mark.parametrize("member", [CROP, Member(4, 1), Member(4, 4)])
def test_folding_changes_nothing(member):
    torch.manual_seed(1)
    reader = DenseReader(member)
    images = torch.randint(0, 256, (6, 1, 48, 48), dtype=torch.uint8)
    for _ in range(3):
        reader(images)  # in training: gives the normalizations something to remember
    reader.eval()
    scaled = reader.body(images / 255).amax((2, 3))
    assert torch.allclose(reader.folded()(images), scaled, atol=1e-4)


def test_crops_are_around_the_true_place():
    image = torch.arange(200 * 200).view(1, 1, 200, 200).remainder(251).byte()
    crop = crop_true(image, torch.tensor([[70.0, 90.0]]), "detail")
    assert torch.equal(crop, image[:, :, 70:110, 50:90])
    corner = crop_true(image, torch.tensor([[199.0, 3.0]]), "detail")
    assert torch.equal(corner, image[:, :, :40, 160:])
    assert crop_true(image, torch.tensor([[70.0, 90.0]]), "proportional").shape == (1, 1, 40, 40)


def test_shrinking_takes_means():
    image = torch.tensor([[0, 4, 8, 8], [4, 8, 8, 8], [1, 1, 0, 0], [1, 1, 0, 0]]).byte()
    assert shrink(image[None, None], 2)[0, 0].tolist() == [[4, 8], [1, 0]]


@pytest.mark.parametrize(("side", "factor"), [(9, 5), (24, 8), (128, 16), (16, 32), (3, 64)])
def test_what_the_retina_shrinks_is_opencvs_bytes(side, factor, monkeypatch):
    shape = (2, 1, side * factor, side * factor)
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(side)).byte()
    images[0, 0, ::2], images[0, 0, 1::2] = 3, 4  # means of 3.5, to be rounded to the even one
    if reason := KERNELS["compiled"].refusal(images, Retina(side, 2, factor)):
        pytest.skip(reason)
    seen = shrink(images, side)
    monkeypatch.setenv("SACCADE_COMPILED", "0")
    assert torch.equal(seen, shrink(images, side))
    assert seen.unique().numel() > 1
    assert set(seen[0].unique().tolist()) <= {3, 4}


def test_the_family_has_a_name_for_each():
    for family in FAMILY.values():
        names = [member.name for member in family]
        assert len(set(names)) == len(names)
        assert CROP not in family
    assert {member.factor for member in FAMILY["detail"]} == {1, 2, 4, 8, 16}


@pytest.mark.parametrize("sides", [(256, 100), (256, 16), (640, 128), (90, 45), (100, 128)])
def test_any_device_shrinks_as_opencv_give_or_take_a_rounding(sides):
    wide, side = sides
    images = torch.randint(
        0, 256, (2, 1, wide, wide), generator=torch.Generator().manual_seed(side)
    )
    images = images.byte()
    there, here = shrink_anywhere(images, side), shrink(images, side)
    assert there.shape == here.shape == (2, 1, side, side)
    off = (there.int() - here.int()).abs()
    assert int(off.max()) <= 1
    assert float(off.float().mean()) < 0.15  # means of two or four bytes end in a half often
    flat = torch.full_like(images, 77)
    assert shrink_anywhere(flat, side).unique().tolist() == [77]
