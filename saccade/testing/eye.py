"""What a foveating wrapper should show, slowly, in NumPy that shares nothing with the retina.

Convention: a gaze is (x, y) in [-1, 1], -1 and +1 the image's edges, x right, y down. A window
of n pixels on a side of W starts at floor((x + 1) / 2 * W - n / 2 + 1 / 2); outside is zero.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def see(
    image: NDArray[Any], gaze: NDArray[Any], shape: tuple[int, ...], arguments: Mapping[str, Any]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Sees an image from a gaze.

    Args:
        image: `(H, W)`, `(H, W, C)` or `(C, H, W)`, uint8 or float.
        gaze: `(2,)`.
        shape: Of the fovea: `(g, g, C)`, `(C, g, g)` or `(scales, C, g, g)`; for the view
            "mask" `(H, W, C)`, `(C, H, W)` or `(1, C, H, W)`.
        arguments: `view` ("crop"), `layout` (C is the smallest axis), `factor` (2) and, for the
            mask, `size` (36) and `memory` (1), where they are not what stands in parentheses.

    Returns:
        The fovea, of `shape`; and where in it the answer is certain: with a memory the mask may
        show earlier looks outside the window.
    """
    layout = arguments.get("layout") or _layout(image.shape)
    planes = image.astype(np.float64)
    planes = {"HW": planes[None], "CHW": planes}.get(layout, np.moveaxis(planes, -1, 0))
    if arguments.get("view") == "mask":
        inside = _window(np.ones_like(planes), gaze, arguments.get("size", 36), paste=True)
        seen, known = planes * inside, inside.astype(np.bool_)
        if arguments.get("memory", 1) == 1:
            known = np.ones_like(known)
    else:
        side, factor = shape[-1] if layout == "CHW" or len(shape) == 4 else shape[0], 1
        scales = shape[0] if len(shape) == 4 else 1
        windows = []
        for _ in range(scales):
            window = _window(planes, gaze, side * factor)
            cells = window.reshape(len(planes), side, factor, side, factor)
            windows.append(cells.mean((2, 4)))
            factor *= arguments.get("factor", 2)
        seen = np.stack(windows)
        if image.dtype == np.uint8 and len(shape) == 4:
            seen = seen / 255
        known = np.ones_like(seen, np.bool_)
    if len(shape) < 4:  # one window, in the image's layout
        seen, known = seen.reshape(seen.shape[-3:]), known.reshape(known.shape[-3:])
        if layout != "CHW":
            seen, known = np.moveaxis(seen, 0, -1), np.moveaxis(known, 0, -1)
    return seen.reshape(shape), known.reshape(shape)


def _layout(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "HW"
    return "HWC" if shape[-1] < min(shape[:2]) else "CHW"


def _window(
    planes: NDArray[np.float64], gaze: NDArray[Any], side: int, paste: bool = False
) -> NDArray[np.float64]:
    """`(C, side, side)` around the gaze; with `paste` at its place in zeros `(C, H, W)`."""
    channels, height, width = planes.shape
    left = math.floor((float(gaze[0]) + 1) / 2 * width - side / 2 + 0.5)
    top = math.floor((float(gaze[1]) + 1) / 2 * height - side / 2 + 0.5)
    x, y = (max(left, 0), min(left + side, width)), (max(top, 0), min(top + side, height))
    out = np.zeros(planes.shape if paste else (channels, side, side))
    if x[0] < x[1] and y[0] < y[1]:
        seen = planes[:, slice(*y), slice(*x)]
        if paste:
            left = top = 0
        out[:, y[0] - top : y[1] - top, x[0] - left : x[1] - left] = seen
    return out
