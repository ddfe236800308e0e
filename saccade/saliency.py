"""Saliency without learning, to compare a gaze with: spectral residual, and its peaks."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def spectral_residual(image: NDArray[np.uint8], *, height: int, width: int) -> Floats:
    """What an image's spectrum has beyond its own local average (Hou & Zhang 2007).

    As in the paper the image is made 64 pixels wide, the logarithm of its amplitude spectrum
    loses its 3 x 3 mean, and the squared result is blurred, here by a Gaussian of 2.5 pixels.

    Args:
        image: `(H, W)` grey or `(H, W, 3)` RGB, uint8.
        height: Height of the map in pixels.
        width: Width of the map in pixels.

    Returns:
        `(height, width)`, not negative.

    Raises:
        ValueError: If the image is neither grey nor RGB.
    """
    import cv2

    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ValueError(f"an image is (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}")
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = (64, max(1, round(64 * image.shape[0] / image.shape[1])))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    spectrum = np.fft.fft2(small)
    logs = np.log(np.abs(spectrum) + 1e-9)
    residual = np.exp(logs - cv2.blur(logs, (3, 3)) + 1j * np.angle(spectrum))
    blurred = cv2.GaussianBlur(np.abs(np.fft.ifft2(residual)) ** 2, (0, 0), 2.5)
    return np.asarray(cv2.resize(blurred, (width, height)), np.float64)


def look_at_peaks(saliency: Floats, count: int, radius: float) -> Floats:
    """A gaze over a map's highest places, each inhibited once it was looked at.

    Winner takes all with inhibition of return (Itti, Koch & Niebur 1998): around each fixation
    the map is lowered by 1 minus a Gaussian.

    Args:
        saliency: `(N, H, W)`, not negative.
        count: T, fixations.
        radius: Standard deviation of that Gaussian in pixels of the map.

    Returns:
        `(N, T, 2)` locations (x, y) in [-1, 1], centers of pixels; of equal places the first.

    Raises:
        ValueError: If a map is negative somewhere, or a number is out of range.
    """
    if saliency.ndim != 3 or not saliency.min(initial=0) >= 0:
        raise ValueError(f"maps are (N, H, W) and not negative, got {saliency.shape}")
    if count < 1 or not radius > 0:
        raise ValueError(f"count is 1 or more and radius over 0, got {count} and {radius}")
    left, (height, width) = saliency.copy(), saliency.shape[1:]
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    found = np.empty((len(saliency), count, 2))
    for t in range(count):
        place = left.reshape(len(left), -1).argmax(1)
        x, y = place % width + 0.5, place // width + 0.5
        found[:, t] = np.stack([x / width, y / height], -1) * 2 - 1
        away = (xs - x[:, None])[:, None] ** 2 + (ys - y[:, None])[:, :, None] ** 2  # (N, H, W)
        left *= 1 - np.exp(-0.5 * away / radius**2)
    return found
