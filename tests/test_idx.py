import gzip
import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade import download
from saccade.data import load
from saccade.idx import FILES, read_idx

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


def images_file(count, height=4, width=3, magic=2051, first=0):
    pixels = (np.arange(count * height * width) + first).astype(np.uint8)
    return struct.pack(">4I", magic, count, height, width) + pixels.tobytes()


def labels_file(labels, magic=2049):
    return struct.pack(">2I", magic, len(labels)) + bytes(labels)


def write_set(folder: Path, zipped=False, **changed) -> Path:
    """Four small files: 24 training and 5 test images of 4x3; `changed` by place."""
    contents = {
        "train_images": images_file(24),
        "train_labels": labels_file([i % 10 for i in range(24)]),
        "test_images": images_file(5, first=100),
        "test_labels": labels_file([9, 8, 7, 6, 5]),
    } | changed
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(FILES, contents.values(), strict=True):
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_pixels_and_labels_are_read_as_written(tmp_path, zipped):
    parts = read_idx(write_set(tmp_path, zipped))
    train, test = parts["train"], parts["test"]
    assert train.images.shape == (24, 1, 4, 3)
    assert train.images[1, 0].tolist() == [[12, 13, 14], [15, 16, 17], [18, 19, 20], [21, 22, 23]]
    assert train.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert test.images[0, 0, 0].tolist() == [100, 101, 102]
    assert test.labels.tolist() == [9, 8, 7, 6, 5]
    assert test.classes == tuple("0123456789")


def test_gzip_is_known_by_content_not_by_name(tmp_path):
    write_set(tmp_path)
    path = tmp_path / TEST_LABELS
    path.write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / TRAIN_LABELS).rename(tmp_path / f"{TRAIN_LABELS}.gz")
    assert read_idx(tmp_path)["test"].labels.tolist() == [9, 8, 7, 6, 5]


def test_load_finds_the_set_in_every_usual_place(tmp_path):
    for place in (".", "MNIST/raw", "raw", "mnist"):
        root = tmp_path / place.replace("/", "-").replace(".", "flat")
        write_set(root / place, zipped=place == "mnist")
        splits = load(str(root))
        assert [len(part) for part in splits[:3]] == [22, 2, 5]
        assert splits.name == root.name


@pytest.mark.parametrize(
    ("changed", "file", "why"),
    [
        ({"train_images": images_file(24)[:-1]}, TRAIN_IMAGES, "truncated: 303 .* images 304"),
        ({"test_images": images_file(5)[:11]}, TEST_IMAGES, "truncated: 11 bytes"),
        ({"test_images": b""}, TEST_IMAGES, "truncated: 0 bytes"),
        ({"train_images": images_file(24) + b"x"}, TRAIN_IMAGES, "too long"),
        ({"train_labels": labels_file([1] * 24)[:-2]}, TRAIN_LABELS, "truncated: 30 bytes"),
        ({"train_images": images_file(24, magic=2052)}, TRAIN_IMAGES, "begins with 2052.*2051"),
        ({"test_labels": b"<html>not found"}, TEST_LABELS, "begins with .*2049"),
        ({"train_labels": images_file(24)}, TRAIN_LABELS, "holds images; .* labels .*2049"),
        ({"test_images": labels_file([1] * 5)}, TEST_IMAGES, "holds labels; .* images .*2051"),
        ({"train_labels": labels_file([1] * 23)}, TRAIN_LABELS, "23 labels for the 24 images"),
        ({"test_labels": labels_file([9, 8, 10, 6, 5])}, TEST_LABELS, "label 10 at 2"),
        ({"test_images": images_file(0), "test_labels": b""}, TEST_IMAGES, "holds no images"),
        ({"test_images": gzip.compress(images_file(5))[:-9]}, TEST_IMAGES, "broken gzip"),
        ({"test_images": gzip.compress(images_file(5))[:12]}, TEST_IMAGES, "broken gzip"),
    ],
)
def test_a_bad_file_is_refused_by_name_and_reason(tmp_path, changed, file, why):
    write_set(tmp_path, **changed)
    with pytest.raises(ValueError, match=why) as caught:
        load(str(tmp_path))
    assert str(tmp_path / file) in str(caught.value)


def test_a_flipped_byte_in_a_gzip_file_is_refused(tmp_path):
    write_set(tmp_path, zipped=True)
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="broken gzip") as caught:
        load(str(tmp_path))
    assert path.name in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, name):
    (write_set(tmp_path) / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}, plain or .gz"):
        load(str(tmp_path))


def test_sizes_of_train_and_test_must_agree(tmp_path):
    write_set(tmp_path, test_images=images_file(5, height=3, width=4))
    with pytest.raises(ValueError, match=r"\(1, 4, 3\).*train.*\(1, 3, 4\).*test"):
        load(str(tmp_path))


def test_validation_is_drawn_by_seed_and_the_test_set_is_not(tmp_path):
    write_set(tmp_path)
    whole = read_idx(tmp_path)
    chosen = set()
    for seed in range(5):
        train, validation, test, _ = load(str(tmp_path), seed=seed)
        assert len(validation) == 2  # a twelfth
        together = torch.cat([train.images, validation.images])[:, 0, 0, 0].sort().values
        assert torch.equal(together, whole["train"].images[:, 0, 0, 0].sort().values)
        assert torch.equal(test.images, whole["test"].images)
        again = load(str(tmp_path), seed=seed)
        assert torch.equal(again.validation.images, validation.images)
        chosen.add(tuple(validation.images[:, 0, 0, 0].tolist()))
    assert len(chosen) > 1


def test_mnist_by_name_is_looked_for_in_saccade_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"set SACCADE_DATA .*--data DIR or --download"):
        load("mnist")
    write_set(tmp_path / "mnist")
    splits = load("mnist")
    assert splits.name == "mnist"
    assert [len(part) for part in splits[:3]] == [22, 2, 5]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Two mirrors on disk, the first without files, and an empty cache folder."""
    folder = write_set(tmp_path / "mirror", zipped=True)
    sums = {
        name: hashlib.sha256((folder / f"{name}.gz").read_bytes()).hexdigest() for name in FILES
    }
    (tmp_path / "down").mkdir()
    places = (f"{(tmp_path / 'down').as_uri()}/", f"{folder.as_uri()}/")
    monkeypatch.setattr(download, "MIRRORS", places)
    monkeypatch.setattr(download, "SHA256", sums)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SACCADE_DATA", raising=False)
    return folder


def test_download_fills_the_cache_which_then_serves_without_a_mirror(mirror, tmp_path):
    assert len(load("mnist", download=True).test) == 5
    cache = tmp_path / "cache" / "saccade" / "mnist"
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{f}.gz" for f in FILES)
    for path in mirror.iterdir():
        path.unlink()
    assert len(load("mnist").test) == 5
    assert len(load("mnist", download=True).test) == 5


def test_download_fetches_only_what_saccade_data_lacks(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_DATA", str(tmp_path / "data"))
    mine = write_set(tmp_path / "data" / "mnist", test_labels=labels_file([1, 1, 1, 1, 1]))
    (mine / TRAIN_IMAGES).unlink()
    splits = load("mnist", download=True)
    assert splits.test.labels.tolist() == [1, 1, 1, 1, 1]
    assert (mine / f"{TRAIN_IMAGES}.gz").is_file()
    assert not (tmp_path / "cache").exists()


def test_a_download_with_another_checksum_is_not_kept(mirror, tmp_path):
    (mirror / f"{TRAIN_LABELS}.gz").write_bytes(gzip.compress(b"another"))
    with pytest.raises(ValueError, match=f"{TRAIN_LABELS}.gz .*checksum"):
        load("mnist", download=True)
    cache = tmp_path / "cache" / "saccade" / "mnist"
    assert [path.name for path in cache.iterdir()] == [f"{TRAIN_IMAGES}.gz"]


def test_without_a_mirror_the_error_says_where_to_put_the_file(mirror, tmp_path):
    for path in mirror.iterdir():
        path.unlink()
    cache = tmp_path / "cache" / "saccade" / "mnist"
    with pytest.raises(FileNotFoundError, match=re.escape(f"put it into {cache} by hand")):
        load("mnist", download=True)
    assert not cache.exists()


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(ValueError, match=r"cannot be written .*SACCADE_DATA"):
        load("mnist", download=True)


def test_published_checksums_are_for_the_four_files():
    assert tuple(download.SHA256) == FILES
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in download.SHA256.values())
    assert all(mirror.startswith("https://") for mirror in download.MIRRORS)
    assert download.cache_folder().name == "saccade"
