"""Frames into files: GIF and MP4.

A GIF is written by Pillow, an MP4 by OpenCV. OpenCV 5 writes GIF too, but at its best (fast
Floyd-Steinberg dithering) 354 frames of an animation of ours took 7 times the bytes, 28 times
the time and 7 times the mean error of color.

Convention:
    Frames are `(height, width, 3)` uint8 RGB, all of one size: an array, a list, or what
    `saccade.animate.animate` returns, of which only one is in memory at a time.
"""

from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, Protocol

import numpy as np

CODECS = ("vp09", "avc1", "mp4v")  # browsers play the first two; not every OpenCV has them all
MOST = 3000  # frames in a GIF: Pillow keeps those that differ, a byte a pixel


class Frames(Sized, Iterable[np.ndarray], Protocol):
    """Frames that can be counted, and gone through more than once."""


def write_gif(path: str | Path, frames: Frames, fps: float = 12.5) -> None:
    """Writes frames as a GIF that plays for ever: beside the path first, then renamed.

    One palette of 256 colors is made for all frames, so that nothing flickers. Frames that stay
    the same are stored once, with their time added up.

    Args:
        path: The file to write.
        frames: 1 to 3000 frames. They are gone through twice, so no generator will do.
        fps: Frames a second, up to 50. The format counts in hundredths of a second.

    Raises:
        ValueError: If these are no frames, they are too many, or the speed is out of range.
    """
    from PIL import Image

    if not 0 < fps <= 50:
        raise ValueError(f"a GIF plays at up to 50 frames a second, got {fps}; choose about 12")
    if not isinstance(frames, Sized):
        raise ValueError("frames of a GIF are gone through twice; give an array or a list of them")
    count = len(frames)
    if count > MOST:
        raise ValueError(f"a GIF holds at most {MOST} frames here, got {count}; write an MP4")
    some = set(np.linspace(0, count - 1, min(count, 24)).astype(int).tolist())
    picked = [frame[::2, ::2] for t, frame in enumerate(_checked(frames)) if t in some]
    sheet = Image.fromarray(np.ascontiguousarray(np.concatenate(picked)))
    palette = sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    images = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    )
    beside = Path(f"{path}.part")
    options: dict[str, Any] = {"duration": max(round(100 / fps), 2) * 10, "loop": 0}  # ms
    next(images).save(beside, "GIF", save_all=True, append_images=images, **options)
    beside.replace(path)


def write_mp4(path: str | Path, frames: Iterable[np.ndarray], fps: float = 12.5) -> None:
    """Writes frames as an MP4: beside the path first, then renamed.

    Frames of an odd height or width get a white row or column more; codecs need even ones.

    Args:
        path: The file to write.
        frames: 1 or more, gone through once.
        fps: Frames a second, over 0, at most 120.

    Raises:
        ValueError: If these are no frames, the speed is out of range, or this OpenCV has none of
            the codecs vp09, avc1 and mp4v.
    """
    if not 0 < fps <= 120:
        raise ValueError(f"an MP4 plays at up to 120 frames a second, got {fps}; choose about 12")
    beside, writer = Path(f"{path}.part.mp4"), None  # OpenCV goes by the ending
    canvas: np.ndarray = np.empty(0)
    try:
        for frame in _checked(frames):
            height, width = frame.shape[:2]
            if writer is None:
                canvas = np.full((height + height % 2, width + width % 2, 3), 255, np.uint8)
                writer = _open_mp4(beside, fps, canvas.shape[1], canvas.shape[0])
            canvas[:height, :width] = frame[..., ::-1]
            writer.write(canvas)
        if writer is not None:
            writer.release()
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _open_mp4(path: Path, fps: float, width: int, height: int) -> Any:
    """An OpenCV writer with the first codec that it has.

    Raises:
        ValueError: If it has none, or cannot write there.
    """
    import cv2

    path.touch()  # a folder that is not there is not the codecs' fault
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)  # one codec that is missing is no error yet
    try:
        for name in CODECS:
            code = cv2.VideoWriter.fourcc(*name)
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (width, height))
            if writer.isOpened():
                return writer
    finally:
        log.setLogLevel(level)
    raise ValueError(
        f"this OpenCV ({cv2.__version__}) writes no MP4: it has none of the codecs "
        f"{', '.join(CODECS)}; install the opencv-python of PyPI, or write a GIF"
    )


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames, each found to be one.

    Raises:
        ValueError: If one is none, they differ in size, or there are none.
    """
    first: tuple[int, ...] | None = None
    for frame in frames:
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
            raise ValueError(
                f"frames are (height, width, 3) uint8, got {frame.shape} {frame.dtype}"
            )
        if first not in (None, frame.shape):
            raise ValueError(f"frames are of one size, got {first} and {frame.shape}")
        first = frame.shape
        yield frame
    if first is None:
        raise ValueError("frames are wanting: there is nothing to play")
