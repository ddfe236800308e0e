"""A user's own arrays: an `.npz` file with `images` and `labels`, or `x_train` and the like."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.imageset import ImageSet

NAMES = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}  # as Keras has them


def read_npz(path: Path) -> dict[str, ImageSet]:
    """Reads images and labels from a file of arrays.

    Args:
        path: Of a file with `images` and `labels`, or with `x_train` and `y_train` and perhaps
            `x_test` and `y_test`. Images are (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or
            3, uint8 or floating point in [0, 1]; labels are (N,) or (N, 1), integers or text.

    Returns:
        Image sets with the same classes by part: "train", and "test" where the file has it.
        Classes are the labels of the train part as text, sorted.

    Raises:
        ValueError: If the file or an array is none of these; names it and says why.
    """
    arrays = _arrays(path)
    if "images" in arrays:
        names = {"train": ("images", "labels")}
    else:
        names = {part: pair for part, pair in NAMES.items() if pair[0] in arrays}
    if "train" not in names:
        raise ValueError(
            f"{path} has {', '.join(arrays) or 'no arrays'}; "
            "it should have images and labels, or x_train and y_train"
        )
    for image_name, label_name in names.values():
        if label_name not in arrays:
            raise ValueError(f"{path} has {image_name}, but no {label_name}")

    known = np.unique(_labels(arrays[names["train"][1]], f"{path}: {names['train'][1]}"))
    if len(known) < 2:
        raise ValueError(f"{path} has one class, {known[0]}; there must be 2 or more")
    parts = {}
    for part, (image_name, label_name) in names.items():
        images = _images(arrays[image_name], f"{path}: {image_name}")
        labels = _labels(arrays[label_name], f"{path}: {label_name}")
        if len(images) != len(labels):
            raise ValueError(
                f"{path}: {len(images)} images in {image_name}, "
                f"but {len(labels)} labels in {label_name}"
            )
        strange = np.setdiff1d(labels, known)
        if len(strange):
            raise ValueError(f"{path}: {label_name} has {strange[0]}, which no train label is")
        index = torch.from_numpy(np.searchsorted(known, labels))
        parts[part] = ImageSet(torch.from_numpy(images), index.long(), tuple(map(str, known)))
    return parts


def from_arrays(images: NDArray, labels: NDArray) -> ImageSet:
    """Makes an image set of a user's own arrays.

    Args:
        images: (N, H, W), (N, H, W, C) or (N, C, H, W), C 1 or 3, uint8 or floating point in
            [0, 1].
        labels: (N,) or (N, 1), integers or text. The classes are what occurs, as text, sorted.

    Raises:
        ValueError: If an array is none of these, or their lengths differ.
    """
    pixels, names = _images(np.asarray(images), "images"), _labels(np.asarray(labels), "labels")
    if len(pixels) != len(names):
        raise ValueError(f"{len(pixels)} images, but {len(names)} labels")
    known, index = np.unique(names, return_inverse=True)
    return ImageSet(
        torch.from_numpy(pixels), torch.from_numpy(index).long(), tuple(map(str, known))
    )


def _arrays(path: Path) -> dict[str, NDArray]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole .npz file, as numpy.savez writes it")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} cannot be read as arrays of numbers or text: {error}") from None


def _images(array: NDArray, where: str) -> NDArray[np.uint8]:
    """Images as `(N, C, H, W)` uint8."""
    shape = array.shape
    last, first = (array.ndim == 4 and shape[axis] in (1, 3) for axis in (3, 1))
    if array.ndim == 3:
        array = array[:, None]
    elif last and first:
        raise ValueError(f"{where} is {shape}: it is not clear which axis is the channels")
    elif last:
        array = array.transpose(0, 3, 1, 2)
    elif not first:
        raise ValueError(
            f"{where} is {shape}, not (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1 or 3"
        )
    if 0 in shape:
        raise ValueError(f"{where} is {shape}, it has no pixels")
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # NaN fails as well
            raise ValueError(
                f"{where} is from {low} to {high}; floating point images are in [0, 1]"
            )
        array = np.rint(array * 255)
    elif array.dtype != np.uint8:
        raise ValueError(f"{where} is {array.dtype}; images are uint8 or floating point in [0, 1]")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _labels(array: NDArray, where: str) -> NDArray:
    """Labels as `(N,)` integers or text, one or more."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{where} is {array.shape}; labels are (N,), one for each image")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind not in "iuU":
        raise ValueError(f"{where} is {array.dtype}; labels are integers or text")
    return array
