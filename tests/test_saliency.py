"""Saliency without learning."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from saccade.saliency import look_at_peaks, spectral_residual


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_breaks_a_natural_spectrum_is_salient(seed):
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(128))
    frequency[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((96, 128))) / frequency).real
    image = ((noise - noise.min()) / np.ptp(noise) * 200).astype(np.uint8)
    image[60:72, 88:100] = rng.integers(0, 2, (12, 12)) * 255  # a twelfth of a side
    saliency = spectral_residual(image, height=48, width=64)
    assert saliency.shape == (48, 64)
    assert saliency.min() >= 0
    line, column = np.unravel_index(saliency.argmax(), saliency.shape)
    assert 30 <= line < 36
    assert 44 <= column < 50
    assert saliency.max() > 5 * np.median(saliency)
    in_color = np.repeat(image[..., None], 3, 2)
    assert_allclose(spectral_residual(in_color, height=48, width=64), saliency)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (7, 9, 3)])
def test_images_of_any_shape(shape):
    saliency = spectral_residual(np.zeros(shape, np.uint8), height=5, width=6)
    assert saliency.shape == (5, 6)
    assert np.isfinite(saliency).all()


def test_refuses_what_is_no_image():
    for bad in (np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(ValueError, match="an image is"):
            spectral_residual(bad, height=4, width=4)


def test_peaks_by_hand():
    saliency = np.zeros((2, 4, 5))
    saliency[0, 1, 4], saliency[0, 3, 0], saliency[0, 1, 3] = 9, 5, 8
    saliency[1, 0, 0] = 1
    # Radius 1 leaves 8 * (1 - e^-0.5) = 3.1 of the neighbor, so the 5 comes second.
    found = look_at_peaks(saliency, 3, 1.0)
    assert_allclose(found[0], [[0.8, -0.25], [-0.8, 0.75], [0.4, -0.25]])
    assert_allclose(found[1, 0], [-0.8, -0.75])
    assert saliency[0, 1, 4] == 9  # the map is left as it was


def test_refuses_what_has_no_peaks():
    with pytest.raises(ValueError, match="not negative"):
        look_at_peaks(-np.ones((1, 2, 2)), 1, 1)
    with pytest.raises(ValueError, match="maps are"):
        look_at_peaks(np.ones((2, 2)), 1, 1)
    for count, radius in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="count is 1 or more"):
            look_at_peaks(np.ones((1, 2, 2)), count, radius)
