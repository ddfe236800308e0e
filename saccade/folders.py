"""A user's own images: one folder a class, any size, grey or RGB, into tensors of one size."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saccade.imageset import ImageSet

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
PARTS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


def holds_classes(folder: Path) -> bool:
    """Whether some sub-folder of `folder` has images in it."""
    return any(_images_in(inner) for inner in _folders_in(folder))


def holds_parts(folder: Path) -> bool:
    """Whether `folder` has a `train` with class folders in it."""
    return holds_classes(folder / "train")


def read_folders(root: Path, max_side: int) -> dict[str, ImageSet]:
    """Reads class folders, or those in `train/`, `val/` (or `validation/`) and `test/`.

    An image with a side over `max_side` is scaled down by area, keeping its aspect. All are
    centered on black canvases as large as the largest. Where all are grey (each pixel's
    channels are equal) there is one channel, otherwise three. Transparency is dropped.
    Folders and files are taken in sorted order; hidden ones and other files are ignored.

    Args:
        root: A folder for which `holds_parts` or `holds_classes` is true.
        max_side: In pixels, 1 or more.

    Returns:
        Image sets of one size and the same classes by part: "train", and "validation" and
        "test" where the folder has them.

    Raises:
        ValueError: If there are less than two classes, a class folder without images, a part
            with other classes or by two names, or an image that cannot be read; names it.
    """
    folders = _parts(root) if holds_parts(root) else {"train": root}
    classes = tuple(folder.name for folder in _folders_in(folders["train"]))
    if len(classes) < 2:
        raise ValueError(
            f"{folders['train']} has {len(classes)} class folder; there must be 2 or more"
        )
    files: dict[str, list[tuple[Path, int]]] = {}
    for part, folder in folders.items():
        files[part] = []
        for inner in _folders_in(folder):
            if inner.name not in classes:
                raise ValueError(f"{inner} is a class that {folders['train']} does not have")
            paths = _images_in(inner)
            if not paths:
                suffixes = " ".join(sorted(SUFFIXES))
                raise ValueError(f"class folder {inner} has no images ({suffixes}) in it")
            files[part] += [(path, classes.index(inner.name)) for path in paths]

    images = _canvases([_read(path, max_side) for path, _ in chain(*files.values())])
    parts = torch.split(images, [len(listed) for listed in files.values()])
    return {
        part: ImageSet(share, torch.tensor([label for _, label in listed]), classes)
        for (part, listed), share in zip(files.items(), parts, strict=True)
    }


def _parts(root: Path) -> dict[str, Path]:
    """The folders of `root` by part, the train part first."""
    parts = {"train": root / "train"}
    for folder in _folders_in(root):
        if folder.name == "train" or not holds_classes(folder):
            continue
        part = PARTS.get(folder.name)
        if part is None:
            raise ValueError(f"{folder} is beside train, but is not val, validation or test")
        if part in parts:
            raise ValueError(f"{root} has val and validation; keep one of them")
        parts[part] = folder
    return parts


def _folders_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """One image file as `(h, w)` grey, also where its channels are all equal, or `(h, w, 3)` RGB.

    Raises:
        ValueError: If the file cannot be read as an image.
    """
    import cv2

    content = np.fromfile(path, np.uint8)
    try:
        image = cv2.imdecode(content, cv2.IMREAD_ANYCOLOR) if len(content) else None
    except cv2.error:
        image = None
    if image is None:
        raise ValueError(f"{path} cannot be read as an image; mend or remove it")
    if image.ndim == 3 and (image == image[..., :1]).all():
        image = image[..., 0]
    return np.asarray(image if image.ndim == 2 else image[..., ::-1], dtype=np.uint8)


def _read(path: Path, max_side: int) -> NDArray[np.uint8]:
    """What `read_image` gives, its sides at most `max_side`."""
    import cv2

    image = read_image(path)
    height, width = image.shape[:2]
    if max(height, width) > max_side:
        shrink = max_side / max(height, width)
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def _canvases(images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Images of any size centered on black canvases of one size: `(N, C, H, W)`."""
    channels = max(3 if image.ndim == 3 else 1 for image in images)
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    canvases = np.zeros((len(images), channels, height, width), np.uint8)
    for canvas, image in zip(canvases, images, strict=True):
        h, w = image.shape[:2]
        top, left = (height - h) // 2, (width - w) // 2
        pixels = image if image.ndim == 2 else image.transpose(2, 0, 1)
        canvas[:, top : top + h, left : left + w] = pixels
    return torch.from_numpy(canvases)
