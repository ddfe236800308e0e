"""The differentiable retina: exact integrals, gradients, and agreement with the hard retina."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from saccade.geometry import to_locations
from saccade.kernels.smooth import integrate
from saccade.retina import Retina

SIDES = st.integers(1, 9)
RETINAS = [Retina(4, 3), Retina(3, 2), Retina(2, 2, 3), Retina(5, 1), Retina(1, 4), Retina(3, 2, 3)]


def centered(x: float, y: float, image: Tensor) -> Tensor:
    """The location, in float64, of a point given in pixels."""
    height, width = image.shape[-2:]
    return torch.tensor([[2 * x / width - 1, 2 * y / height - 1]], dtype=torch.float64)


def slow_integral(image: np.ndarray, center: tuple[float, float], retina: Retina) -> np.ndarray:
    """Every pixel's overlap with every cell, one after another; `center` in pixels."""
    channels, height, width = image.shape
    out = np.zeros((retina.scales, channels, retina.size, retina.size))
    for s in range(retina.scales):
        side = retina.factor**s
        left, top = (c - retina.size * side / 2 for c in center)
        for row in range(retina.size):
            for column in range(retina.size):
                x0, y0 = left + column * side, top + row * side
                for y in range(max(0, math.floor(y0)), min(height, math.ceil(y0 + side))):
                    for x in range(max(0, math.floor(x0)), min(width, math.ceil(x0 + side))):
                        wide = min(x0 + side, x + 1) - max(x0, x)
                        high = min(y0 + side, y + 1) - max(y0, y)
                        out[s, :, row, column] += image[:, y, x] * wide * high
        out[s] /= side**2
    return out


def test_a_window_a_quarter_pixel_off():
    image = torch.tensor([[[[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]]], dtype=torch.float64)
    # One cell of one pixel around (1.75, 1): it covers x 1.25..2.25 and y 0.5..1.5.
    cell = integrate(image, centered(1.75, 1.0, image), None, Retina(1, 1)).item()
    assert cell == pytest.approx(0.5 * (0.75 * 20 + 0.25 * 30) + 0.5 * (0.75 * 50 + 0.25 * 60))
    # Half over the left border: half of it is outside and counts as zero.
    cell = integrate(image, centered(0.0, 0.5, image), None, Retina(1, 1)).item()
    assert cell == pytest.approx(5.0)


def test_the_gradient_to_the_location_is_the_step_at_the_edges():
    image = torch.tensor([[[[10.0, 20.0, 70.0]]]], dtype=torch.float64)
    location = centered(1.75, 0.5, image).requires_grad_()
    integrate(image, location, None, Retina(1, 1)).backward()
    # A pixel to the right brings in 70 and leaves 20; a location's unit is 1.5 of 3 pixels.
    assert location.grad is not None
    assert location.grad[0, 0].item() == pytest.approx((70 - 20) * 1.5)


@given(
    height=SIDES,
    width=SIDES,
    x=st.floats(-4, 13),
    y=st.floats(-4, 13),
    retina=st.sampled_from(RETINAS),
    seed=st.integers(0, 99),
)
def test_cells_are_exact_integrals(height, width, x, y, retina, seed):
    image = torch.rand((1, 2, height, width), generator=torch.Generator().manual_seed(seed))
    location = centered(x, y, image)
    at = ((location[0] + 1) / 2 * torch.tensor([width, height])).tolist()
    seen = integrate(image.double(), location, None, retina)[0]
    assert np.abs(seen.numpy() - slow_integral(image[0].double().numpy(), at, retina)).max() < 1e-12


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("retina", RETINAS)
def test_it_agrees_with_the_hard_retina_where_windows_start_on_whole_pixels(kind, retina):
    pixels = torch.randint(0, 256, (2, 3, 8, 16), dtype=torch.uint8)  # locations are exact here
    images = pixels if kind == torch.uint8 else pixels / 255 - 0.4
    vertices = torch.cartesian_prod(torch.arange(-3, 20), torch.arange(-3, 12)).double()
    index = torch.arange(len(vertices)) % 2
    agreed = set()
    for offset in (0.0, 0.5):
        locations = to_locations(vertices + offset, 8, 16)
        smooth = integrate(images, locations, index, retina)
        hard = retina.look(images, locations, index)
        for scale, side in enumerate(retina.sides):
            if (offset - side / 2) % 1 == 0:
                error = (smooth[:, scale] - hard[:, scale]).abs().max()
                assert error == 0 if kind == torch.uint8 else error < 1e-6
                agreed.add(scale)
    assert agreed == set(range(retina.scales))


@pytest.mark.parametrize("retina", [Retina(2, 3), Retina(3, 2), Retina(2, 2, 3)])
def test_gradients_are_those_of_finite_differences(retina):
    generator = torch.Generator().manual_seed(1)
    images = torch.rand((2, 2, 5, 6), generator=generator, dtype=torch.float64)
    locations = torch.tensor([[0.13, -0.37], [-0.71, 0.29], [0.97, 0.83]], dtype=torch.float64)
    index = torch.tensor([1, 0, 1])
    inputs = (images.requires_grad_(), locations.requires_grad_())

    def look(images: Tensor, locations: Tensor) -> Tensor:
        return integrate(images, locations, index, retina)

    assert torch.autograd.gradcheck(look, inputs)
    assert torch.autograd.gradgradcheck(look, inputs)


def test_following_the_gradient_finds_the_blob():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    images = torch.exp(-((x - 26) ** 2 + (y - 11) ** 2) / 200)[None, None]
    location = torch.zeros((1, 2), requires_grad=True)
    for _ in range(60):
        brightness = integrate(images, location, None, Retina(4, 2)).mean()
        (gradient,) = torch.autograd.grad(brightness, location)
        location = (location + gradient / 5).detach().requires_grad_()
    found = (location + 1) * 20  # within the pixel: there a window's mean is level
    assert (found - torch.tensor([[26.5, 11.5]])).abs().max() < 0.51


def test_bytes_give_intensities_and_pass_gradients_to_locations_alone():
    images = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)
    location = torch.tensor([[0.1, 0.2]], requires_grad=True)
    seen = integrate(images, location, None, Retina(2, 2))
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, torch.ones(1, 2, 1, 2, 2), atol=1e-7, rtol=0)
    seen.sum().backward()
    torch.testing.assert_close(location.grad, torch.zeros(1, 2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("place", [math.nan, math.inf, -math.inf, 1e30])
def test_a_place_that_is_none_gives_a_zero_glimpse_and_no_gradient(place):
    images = torch.rand(1, 1, 6, 6, requires_grad=True)
    location = torch.tensor([[place, 0.0]], requires_grad=True)
    seen = integrate(images, location, None, Retina(2, 2))
    assert torch.equal(seen, torch.zeros_like(seen))
    seen.sum().backward()
    assert torch.equal(images.grad, torch.zeros_like(images))
    assert torch.equal(location.grad, torch.zeros(1, 2))


def test_dtypes_and_empty_batches():
    location = torch.zeros(1, 2)
    for kind, wanted in ((torch.float64, torch.float64), (torch.bfloat16, torch.float32)):
        images = torch.ones(1, 1, 4, 4, dtype=kind)
        assert integrate(images, location, None, Retina(2, 1)).dtype == wanted
    none = integrate(torch.ones(0, 3, 4, 4), torch.zeros(0, 2), None, Retina(2, 2))
    assert none.shape == (0, 2, 3, 2, 2)


def test_large_images_stay_exact():
    images = torch.full((1, 1, 2048, 2048), 255, dtype=torch.uint8)
    images[..., ::2] = 254
    location = torch.tensor([[0.999, 0.999]])
    seen = integrate(images, location, None, Retina(8, 3))
    at = (location[0, 0].item() + 1) / 2 * 2048 - 1984  # in the last 64 pixels
    corner = images[0, :, -64:, -64:].numpy() / 255
    assert np.abs(seen[0].numpy() - slow_integral(corner, (at, at), Retina(8, 3))).max() < 1e-7
