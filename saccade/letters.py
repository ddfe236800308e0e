"""Letters of other alphabets than a reader of digits knows: strange, but drawn by the same pen.

Straight strokes, as `saccade.digits` has them: through points x,y in a box 6 wide and 10 high, y
down, strokes between "/".
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.counter import fold, integers, make_key, row_keys
from saccade.scenes import warp_grid

ALPHABETS: dict[str, dict[str, str]] = {
    "latin": {
        "A": "0,10 3,0 6,10 / 1.2,6.3 4.8,6.3",
        "E": "5.6,0 .4,0 .4,10 5.6,10 / .4,4.8 4.4,4.8",
        "F": "5.6,0 .4,0 .4,10 / .4,4.8 4.4,4.8",
        "H": ".3,0 .3,10 / 5.7,0 5.7,10 / .3,5 5.7,5",
        "K": ".4,0 .4,10 / 5.6,0 .4,5.6 / 1.9,4.4 5.8,10",
        "M": "0,10 .4,0 3,6 5.6,0 6,10",
        "N": ".4,10 .4,0 5.6,10 5.6,0",
        "T": "0,0 6,0 / 3,0 3,10",
        "V": "0,0 3,10 6,0",
        "W": "0,0 1.5,10 3,3 4.5,10 6,0",
        "X": ".2,0 5.8,10 / 5.8,0 .2,10",
        "Y": "0,0 3,5 6,0 / 3,5 3,10",
    },
    "greek": {
        "Gamma": "5.6,0 .6,0 .6,10",
        "Delta": "3,0 0,10 6,10 3,0",
        "Lambda": "0,10 3,0 6,10",
        "Xi": ".2,0 5.8,0 / 1,5 5,5 / .2,10 5.8,10",
        "Pi": ".4,10 .4,0 5.6,0 5.6,10",
        "Sigma": "5.6,0 .4,0 3.4,5 .4,10 5.6,10",
        "Psi": "0,0 .6,5 3,6 5.4,5 6,0 / 3,0 3,10",
    },
}
PENS = (2.0, 2.5, 3.0, 3.5)  # widths in 28ths of the side


def draw_letters(
    alphabet: str, count: int, *, side: int = 28, channels: int = 1, seed: int = 0
) -> Tensor:
    """Draws letters as MNIST shows digits: bright on black, 20 of 28 pixels high, each its own way.

    Args:
        alphabet: A name in `ALPHABETS`.
        count: How many, drawn evenly at random.
        side: Height and width of the images in pixels.
        channels: All alike.
        seed: Of the random numbers.

    Returns:
        `(count, channels, side, side)` uint8.
    """
    import cv2

    pixel = 4 * side / 28
    drawn = []
    for strokes in ALPHABETS[alphabet].values():
        for pen in PENS:
            canvas = np.zeros((4 * side, 4 * side), np.uint8)
            for stroke in strokes.split("/"):
                points = np.array([point.split(",") for point in stroke.split()], dtype=float)
                places = (points - (3, 5)) * 1.75 * pixel + 2 * side
                fixed = np.rint((places - 0.5) * 16).astype(np.int32)
                cv2.polylines(
                    canvas, [fixed], False, 255, max(1, round(pen * pixel)), cv2.LINE_8, shift=4
                )
            drawn.append(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA))
    key = row_keys(fold(make_key(seed), alphabet), count)
    which = integers(key, len(drawn), 1)[:, 0]
    letters = torch.from_numpy(np.stack(drawn))[which][:, None]
    # Bilinear, and not `random_warp`: published figures are of these very pictures.
    along = torch.arange(side)
    grid = warp_grid(key, (side, side), (along, along))
    moved = F.grid_sample(letters.float(), grid, align_corners=False).round().to(torch.uint8)
    return moved.expand(-1, channels, -1, -1).contiguous()
