import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from saccade.digits import CLASSES, FACES, draw_digits


@pytest.fixture(scope="module")
def digits():
    return draw_digits(3000, seed=5)


def test_shape_type_and_classes(digits):
    assert digits.images.shape == (3000, 1, 28, 28)
    assert digits.images.dtype == torch.uint8
    assert digits.labels.dtype == torch.int64
    assert digits.classes == CLASSES == tuple("0123456789")
    assert all(len(FACES[digit]) >= 2 for digit in CLASSES)


@pytest.mark.parametrize("count", [0, 1, 9, 10, 137])
def test_a_shorter_draw_is_a_prefix_of_a_longer_one(digits, count):
    short = draw_digits(count, seed=5)
    assert len(short) == count
    assert torch.equal(short.images, digits.images[:count])
    assert torch.equal(short.labels, digits.labels[:count])


def test_prefix_holds_across_the_chunks_of_drawing(digits, monkeypatch):
    monkeypatch.setattr("saccade.digits.CHUNK", 7)
    assert torch.equal(draw_digits(20, seed=5).images, digits.images[:20])


def test_another_seed_gives_other_images_and_labels(digits):
    other = draw_digits(3000, seed=6)
    assert not torch.equal(other.labels, digits.labels)
    seen = {image.tobytes() for image in digits.images.numpy()}
    assert len(seen) == 3000
    assert not seen & {image.tobytes() for image in other.images.numpy()}


def test_each_ten_hold_every_digit_once_in_random_order(digits):
    tens = digits.labels.view(-1, 10)
    assert torch.equal(tens.sort(1).values, torch.arange(10).expand(300, 10))
    assert len({tuple(row.tolist()) for row in tens}) > 290


def test_digits_are_bright_on_black_and_centered_about_20_high(digits):
    images = digits.images[:, 0]
    border = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    assert (border == 0).float().mean() > 0.999
    assert (images.amax((1, 2)) > 150).all()
    assert 25 < images.float().mean() < 45  # MNIST: 33
    on = images > 64
    rows, columns = on.any(2), on.any(1)
    first, last = rows.int().argmax(1), 27 - rows.flip(1).int().argmax(1)
    left, right = columns.int().argmax(1), 27 - columns.flip(1).int().argmax(1)
    side = torch.maximum(last - first, right - left) + 1
    assert side.min() >= 16
    assert side.max() <= 24
    assert 19.5 < side.float().mean() < 21.5
    assert ((first + last) / 2 - 13.5).abs().max() <= 2
    assert ((left + right) / 2 - 13.5).abs().max() <= 2


def test_edges_are_soft(digits):
    between = ((digits.images > 20) & (digits.images < 235)).float().sum((1, 2, 3))
    assert (between > 20).all()


def test_strokes_vary_in_width(digits):
    ink = digits.images[digits.labels == 8].float().mean((1, 2, 3))
    assert ink.max() > 2 * ink.min()


@pytest.mark.parametrize("side", [8, 14, 56])
def test_other_sides_draw_the_same_digits_at_another_size(side):
    usual, other = draw_digits(50, seed=1), draw_digits(50, seed=1, side=side)
    assert other.images.shape == (50, 1, side, side)
    assert torch.equal(usual.labels, other.labels)
    resized = [
        cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        for image in usual.images[:, 0].numpy()
    ]
    flat = np.stack(resized).reshape(50, -1).astype(float)
    drawn = other.images[:, 0].numpy().reshape(50, -1).astype(float)
    alike = [np.corrcoef(a, b)[0, 1] for a, b in zip(flat, drawn, strict=True)]
    assert min(alike) > 0.75


def test_a_linear_reader_learns_them_but_not_fully(digits):
    """Readable, and not trivial: templates alone do not solve them."""
    test = draw_digits(1000, seed=6)
    x, y = digits.images.flatten(1) / 255, digits.labels
    ridge = x.T @ x + 30 * torch.eye(784)
    weights = torch.linalg.solve(ridge, x.T @ F.one_hot(y, 10).float())
    accuracy = ((test.images.flatten(1) / 255 @ weights).argmax(1) == test.labels).float().mean()
    assert 0.8 < accuracy < 0.99


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"count": -1}, "number"), ({"seed": -1}, "seed"), ({"side": 7}, "8 pixels")],
)
def test_numbers_out_of_range_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        draw_digits(**{"count": 1, "seed": 0} | arguments)
