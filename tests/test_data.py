import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.data import ImageSet, Splits, load
from saccade.download import SHA256


def numbered(count, first=0):
    """`(count, 2, 2)` uint8 images, each of which holds its own number."""
    number = np.arange(first, first + count)
    images = np.zeros((count, 2, 2), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = number // 256, number % 256
    return images


def numbers(images: ImageSet) -> list[int]:
    return (images.images[:, 0, 0, 0].int() * 256 + images.images[:, 0, 0, 1].int()).tolist()


def small(count=4) -> ImageSet:
    images = torch.arange(count * 6, dtype=torch.uint8).view(count, 1, 2, 3)
    return ImageSet(images, torch.arange(count) % 2, ("cat", "dog"))


def test_an_image_set_gives_parts_of_itself():
    whole = small()
    assert len(whole) == 4
    part = whole.subset(torch.tensor([3, 0]))
    assert part.images[:, 0, 0, 0].tolist() == [18, 0]
    assert part.labels.tolist() == [1, 0]
    assert part.classes == ("cat", "dog")
    masked = whole.subset(torch.tensor([False, True, False, False]))
    assert masked.labels.tolist() == [1]
    assert len(whole.subset(torch.zeros(0, dtype=torch.long))) == 0


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
            ],
        ),
    ],
)
def test_an_image_set_moves_to_a_device(device):
    moved = small().to(device)
    assert moved.images.device.type == moved.labels.device.type == device
    assert torch.equal(moved.images.cpu(), small().images)
    assert moved.classes == small().classes


@pytest.mark.parametrize(
    ("images", "labels", "why"),
    [
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2).long(), r"\(N, C, H, W\)"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2).long(), "uint8"),
        (torch.zeros(2, 2, 4, 4, dtype=torch.uint8), torch.zeros(2).long(), "1 channel"),
        (torch.zeros(2, 1, 0, 4, dtype=torch.uint8), torch.zeros(2).long(), "no pixels"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2), "int64"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 1).long(), r"\(N,\)"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3).long(), "3 labels"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 2]), "label 2 .* 2 classes"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, -1]), "label -1"),
    ],
)
def test_an_image_set_checks_itself(images, labels, why):
    with pytest.raises(ValueError, match=why):
        ImageSet(images, labels, ("a", "b"))


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=6),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_split_is_disjoint_complete_and_by_class(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(seed).permutation(labels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.npz"
        np.savez(path, images=numbered(len(labels)), labels=labels)
        splits, again = load(str(path), seed=seed), load(str(path), seed=seed)
        other = load(str(path), seed=seed + 1)
    parts = [numbers(part) for part in splits[:3]]
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(len(labels)))
    assert parts == [numbers(part) for part in again[:3]]
    assert parts[2] == numbers(other.test)  # one test set, whatever the seed
    for part in splits[:3]:
        assert part.labels.tolist() == labels[numbers(part)].tolist()
    for label, count in enumerate(counts):
        of_class = [int((part.labels == label).sum()) for part in splits[:3]]
        assert min(of_class) >= 1
        assert abs(of_class[1] - count / 10) <= 1
        assert abs(of_class[2] - count / 10) <= 1


def test_a_split_of_a_hundred_a_class_is_80_10_10(tmp_path):
    np.savez(tmp_path / "d.npz", images=numbered(300), labels=np.arange(300) % 3)
    splits = load(str(tmp_path / "d.npz"))
    assert splits.name == "d"
    counts = [torch.bincount(part.labels).tolist() for part in splits[:3]]
    assert counts == [[80, 80, 80], [10, 10, 10], [10, 10, 10]]
    chosen = {tuple(numbers(load(str(tmp_path / "d.npz"), seed=s).validation)) for s in range(4)}
    assert len(chosen) == 4


def test_with_a_test_part_validation_is_a_tenth_of_train(tmp_path):
    np.savez(
        tmp_path / "d.npz",
        x_train=numbered(100),
        y_train=np.arange(100)[:, None] % 2,  # (N, 1), as Keras has it for some sets
        x_test=numbered(7, first=100),
        y_test=np.zeros((7, 1), np.int64),
    )
    splits = load(str(tmp_path / "d.npz"))
    assert numbers(splits.test) == list(range(100, 107))
    assert torch.bincount(splits.train.labels).tolist() == [45, 45]
    assert torch.bincount(splits.validation.labels).tolist() == [5, 5]
    assert splits.test.classes == ("0", "1")


def test_a_class_of_two_images_is_too_small(tmp_path):
    np.savez(tmp_path / "d.npz", images=numbered(5), labels=["x", "x", "x", "y", "y"])
    with pytest.raises(ValueError, match=r"d\.npz: class y has 2 images.*need 3"):
        load(str(tmp_path / "d.npz"))


def test_digits_are_there_without_any_file():
    splits = load("digits")
    assert isinstance(splits, Splits)
    assert [len(part) for part in splits[:3]] == [20_000, 2_000, 4_000]
    assert splits.name == "digits"
    seen = [{image.tobytes() for image in part.images.numpy()} for part in splits[:3]]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    other = load("digits", seed=1)
    for part, same in zip(splits[:3], other[:3], strict=True):
        assert torch.equal(part.images, same.images)


def test_what_is_not_there_or_not_known_says_what_would_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*nowhere; data is digits, mnist, or .*npz"):
        load(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"holds no data .* four IDX files .* sub-folder .*\.npz"):
        load(str(tmp_path))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.txt holds no data"):
        load(str(tmp_path / "notes.txt"))
    with pytest.raises(ValueError, match="max_side is 1 pixel or more"):
        load("digits", max_side=0)


def test_real_mnist():
    root = os.environ.get("SACCADE_DATA")
    if not root or not (Path(root) / "mnist").is_dir():
        pytest.skip("needs real MNIST: set SACCADE_DATA to a folder that has mnist in it")
    for name, checksum in SHA256.items():
        path = Path(root) / "mnist" / f"{name}.gz"
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    train, validation, test, _ = load("mnist", seed=3)
    assert [len(train), len(validation), len(test)] == [55_000, 5_000, 10_000]
    assert train.images.shape[1:] == (1, 28, 28)
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert abs(float(train.images.float().mean()) / 255 - 0.1307) < 0.001
    again = load(str(Path(root) / "mnist"), seed=3)
    assert torch.equal(again.validation.images, validation.images)
    assert not torch.equal(load(root, seed=4).validation.labels, validation.labels)
