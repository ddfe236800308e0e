"""Digits drawn on the fly: unlimited, no download, the same from the same seed.

Each digit has some ways of writing it, as pen strokes through a few points. An image takes
one of them, bends it a little, makes it wider or narrower, slants it (up to italics), turns
it, draws it with a pen of random width at four times the size, scales that down by area and
blurs it. The look is MNIST's: bright on black, about 20 of 28 pixels high, centered.

The strokes are written here because OpenCV's own faces differ between its versions: from 5 on
every `FONT_HERSHEY_*` is drawn with one and the same outline font.
"""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from saccade.imageset import ImageSet

CLASSES = tuple("0123456789")

# Ways of writing each digit: strokes (between "/") through points x,y in a box 6 wide and 10
# high, y down. Two points make a line, more a smooth curve through them, closed where it ends
# in its first point. At a corner one stroke ends and the next begins.
FACES: dict[str, tuple[str, ...]] = {
    "0": (
        "3,0 5.2,1.5 6,5 5.2,8.5 3,10 .8,8.5 0,5 .8,1.5 3,0",
        "3.9,.4 1.6,1.2 0,5.4 1,9 3.1,10 5.4,8 5.8,3.6 4.4,.7 2.5,.3",
    ),
    "1": (
        "3,0 3,10",
        ".8,2.6 3,0 / 3,0 3,10",
        "1,2.2 3,0 / 3,0 3,10 / .8,10 5.2,10",
    ),
    "2": (
        ".3,2.4 1.2,.6 3.2,0 5.2,1 5.4,3.1 3.8,5.8 0,10 / 0,10 6,10",
        ".4,2.2 2,.2 4.6,.5 5.3,2.8 3.8,6.2 1.6,9.2 .2,9.6 .5,8.1 2,8.1 3.8,9.5 6,9.4",
    ),
    "3": (
        ".4,1.4 2.6,0 5,.8 5.2,3 3.8,4.5 2,4.8 / 2,4.8 4.5,5.3 5.8,7 5.2,9.2 2.8,10 .2,8.8",
        ".4,0 5.4,0 / 5.4,0 2.4,4 / 2.4,4 4.9,4.7 5.8,7 4.8,9.4 2.4,10 .2,9",
    ),
    "4": (
        "1.4,0 0,6 / 0,6 6,6 / 4.4,1.2 4.4,10",
        "4.2,0 0,6.8 / 0,6.8 6,6.8 / 4.2,0 4.2,10",
        ".6,0 .3,3.8 1.6,5.4 5,5 / 5.3,0 4.6,10",
    ),
    "5": (
        "5.4,0 1,0 / 1,0 .6,4.5 / .6,4.5 3,3.8 5.4,5 5.6,7.6 4,9.8 1.6,10 0,8.8",
        "6,.2 1.8,0 / 1.8,0 1,3.9 / 1,3.9 3.9,4.9 5.2,7 4,9.3 1.8,10 0,9.4",
    ),
    "6": (
        "4.9,.2 2.4,1.6 .6,4.4 .1,7.4 1.4,9.7 3.8,10 5.6,8.2 5.2,5.8 3.2,4.8 1.1,5.7 .2,7.4",
        "3,0 1.2,3.4 .3,6.8 1,9.3 3,10 4.9,8.7 4.8,6.5 3,5.6 1.1,6.4 .3,7.8",
    ),
    "7": (
        "-1,0 6.2,0 / 6.2,0 2,10",
        "-1,0 6.2,0 / 6.2,0 2,10 / 1.6,5 5.6,5",
        "-1,.3 2.8,.5 6.2,0 / 6.2,0 3.4,4.6 2.4,10",
    ),
    "8": (
        "3,4.7 5,3.4 5.1,1.3 3,0 .9,1.3 1,3.4 3,4.7 5.3,6.3 5.5,8.6 3,10 .5,8.6 .7,6.3 3,4.7",
        "3,0 4.9,.8 5,3.4 3,4.6 1,3.4 1.1,.8 3,0 / 3,4.6 5.4,5.8 5.4,8.8 3,10 .6,8.8 .6,5.8 3,4.6",
    ),
    "9": (
        "5.4,2.4 4.4,.4 2.2,0 .3,1.7 .6,4.1 2.7,5 4.8,3.9 5.4,2.4 / 5.4,2.4 5,10",
        "1.1,9.8 3.6,8.4 5.4,5.6 5.9,2.6 4.6,.3 2.2,0 .4,1.8 .8,4.2 2.8,5.2 4.9,4.3 5.8,2.6",
    ),
}
OVERSAMPLING = 4
CHUNK = 4096  # images whose pen paths are held at once
DRAWS = 12  # random numbers for each image


def draw_digits(count: int, seed: int, *, side: int = 28) -> ImageSet:
    """Draws handwriting-like digits.

    Image i depends on `seed`, i and `side` alone: a shorter draw is a prefix of a longer one.
    Labels are random and balanced: each ten images 10k..10k+9 hold every digit once.

    Args:
        count: How many images.
        seed: Of the random numbers, 0 or more; another seed gives other images.
        side: Height and width of the images in pixels, 8 or more.

    Returns:
        `count` grey images, classes "0" to "9".

    Raises:
        ValueError: If a number is out of range.
    """
    import cv2

    if count < 0:
        raise ValueError(f"the number of digits to draw is 0 or more, got {count}")
    if seed < 0:
        raise ValueError(f"the seed of drawn digits is 0 or more, got {seed}")
    if side < 8:
        raise ValueError(f"digits are drawn on 8 pixels a side or more, got {side}")
    rng = np.random.Generator(np.random.Philox(key=seed))  # its stream is the same at any length
    draws = rng.random((-(-count // 10) * 10, DRAWS))  # whole tens, row by row
    labels = np.argsort(draws[:, 0].reshape(-1, 10), axis=1).reshape(-1)[:count]
    draws = draws[:count, 1:]

    pixel = OVERSAMPLING * side / 28  # one of MNIST's pixels on the canvas
    pens = np.rint(pixel * (1.5 + 1.9 * draws[:, 0])).astype(int)
    blurs = 0.35 + 0.5 * draws[:, 1]  # sigma in pixels of the image
    canvas = np.zeros((OVERSAMPLING * side, OVERSAMPLING * side), np.uint8)
    images = np.zeros((count, side, side), np.uint8)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        for i, strokes in enumerate(_pen_paths(labels[part], draws[part], pens[part], side), start):
            canvas[:] = 0
            cv2.polylines(canvas, strokes, False, 255, int(pens[i]), cv2.LINE_8, shift=4)
            small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
            cv2.GaussianBlur(small, (3, 3), blurs[i], dst=images[i])
    return ImageSet(torch.from_numpy(images)[:, None], torch.from_numpy(labels), CLASSES)


def _pen_paths(
    labels: NDArray[np.int64], draws: NDArray[np.float64], pens: NDArray[np.int64], side: int
) -> list[list[NDArray[np.int32]]]:
    """Where the pen goes for each image.

    Args:
        labels: `(n,)` digits.
        draws: `(n, DRAWS - 1)` uniform in [0, 1); the first two are not used here.
        pens: `(n,)` pen widths in pixels of the canvas.
        side: Of the image in pixels.

    Returns:
        For each image its strokes, `(P, 2)` int32 as (x, y) in sixteenths of a canvas pixel.
    """
    canvas = OVERSAMPLING * side
    signed = 2 * draws - 1
    turn = 0.26 * signed[:, 3]  # radians, +-15 degrees
    slant = 0.12 + 0.28 * signed[:, 4]  # to the right, as most hands write
    width = 1 + 0.2 * signed[:, 5]
    bend = signed[:, 6:8] * (0.05, 0.04)
    tall = canvas * 20 / 28 * (1 + 0.1 * signed[:, 8]) - pens - 1  # the longer side, less the pen
    shift = signed[:, 9:11] * canvas / 28

    cos, sin = np.cos(turn), np.sin(turn)
    linear = np.stack(  # turn @ slant @ width, for (x, y) with y down
        [
            np.stack([cos * width, -cos * slant - sin], -1),
            np.stack([sin * width, -sin * slant + cos], -1),
        ],
        -2,
    )  # (n, 2, 2)
    paths: list[list[NDArray[np.int32]]] = [[]] * len(labels)
    for digit, faces in enumerate(_faces()):
        chosen = (draws[:, 2] * len(faces)).astype(int)
        for face, (points, ends) in enumerate(faces):
            rows = np.flatnonzero((labels == digit) & (chosen == face))
            if not len(rows):
                continue
            waves = np.sin(1.5 * np.pi * points[:, ::-1])  # x bends along y, y along x
            bent = points + bend[rows, None] * waves
            drawn = bent @ linear[rows].swapaxes(1, 2)  # (r, P, 2)
            low, high = drawn.min(1, keepdims=True), drawn.max(1, keepdims=True)
            zoom = tall[rows, None, None] / (high - low).max(-1, keepdims=True)
            placed = (drawn - (low + high) / 2) * zoom + canvas / 2 + shift[rows, None]
            fixed = np.rint((placed - 0.5) * 16).astype(np.int32)  # pixel centers are whole
            for row, path in zip(rows, fixed, strict=True):
                paths[row] = np.split(path, ends)
    return paths


@cache
def _faces() -> list[list[tuple[NDArray[np.float64], list[int]]]]:
    """FACES as points: for each digit its faces, each `(P, 2)` and where a stroke begins.

    Points are (x, y) with the digit's height as unit, (0, 0) at the middle of its box.
    """
    faces = []
    for ways in FACES.values():
        of_digit = []
        for way in ways:
            strokes = [
                _smooth(np.array([point.split(",") for point in stroke.split()], dtype=float))
                for stroke in way.split("/")
            ]
            ends = np.cumsum([len(stroke) for stroke in strokes])[:-1]
            of_digit.append(((np.concatenate(strokes) - (3, 5)) / 10, list(map(int, ends))))
        faces.append(of_digit)
    return faces


def _smooth(points: NDArray[np.float64], steps: int = 6) -> NDArray[np.float64]:
    """A Catmull-Rom curve through `(P, 2)` points; two points give a straight line."""
    closed = np.array_equal(points[0], points[-1])
    before = points[-2] if closed else points[0]
    after = points[1] if closed else points[-1]
    padded = np.vstack([before, points, after])
    tangents = (padded[2:] - padded[:-2]) / 2
    t = np.arange(steps)[:, None] / steps
    spans = [
        (2 * t**3 - 3 * t**2 + 1) * points[k]
        + (t**3 - 2 * t**2 + t) * tangents[k]
        + (3 * t**2 - 2 * t**3) * points[k + 1]
        + (t**3 - t**2) * tangents[k + 1]
        for k in range(len(points) - 1)
    ]
    return np.vstack([*spans, points[-1:]])
