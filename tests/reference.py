"""A slow retina in float64 that shares no code with the library: the meaning of a glimpse."""

import math

import numpy as np


def slow_glimpse(
    image: np.ndarray, location: tuple[float, float], size: int, scales: int, factor: int
) -> np.ndarray:
    """`(C, H, W)` and (x, y) to `(scales, C, size, size)` float64, in the image's own units."""
    channels, height, width = image.shape
    out = np.zeros((scales, channels, size, size))
    center_x, center_y = (location[0] + 1) / 2 * width, (location[1] + 1) / 2 * height
    for s in range(scales):
        cell = factor**s
        n = size * cell  # floor(c - n/2 + 1/2), rounded where nothing is lost yet
        left = math.floor(center_x + 0.5 - n % 2 / 2) - n // 2
        top = math.floor(center_y + 0.5 - n % 2 / 2) - n // 2
        for row in range(size):
            for column in range(size):
                total = np.zeros(channels)
                for y in range(top + row * cell, top + (row + 1) * cell):
                    for x in range(left + column * cell, left + (column + 1) * cell):
                        if 0 <= y < height and 0 <= x < width:
                            total += image[:, y, x].astype(np.float64)
                out[s, :, row, column] = total / cell**2
    return out
