import numpy as np
import pytest
import torch

from saccade.fixations import Fixations
from saccade.geometry import window_starts
from saccade.pictures import (
    UNSEEN,
    count_taken,
    grow,
    last_beliefs,
    reconstruct,
    reduced_size,
    resize,
    shade,
    shorten,
    to_picture,
    top_classes,
    verdict,
)
from saccade.retina import Retina
from tests.episodes import CLASSES, look, two_episodes


@pytest.fixture
def drawn():
    return two_episodes()


def test_reconstruct_by_hand():
    scene = (torch.arange(16, dtype=torch.uint8) * 16).view(1, 1, 4, 4)
    path = look(scene, torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]]), Retina(2, 2))
    first, second = (reconstruct(path, 0)[..., 0] * 255).round()
    # Sharp: rows and columns 0-1. Coarse cells begin at -1 and are 2 wide; what lies outside
    # the scene counts as zero: (16 + 32)/4, (5 + 6 + 9 + 10) * 16/4, (4 + 8) * 16/4.
    assert first.tolist() == [[0, 16, 12, 0], [64, 80, 120, 0], [48, 120, 120, 0], [0, 0, 0, 0]]
    # Sharp: rows and columns 2-3. Coarse cells begin at 1: they leave pixel (1, 1) sharp.
    assert second.tolist() == [
        [0, 16, 12, 0],
        [64, 80, 120, 72],
        [48, 120, 160, 176],
        [0, 108, 224, 240],
    ]
    _, finest = list(grow(path, 0))[-1]
    assert finest.tolist() == [[0, 0, 1, 2], [0, 0, 1, 1], [1, 1, 0, 0], [2, 1, 0, 0]]


def test_what_was_fixated_is_seen_as_it_is_ever_after(drawn):
    scenes, path = drawn
    pictures = reconstruct(path, 0)
    assert pictures.shape == (4, 24, 36, 3)
    truth = to_picture(scenes[0]) / np.float32(255)
    starts = window_starts(path.locations[0], 4, 3, 2, 24, 36)[:, 0].tolist()
    for t, (x, y) in enumerate(starts):
        here = (slice(max(y, 0), y + 4), slice(max(x, 0), x + 4))
        assert truth[here].size
        for later in pictures[t:]:
            np.testing.assert_allclose(later[here], truth[here], atol=1e-6)


def test_reconstruct_needs_no_scene_and_lays_newer_over_equally_sharp():
    path = look(torch.zeros(1, 1, 5, 7), torch.zeros(1, 2, 2), Retina(3, 1))
    path.glimpses[0, 0], path.glimpses[0, 1] = 0.25, 0.75
    pictures = reconstruct(path, 0)
    assert pictures[0].sum() == 9 * 0.25
    assert pictures[1].sum() == 9 * 0.75


def test_reconstruct_skips_windows_beyond_the_scene():
    path = look(torch.ones(1, 1, 6, 6), torch.tensor([[[9.0, 0.0], [float("nan"), 0.0]]]), Retina())
    assert not reconstruct(path, 0).any()


def test_reconstruct_ignores_glimpses_that_were_not_taken(drawn):
    _, path = drawn
    path.glimpses[1, 2:] = float("nan")
    pictures = reconstruct(path, 1)
    assert np.isfinite(pictures).all()
    assert (pictures[1] != pictures[0]).any()
    assert (pictures[1:] == pictures[1]).all()
    assert len(list(grow(path, 1))) == 2


def test_a_reduced_picture_is_the_picture_reduced():
    # Even windows on a scene of twice the size: each pixel stands for 2 x 2 of the same cells.
    scenes = torch.rand(1, 3, 64, 96)
    path = look(scenes, torch.tensor([[[0.0, 0.0], [-0.5, 0.25]]]), Retina(8, 2, 4))
    path.glimpses[:, :, 0] = 0.5  # flat, as a mean of cells would not be exact at its border
    whole, small = reconstruct(path, 0), reconstruct(path, 0, longest=48)
    assert small.shape == (2, 32, 48, 3)
    np.testing.assert_allclose(small, whole[:, ::2, ::2], atol=1e-6)


def test_sharp_cells_smaller_than_a_pixel_are_averaged():
    scene = torch.zeros(1, 1, 4096, 4096)
    scene[..., ::2] = 1.0  # stripes that sampling would show as all black or all white
    path = look(scene, torch.zeros(1, 1, 2), Retina(512, 1))
    image, finest = next(grow(path, 0, longest=1024))
    assert image.shape == (1024, 1024, 1)
    assert (finest == 0).sum() == 128 * 128
    np.testing.assert_allclose(image[finest == 0], 0.5, atol=0.01)


def test_to_picture_takes_grey_and_rgb():
    assert to_picture(torch.tensor([[[0.5, 2.0, float("nan")]]])).tolist() == [
        [[128] * 3, [255] * 3, [0] * 3]
    ]
    rgb = np.arange(6, dtype=np.uint8).reshape(3, 1, 2)
    assert to_picture(rgb).tolist() == [[[0, 2, 4], [1, 3, 5]]]
    with pytest.raises(ValueError, match="a picture is drawn of"):
        to_picture(torch.zeros(2, 4, 4))


def test_shade_paints_the_unseen_dark():
    finest = np.array([[0, 1, 2]])
    assert shade(np.ones((1, 3, 1), np.float32), finest, 2).tolist() == [
        [[255] * 3, [255] * 3, list(UNSEEN)]
    ]


def test_resize_keeps_small_pixels_square_and_reduces_large_pictures():
    small = np.random.default_rng(0).integers(0, 256, (28, 14, 3), dtype=np.uint8)
    large = resize(small, 280)
    assert large.shape == (280, 140, 3)
    assert (large[::10, ::10] == small).all()
    assert (large[9::10, 9::10] == small).all()
    assert resize(np.full((3000, 4096, 3), 7, np.uint8), 280).shape == (205, 280, 3)
    assert resize(np.zeros((1, 4096, 3), np.uint8), 280).shape == (1, 280, 3)
    assert reduced_size(3000, 4096, 280) == (205, 280)
    assert reduced_size(30, 40, 280) == (30, 40)


def test_top_classes():
    beliefs = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.65, 0.05]])
    assert top_classes(beliefs, 2) == [2, 0]  # the answer, and what was once believed
    assert top_classes(beliefs, 2, label=3) == [2, 3]  # the truth is always shown
    assert top_classes(beliefs, 9) == [2, 1, 0, 3]


def test_verdict(drawn):
    _, path = drawn
    path.beliefs[0, 3] = torch.tensor([0.1, 0.7, 0.2])
    path.beliefs[1, 1] = torch.tensor([float("nan"), 0.3, 0.4])  # the last one taken
    assert verdict(path, 0, CLASSES) == ("says bee", None)
    assert verdict(path, 0, CLASSES, 1) == ("says bee, right", True)
    assert verdict(path, 1, CLASSES, 0) == ("says cat, wrong: it is ant", False)
    assert shorten("Labrador retriever") == "Labrador retrie…"
    assert last_beliefs(path) == pytest.approx(np.array([[0.1, 0.7, 0.2], [0, 0.3, 0.4]]))


def test_fixations_of_people_are_counted_like_glimpses(drawn):
    _, path = drawn
    people = Fixations.from_scanpath(path)
    for gaze in (path, people):
        assert [count_taken(gaze, n) for n in (0, 1)] == [4, 2]
        assert count_taken(gaze, 0, until=3) == 3
        with pytest.raises(IndexError, match="no episode 2 among 2"):
            count_taken(gaze, 2)
        with pytest.raises(ValueError, match="counted from 1"):
            count_taken(gaze, 0, until=0)
