"""Scenes for cost against size: plates of the right size, the same number, never overlapping."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.counter import make_key, row_keys
from saccade.data import ImageSet
from saccade.digits import draw_digits
from saccade.plates import (
    PlateMaker,
    part_rows,
    plate_letters,
    plate_photos,
    plate_side,
)


@pytest.fixture(scope="module")
def maker():
    photo = np.arange(90 * 120, dtype=np.uint32).astype(np.uint8).reshape(90, 120)
    letters = plate_letters("train", 20)
    return PlateMaker(draw_digits(40, 3), letters, (photo, photo.T.copy()), 256)


def rows(count, seed=0):
    return torch.arange(count), row_keys(make_key(seed), count)


def test_sides_of_plates_by_hand():
    sides = {100: 40, 256: 40, 512: 40, 640: 40, 656: 41, 1024: 64, 2048: 128, 4096: 256}
    assert {side: plate_side(side) for side in sides} == sides


@pytest.mark.parametrize("side", [100, 256, 1024])
@pytest.mark.parametrize("background", ["black", "photo"])
def test_detail_scenes_hold_four_plates_with_signs_in_their_middle(maker, side, background):
    made = maker.at(side=side, background=background)(*rows(3))
    n, dark = plate_side(side), 127.5
    assert made.images.shape == (3, 1, side, side)
    assert made.plates.shape == (3, 4, 2)
    for image, plates in zip(made.images[:, 0].numpy(), made.plates.tolist(), strict=True):
        bright = np.zeros((side, side), bool)
        for x, y in plates:
            assert 0 <= x <= side - n
            assert 0 <= y <= side - n
            plate, margin = image[y : y + n, x : x + n], (n - 28) // 2
            border = plate.copy()
            border[margin : margin + 28, margin : margin + 28] = plate[0, 0]
            assert (border == plate[0, 0]).all()  # nothing but the sign, which is in the middle
            assert plate[0, 0] >= 165
            assert (plate != plate[0, 0]).any()
            assert not bright[y : y + n, x : x + n].any()  # no two overlap
            bright[y : y + n, x : x + n] = True
        assert bright.sum() == 4 * n * n
        assert image[~bright].max(initial=0) <= dark
        assert image[~bright].any() == (background == "photo")


def test_the_digit_is_drawn_pixel_by_pixel_whatever_the_side(maker):
    solid = ImageSet(
        torch.full((1, 1, 28, 28), 255, dtype=torch.uint8), torch.tensor([7]), tuple("0123456789")
    )
    for side in (100, 512, 2048):
        made = maker.at(digits=solid, side=side)(*rows(1))
        (x, y), n = made.plates[0, 0].tolist(), plate_side(side)
        plate = made.images[0, 0, y : y + n, x : x + n]
        ink = (plate != plate[0, 0]).nonzero()
        assert (ink.amax(0) - ink.amin(0) + 1).tolist() == [28, 28]
        middle = (ink.amax(0) + ink.amin(0) + 1).flip(0) / 2 + torch.tensor([x, y])
        assert torch.equal(middle.float(), made.places[0])
        assert made.labels.tolist() == [7]


@pytest.mark.parametrize("series", ["detail", "proportional"])
@pytest.mark.parametrize("background", ["black", "photo"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_row_does_not_know_of_the_others(maker, series, background, seed):
    make = maker.at(side=160, series=series, background=background)
    index, key = rows(4, seed)
    whole = make(index, key)
    alone = make(index[2:3], key[2:3])
    for all_rows, one in zip(whole, alone, strict=True):
        assert torch.equal(all_rows[2:3], one)
    assert not torch.equal(whole.images[0], whole.images[1])


def test_proportional_scenes_are_one_scene_magnified(maker):
    small = maker.at(series="proportional", side=100)(*rows(2))
    large = maker.at(series="proportional", side=400)(*rows(2))
    assert torch.allclose(large.places, 4 * small.places)
    means = torch.nn.functional.avg_pool2d(large.images.float(), 4)
    assert (means - small.images).abs().mean() < 4  # of 255: only edges differ
    for image, (x, y) in zip(small.images[:, 0], small.places.long().tolist(), strict=True):
        assert image[y - 14 : y + 14, x - 14 : x + 14].float().mean() > 10


def test_parts_are_fixed_and_apart():
    index, key = part_rows("test", 10, 7)
    assert index.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    later = part_rows("test", 4, 7, start=6)
    assert torch.equal(later[1], key[6:])
    assert torch.equal(later[0], index[6:])
    other = part_rows("validation", 10, 7)[1]
    assert not set(key.tolist()) & set(other.tolist())


def test_photographs_of_the_parts_differ(monkeypatch, tmp_path):
    import cv2

    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(14):
        cv2.imwrite(str(folder / f"{number:02d}.jpg"), np.full((20, 30, 3), 10 * number, np.uint8))
    monkeypatch.setenv("SACCADE_DATA", str(tmp_path))
    plate_photos.cache_clear()
    tones = {
        part: [round(float(photo.mean()) / 10) for photo in plate_photos(part)]
        for part in ("train", "validation", "test")
    }
    assert tones["validation"] == [5, 12]
    assert tones["test"] == [6, 13]
    assert tones["train"] == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    monkeypatch.delenv("SACCADE_DATA")
    plate_photos.cache_clear()
    drawn = plate_photos("test")
    assert len(drawn) == 16
    assert drawn[0].min() == 0
    assert drawn[0].max() >= 254
    assert not any(np.array_equal(a, b) for a in drawn for b in plate_photos("validation"))
    plate_photos.cache_clear()


def test_what_cannot_be_drawn_is_refused(maker):
    with pytest.raises(ValueError, match="4 plates of side 40 do not fit"):
        maker.at(side=90)
    with pytest.raises(ValueError, match="needs photos"):
        maker.at(photos=(), background="photo")
