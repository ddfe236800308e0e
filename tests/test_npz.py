import numpy as np
import pytest
import torch

from saccade.data import load
from saccade.npz import read_npz

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)  # (N, H, W, C)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def save(folder, **arrays):
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def test_layouts_of_images(tmp_path):
    expected = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    for images, channels in (
        (PIXELS, [0, 1, 2]),
        (PIXELS.transpose(0, 3, 1, 2), [0, 1, 2]),
        (PIXELS[..., 0], [0]),
        (PIXELS[..., :1], [0]),
        (PIXELS[:, None, ..., 0], [0]),
    ):
        got = read_npz(save(tmp_path, images=images, labels=LABELS))["train"].images
        assert torch.equal(got, expected[:, channels])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_images_become_bytes(tmp_path, dtype):
    images = np.zeros((6, 2, 2), dtype)
    images[0] = [[0, 1], [0.5, 51 / 255]]
    got = read_npz(save(tmp_path, images=images, labels=LABELS))["train"].images
    assert got[0, 0].tolist() == [[0, 255], [128, 51]]


@pytest.mark.parametrize(
    ("labels", "classes", "index"),
    [
        ([7, -2, 7, 30, 30, 7], ("-2", "7", "30"), [1, 0, 1, 2, 2, 1]),
        (np.array([2, 1, 2, 1, 2, 1], np.uint8), ("1", "2"), [1, 0, 1, 0, 1, 0]),
        (["b", "a", "b", "c", "a", "b"], ("a", "b", "c"), [1, 0, 1, 2, 0, 1]),
        ([b"b", b"a", b"b", b"b", b"a", b"b"], ("a", "b"), [1, 0, 1, 1, 0, 1]),
    ],
)
def test_labels_become_positions_among_sorted_classes(tmp_path, labels, classes, index):
    got = read_npz(save(tmp_path, images=PIXELS, labels=labels))["train"]
    assert got.classes == classes
    assert got.labels.tolist() == index


def test_train_and_test_share_classes(tmp_path):
    path = save(tmp_path, x_train=PIXELS, y_train=LABELS * 5, x_test=PIXELS[:2], y_test=[[5], [5]])
    parts = read_npz(path)
    assert parts["test"].classes == parts["train"].classes == ("0", "5")
    assert parts["test"].labels.tolist() == [1, 1]
    assert [len(part) for part in load(str(path))[:3]] == [4, 2, 2]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"images": PIXELS.astype(np.int64)}, "images is int64; images are uint8 or floating"),
        ({"images": PIXELS.astype(float)}, r"images is from 0.0 to 255.0; .* in \[0, 1\]"),
        ({"images": np.full((6, 4, 4), np.nan)}, "images is from nan"),
        ({"images": PIXELS[..., :2]}, r"images is \(6, 4, 5, 2\), not"),
        ({"images": PIXELS[0]}, "4 images in images, but 6 labels"),
        ({"images": PIXELS[:, :3]}, "not clear which axis"),
        ({"images": np.zeros((6, 0, 4), np.uint8)}, "no pixels"),
        ({"labels": LABELS[:5]}, "6 images in images, but 5 labels in labels"),
        ({"labels": np.eye(6)}, r"labels is \(6, 6\); labels are \(N,\)"),
        ({"labels": LABELS.astype(float)}, "labels is float64; labels are integers or text"),
        ({"labels": LABELS.astype(object)}, "cannot be read as arrays of numbers or text"),
        ({"labels": LABELS * 0}, "one class, 0; there must be 2"),
    ],
)
def test_a_bad_array_is_named(tmp_path, changed, why):
    path = save(tmp_path, **({"images": PIXELS, "labels": LABELS} | changed))
    with pytest.raises(ValueError, match=why) as caught:
        load(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"data": PIXELS}, "has data; it should have images and labels, or x_train"),
        ({}, "has no arrays"),
        ({"images": PIXELS}, "has images, but no labels"),
        ({"x_test": PIXELS, "y_test": LABELS}, "has x_test, y_test; it should"),
        ({"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS}, "has x_test, but no y_test"),
        (
            {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS, "y_test": LABELS + 1},
            "y_test has 2, which no train label is",
        ),
        (
            {"x_train": PIXELS, "y_train": LABELS, "x_test": PIXELS[:, 1:], "y_test": LABELS},
            r"\(3, 4, 5\) \(C, H, W\) for train, but \(3, 3, 5\) for test|not clear",
        ),
    ],
)
def test_arrays_that_do_not_belong_together(tmp_path, arrays, why):
    with pytest.raises(ValueError, match=why):
        load(str(save(tmp_path, **arrays)))


def test_a_broken_file_is_refused(tmp_path):
    path = save(tmp_path, images=PIXELS, labels=LABELS)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[400] ^= 0xFF
    for bad, why in (
        (content[:-100], "not a whole .npz file"),
        (b"", "not a whole .npz file"),
        (bytes(flipped), "cannot be read as arrays"),
    ):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=why):
            load(str(path))
