"""Where images come from: one name or path in, train, validation and test sets out."""

import os
from pathlib import Path
from typing import NamedTuple

import torch

from saccade.digits import draw_digits
from saccade.download import cache_folder, fetch_mnist
from saccade.folders import holds_classes, holds_parts, read_folders
from saccade.idx import holds_idx, read_idx
from saccade.imageset import ImageSet
from saccade.npz import read_npz

__all__ = ["ImageSet", "Splits", "load"]

DIGITS = {"train": (20_000, 0), "validation": (2_000, 1), "test": (4_000, 2)}  # count, seed
TEST_SEED = 0  # a test set that is cut here does not change with the seed of a training
ACCEPTED = (
    "a folder with the four IDX files of MNIST (plain or .gz, also in MNIST/raw or mnist), "
    "a folder with one sub-folder of images a class (also in train, val and test), or an .npz file"
)


class Splits(NamedTuple):
    """What a model learns from, what choices are made on, and what is looked at once.

    All three hold images of one size and the same classes, and none is empty.

    Attributes:
        train: To learn from.
        validation: To choose on.
        test: To report, once.
        name: Of the data, for reports.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    name: str


def load(data: str, *, seed: int = 0, download: bool = False, max_side: int = 512) -> Splits:
    """Loads data by name or path; what a path holds is seen from its content.

    The test set never depends on `seed`. Where the data does not say which images are for
    validation or test, they are cut from the train part:
        MNIST and other IDX sets: a twelfth for validation (5,000 of 60,000), at random.
        Folders and arrays: 10 % for test and 10 % for validation, by class.

    Args:
        data: "digits" for digits drawn on the fly (20,000, 2,000 and 4,000, always the same);
            "mnist" for MNIST in `$SACCADE_DATA/mnist`, or else in the cache folder; or a path:
            a folder with MNIST's four IDX files, plain or gzip, in it, in `MNIST/raw` or in
            `mnist`; a folder with one sub-folder of images a class (see
            `saccade.folders.read_folders`); an `.npz` file (see `saccade.npz.read_npz`).
        seed: Chooses the images for validation, where they are cut.
        download: Whether "mnist" may be fetched where it is missing, checked by checksum.
        max_side: Images in folders with a longer side, in pixels, are scaled down to it.

    Returns:
        The three sets on the CPU, and a name.

    Raises:
        FileNotFoundError: If there is no such data, or a file of it is missing.
        ValueError: If the data is not what it should be; says which file and why.
    """
    if max_side < 1:
        raise ValueError(f"max_side is 1 pixel or more, got {max_side}")
    if data == "digits":
        parts = {name: draw_digits(count, key) for name, (count, key) in DIGITS.items()}
        return Splits(**parts, name="digits")
    if data == "mnist":
        return _complete(_mnist(download), seed, "mnist", "mnist", by_class=False)

    path = Path(data).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"there is no {path}; data is digits, mnist, or the path of {ACCEPTED}"
        )
    name = path.resolve().stem if path.is_file() else path.resolve().name
    if path.is_file() and path.suffix.lower() == ".npz":
        return _complete(read_npz(path), seed, name, data)
    for folder in (path, path / "MNIST" / "raw", path / "raw", path / "mnist"):
        if holds_idx(folder):
            return _complete(read_idx(folder), seed, name, data, by_class=False)
    if holds_parts(path) or holds_classes(path):
        return _complete(read_folders(path, max_side), seed, name, data)
    raise ValueError(f"{path} holds no data that is known; it should be {ACCEPTED}")


def _mnist(download: bool) -> dict[str, ImageSet]:
    root = os.environ.get("SACCADE_DATA")
    folder = (Path(root).expanduser() if root else cache_folder()) / "mnist"
    if download:
        fetch_mnist(folder)
    elif not holds_idx(folder):
        raise FileNotFoundError(
            f"there is no MNIST in {folder}: set SACCADE_DATA to a folder that has mnist in it, "
            "or pass --data DIR or --download"
        )
    return read_idx(folder)


def _complete(
    parts: dict[str, ImageSet], seed: int, name: str, source: str, by_class: bool = True
) -> Splits:
    """Cuts what is missing of test and validation from the train part."""
    train = parts["train"]
    groups = train.labels if by_class else torch.zeros_like(train.labels)
    counts = torch.bincount(groups)
    need = 1 + ("test" not in parts) + ("validation" not in parts)
    if counts.min() < need:
        few = int(counts.argmin())
        which = f"class {train.classes[few]}" if by_class else "the train part"
        raise ValueError(
            f"{source}: {which} has {counts[few]} images, but train, validation and test "
            f"need {need} or more from it"
        )
    share = 0.1 if by_class else 1 / 12
    if "test" not in parts:
        train, parts["test"] = _cut(train, share, TEST_SEED, by_class)
        share /= 1 - share  # of what is left
    if "validation" not in parts:
        train, parts["validation"] = _cut(train, share, seed, by_class)
    for part in ("validation", "test"):
        shape, other = train.images.shape[1:], parts[part].images.shape[1:]
        if shape != other:
            raise ValueError(
                f"{source}: images are {tuple(shape)} (C, H, W) for train, "
                f"but {tuple(other)} for {part}"
            )
    return Splits(train, parts["validation"], parts["test"], name)


def _cut(whole: ImageSet, share: float, seed: int, by_class: bool) -> tuple[ImageSet, ImageSet]:
    """Splits off a share at random, of each class or of all; returns the rest and the share."""
    generator = torch.Generator().manual_seed(seed)
    groups = whole.labels if by_class else torch.zeros_like(whole.labels)
    chosen = torch.zeros(len(whole), dtype=torch.bool)
    for group in groups.unique():
        members = (groups == group).nonzero()[:, 0]
        count = max(1, round(share * len(members)))
        order = torch.randperm(len(members), generator=generator)
        chosen[members[order[:count]]] = True
    return whole.subset(~chosen), whole.subset(chosen)
