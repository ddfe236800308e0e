"""Scenes that grow while what must be read stays small, or grows with them.

Two series of square grey scenes of any side, each on black or on photographs:

- *detail*: a digit of 28 x 28 pixels in the middle of a bright plate, among plates that carry
  letters. A plate's side is max(40, side // 16), their number is the same at every side: a coarse
  look finds the plates, only a sharp look reads the digit. So it is with signs, labels and cells.
- *proportional*: the cluttered scene of Mnih et al. 2014 (side 100, a digit of 28 pixels, eight
  pieces of other digits), magnified to the side. Down-sampling loses nothing.

A scene is a pure function of an image index and a random key. Rows are made one by one: a scene of
4096 x 4096 fills the caches by itself, and OpenCV resizes one picture at a time.

Convention: places are in pixels as (x, y), continuous, see `saccade.geometry.to_pixels`.
"""

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from saccade.counter import fold, integers, make_key, row_keys, uniform
from saccade.data import ImageSet
from saccade.letters import ALPHABETS, draw_letters
from saccade.scenes import SceneMaker

Series = Literal["detail", "proportional"]
Background = Literal["black", "photo"]

DIGIT = 28  # side of a digit in pixels, and of a letter
SMALL = 100  # side of the proportional series as it is drawn, before it is magnified
PHOTO = 512  # longest shorter side in pixels that a photograph is kept with
PARTS = ("train", "validation", "test")
DRAWN = {"train": 48, "validation": 16, "test": 16}  # backgrounds, where there are no photographs


class PlateScene(NamedTuple):
    """A batch of scenes.

    Attributes:
        images: `(N, 1, side, side)` uint8.
        labels: `(N,)` int64.
        places: `(N, 2)` float32, the middle of the digit in pixels, (x, y).
        plates: `(N, P, 2)` int64, the left upper corner of each plate, (x, y), the digit's first;
            P is 0 in the proportional series.
    """

    images: Tensor
    labels: Tensor
    places: Tensor
    plates: Tensor

    def to(self, device: torch.device) -> "PlateScene":
        """The same on another device."""
        return PlateScene(*(each.to(device) for each in self))


def plate_side(side: int) -> int:
    """Side of a plate in a scene of the detail series, in pixels."""
    return max(40, side // 16)


@dataclass(frozen=True, eq=False)
class PlateMaker:
    """Makes scenes of one series, background and side.

    Attributes:
        digits: What is to be read, `(N, 1, 28, 28)`.
        letters: `(L, 1, 28, 28)` uint8, what the other plates carry.
        photos: Grey `(h, w)` uint8 pictures, for the background "photo".
        side: Of the scenes in pixels.
        series: "detail" or "proportional".
        background: "black" or "photo".
        others: Plates beside the digit's.
        plate: Side of a plate, where it shall not be that of `plate_side`: a scene that is a piece
            of a larger one.

    Raises:
        ValueError: If the plates do not fit, or photographs are asked for and there are none.
    """

    digits: ImageSet
    letters: Tensor
    photos: tuple[np.ndarray, ...]
    side: int
    series: Series = "detail"
    background: Background = "black"
    others: int = 3
    plate: int | None = None

    def __post_init__(self) -> None:
        if self.background == "photo" and not self.photos:
            raise ValueError("a background of photographs needs photos; see plate_sets")
        if self.series == "detail" and self.grid**2 <= self.others:
            raise ValueError(
                f"{self.others + 1} plates of side {self.plate_pixels} do not fit into a scene of "
                f"side {self.side}; give a larger side or fewer others"
            )

    @property
    def plate_pixels(self) -> int:
        """Side of a plate in pixels."""
        return plate_side(self.side) if self.plate is None else self.plate

    @property
    def grid(self) -> int:
        """Cells along a side, each of which may hold one plate with room around it."""
        room = self.plate_pixels * 5 // 4 if self.others else self.plate_pixels
        return self.side // room

    def at(self, **changes: object) -> "PlateMaker":
        """The same with other attributes."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def __call__(self, index: Tensor, key: Tensor) -> PlateScene:
        """Makes one scene for each digit.

        Args:
            index: `(N,)` int64, which digit is shown.
            key: `(N,)` int64 random keys; the same key and index give the same scene.
        """
        if self.series == "detail":
            return self._detail(index, key)
        return self._proportional(index, key)

    def _detail(self, index: Tensor, key: Tensor) -> PlateScene:
        count, side, n = 1 + self.others, self.side, self.plate_pixels
        cells = uniform(fold(key, "cells"), self.grid**2).argsort(dim=1, stable=True)[:, :count]
        cell = side / self.grid
        corner = torch.stack([cells % self.grid, cells // self.grid], -1) * cell
        corners = (corner + uniform(fold(key, "jitter"), count, 2) * (cell - n)).long()
        tone = 165 + 85 * uniform(fold(key, "tone"), count)  # of the plates, of 255
        ink = 0.7 + 0.3 * uniform(fold(key, "ink"), count)  # how much of the tone it takes
        letters = self.letters[integers(fold(key, "letter"), len(self.letters), self.others)]
        signs = torch.cat([self.digits.images[index][:, None], letters], 1)[:, :, 0]
        plates = tone[..., None, None] * (1 - ink[..., None, None] * (signs / 255.0))
        drawn, blank = plates.round().byte().numpy(), tone.round().byte().numpy()
        margin = (n - DIGIT) // 2
        images = self._backgrounds(key, 0.25, 0.5)
        for image, spots, faces, tones in zip(images, corners.tolist(), drawn, blank, strict=True):
            for (x, y), face, shade in zip(spots, faces, tones, strict=True):
                image[y : y + n, x : x + n] = shade
                x, y = x + margin, y + margin
                image[y : y + DIGIT, x : x + DIGIT] = face
        places = corners[:, 0].float() + margin + DIGIT / 2
        return PlateScene(_tensor(images), self.digits.labels[index], places, corners)

    def _proportional(self, index: Tensor, key: Tensor) -> PlateScene:
        import cv2

        small = SceneMaker(self.digits, "cluttered", SMALL, clutter=8)(index, key)[:, 0].numpy()
        images, size = self._backgrounds(key, 0.1, 0.3), (self.side, self.side)
        for image, layer in zip(images, small, strict=True):
            if self.side != SMALL:
                layer = cv2.resize(layer, size, interpolation=cv2.INTER_LINEAR)
            np.maximum(image, layer, out=image)
        corner = (uniform(fold(key, "corner"), 2) * (SMALL - DIGIT + 1)).long()  # (y, x), as there
        places = (corner.flip(1) + DIGIT / 2) * (self.side / SMALL)
        none = corner.new_zeros(len(key), 0, 2)
        return PlateScene(_tensor(images), self.digits.labels[index], places, none)

    def _backgrounds(self, key: Tensor, low: float, high: float) -> np.ndarray:
        """`(N, side, side)` uint8: black, or pieces of photographs, darkened to a share of them."""
        import cv2

        images = np.zeros((len(key), self.side, self.side), np.uint8)
        if self.background == "black":
            return images
        which = integers(fold(key, "photo"), len(self.photos), 1)[:, 0].tolist()
        draws = uniform(fold(key, "piece"), 6).tolist()
        for image, number, (zoom, across, down, gain, flip, turn) in zip(
            images, which, draws, strict=True
        ):
            photo = self.photos[number]
            n = int(min(photo.shape) * (0.4 + 0.6 * zoom))
            x, y = int(across * (photo.shape[1] - n + 1)), int(down * (photo.shape[0] - n + 1))
            piece = photo[y : y + n, x : x + n]
            piece = piece[:, ::-1] if flip < 0.5 else piece
            piece = np.ascontiguousarray(piece.T if turn < 0.5 else piece)
            way = cv2.INTER_AREA if n > self.side else cv2.INTER_LINEAR
            piece = cv2.convertScaleAbs(piece, alpha=low + (high - low) * gain)
            cv2.resize(piece, (self.side, self.side), dst=image, interpolation=way)
        return images


def part_rows(part: str, count: int, total: int, start: int = 0) -> tuple[Tensor, Tensor]:
    """Digits and keys of the fixed scenes of a part: `(count,)` each, from scene `start` on.

    Scene i is the same whatever is asked for beside it, and is of no other part.

    Args:
        part: "validation" or "test", or another name.
        count: How many.
        total: Digits that there are.
        start: Number of the first.
    """
    number = torch.arange(start, start + count)
    return number % total, fold(fold(make_key(0), f"plates {part}"), number)


@cache
def plate_photos(part: str) -> tuple[np.ndarray, ...]:
    """Grey photographs of a part from `$SACCADE_DATA/photos`, or drawn ones where there are none.

    Of every seven files, by name, the sixth is for validation and the seventh for the test. Drawn
    ones are noise at all sizes from 2 pixels on, each twice as strong as the one half its size.

    Args:
        part: "train", "validation" or "test".
    """
    import cv2

    files = photo_files()
    mine = {"train": range(5), "validation": [5], "test": [6]}[part]
    photos = []
    for number, file in enumerate(files):
        if number % 7 in mine:
            picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            if picture is None:
                raise ValueError(f"{file} is not a picture that OpenCV reads")
            if (scale := PHOTO / min(picture.shape)) < 1:
                picture = cv2.resize(
                    picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
                )
            photos.append(picture)
    for key in row_keys(fold(make_key(0), f"drawn {part}"), 0 if files else DRAWN[part]):
        picture = np.zeros((512, 512), np.float32)
        for octave in range(2, 9):
            noise = uniform(fold(key, octave)[None], 2**octave, 2**octave)[0].numpy() - 0.5
            picture += cv2.resize(noise, (512, 512), interpolation=cv2.INTER_CUBIC) / 2**octave
        picture = (picture - picture.min()) / (picture.max() - picture.min()) * 255
        photos.append(picture.astype(np.uint8))
    return tuple(photos)


def photo_files() -> list[Path]:
    """The photographs in `$SACCADE_DATA/photos`, by name; none where there is no such folder."""
    root = os.environ.get("SACCADE_DATA")
    return sorted((Path(root).expanduser() / "photos").glob("*.jpg")) if root else []


def plate_letters(part: str, count: int = 2000) -> Tensor:
    """`(about count, 1, 28, 28)` letters of a part, of all alphabets."""
    seed, each = 100 + PARTS.index(part), count // len(ALPHABETS)
    return torch.cat([draw_letters(name, each, seed=seed) for name in ALPHABETS])


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images)[:, None]
