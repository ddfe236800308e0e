"""IDX: the file format of MNIST and the sets made in its likeness, plain or gzip.

A header of big-endian 32-bit numbers, then one byte for each pixel or label:
    images  2051, count, rows, columns
    labels  2049, count
A set is four files in one folder, `FILES`, each as named or with `.gz`.
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.imageset import ImageSet

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
CLASSES = tuple("0123456789")
MAGIC = {"images": 2051, "labels": 2049}


def find(folder: Path, name: str) -> Path | None:
    """The file `name` or `name.gz` in `folder`, or None."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def holds_idx(folder: Path) -> bool:
    """Whether any of the four files is in `folder`."""
    return any(find(folder, name) for name in FILES)


def read_idx(folder: Path) -> dict[str, ImageSet]:
    """Reads the four files of a set.

    Args:
        folder: Where they are, plain or gzip.

    Returns:
        "train" and "test", grey, in the order of the files, classes "0" to "9".

    Raises:
        FileNotFoundError: If one of the four is missing; names it.
        ValueError: If one is truncated, has another magic number, is a broken gzip file, or
            its labels do not fit; names it and says why.
    """
    paths = [find(folder, name) for name in FILES]
    missing = [name for name, path in zip(FILES, paths, strict=True) if path is None]
    if missing:
        raise FileNotFoundError(f"{folder} has no {' and no '.join(missing)}, plain or .gz")
    train_images, train_labels, test_images, test_labels = (path for path in paths if path)
    return {
        "train": _pair(train_images, train_labels),
        "test": _pair(test_images, test_labels),
    }


def _pair(image_path: Path, label_path: Path) -> ImageSet:
    images = _read(image_path, "images")
    labels = _read(label_path, "labels")
    if len(images) != len(labels):
        raise ValueError(
            f"{label_path} has {len(labels)} labels for the {len(images)} images of {image_path}"
        )
    if labels.max() > 9:
        first = int(np.argmax(labels > 9))
        raise ValueError(f"{label_path} has label {labels[first]} at {first}; labels are 0 to 9")
    return ImageSet(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long(), CLASSES)


def _read(path: Path, kind: str) -> NDArray[np.uint8]:
    """One file as `(N, H, W)` images or `(N,)` labels, checked against its header."""
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} is a broken gzip file: {error}") from None
    header = 16 if kind == "images" else 8
    magic = int.from_bytes(content[:4], "big")
    if len(content) >= 4 and magic != MAGIC[kind]:
        other = next((f", which holds {k}" for k, number in MAGIC.items() if number == magic), "")
        raise ValueError(
            f"{path} begins with {magic}{other}; an IDX file of {kind} begins with {MAGIC[kind]}"
        )
    if len(content) < header:
        raise ValueError(f"{path} is truncated: {len(content)} bytes, its header alone is {header}")
    shape = struct.unpack(f">{header // 4 - 1}I", content[4:header])
    if 0 in shape:
        raise ValueError(f"{path} holds no {kind}: its header says {shape}")
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        wrong = "is truncated" if len(content) < expected else "is too long"
        raise ValueError(
            f"{path} {wrong}: {len(content)} bytes, by its header of {shape[0]} {kind} {expected}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
