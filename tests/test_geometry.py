import pytest
import torch

from saccade.geometry import to_locations, to_pixels, window_sides, window_starts


def test_edges_and_pixel_centers_of_a_non_square_image():
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]])
    pixels = to_pixels(corners, height=4, width=10)
    assert pixels.tolist() == [[0, 0], [10, 4], [5, 2]]
    # Pixel i of W has its center at (2i + 1)/W - 1.
    assert to_locations(torch.tensor([[3.5, 0.5]]), 4, 10)[0].tolist() == pytest.approx(
        [7 / 10 - 1, 1 / 4 - 1]
    )


def test_pixels_and_locations_are_inverse():
    places = torch.rand(50, 2) * 2 - 1
    back = to_locations(to_pixels(places, 7, 30), 7, 30)
    torch.testing.assert_close(back, places)


def test_even_windows_are_concentric_around_a_vertex():
    starts = window_starts(torch.zeros(1, 2), 8, 3, 2, 28, 28)
    assert starts[0].tolist() == [[10, 10], [6, 6], [-2, -2]]


def test_odd_windows_start_on_a_pixel():
    # c = 14: 14 - 2.5 + 0.5 = 12; the next scale, of side 10, starts at floor(9.5) = 9.
    assert window_starts(torch.zeros(1, 2), 5, 2, 2, 28, 28)[0].tolist() == [[12, 12], [9, 9]]


def test_half_a_pixel_is_rounded_up():
    # c = 14.5 for x, 13.5 for y, on 32 pixels (exact in float32): floor(c - 3.5).
    location = torch.tensor([[14.5 / 16 - 1, 13.5 / 16 - 1]])
    assert window_starts(location, 8, 1, 2, 32, 32)[0].tolist() == [[11, 10]]


def test_far_outside_is_pulled_to_a_place_that_still_misses():
    starts = window_starts(
        torch.tensor([[1e9, -1e9], [float("inf"), float("nan")]]), 8, 1, 2, 28, 40
    )
    assert starts[:, 0].tolist() == [[40, -8], [40, 28]]


def test_sides_grow_by_the_factor():
    assert window_sides(6, 4, 3) == [6, 18, 54, 162]
