"""Corruptions: what all kinds keep, and each against its formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.corruptions import KINDS, MNIST_C, corrupt, corrupt_mixed
from saccade.counter import make_key, row_keys
from saccade.digits import draw_digits

DIGITS = draw_digits(12, 0).images


def keys(count, seed=0):
    return row_keys(make_key(seed), count)


def flat(value, count=1, side=28):
    return torch.full((count, 1, side, side), value)


@pytest.mark.parametrize("kind", KINDS)
def test_what_every_kind_keeps(kind):
    before, key = DIGITS.clone(), keys(12)
    worse = [corrupt(DIGITS, kind, severity, key) for severity in range(1, 6)]
    assert torch.equal(DIGITS, before)
    for each in worse:
        assert each.shape == DIGITS.shape
        assert each.dtype == torch.uint8
    away = [(each.float() - DIGITS.float()).abs().mean().item() for each in worse]
    assert 0.1 < away[0] < away[-1]
    assert torch.equal(worse[2], corrupt(DIGITS, kind, 3, key))
    levels = torch.tensor([1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 1, 2])
    mixed = corrupt(DIGITS, kind, levels, key)
    for row, level in enumerate(levels.tolist()):
        single = corrupt(DIGITS[row : row + 1], kind, level, key[row : row + 1])[0]
        assert (mixed[row].int() - single.int()).abs().max() <= 1  # a batch is its singles
        assert (mixed[row].int() - worse[level - 1][row].int()).abs().max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_any_shape_and_type(kind):
    key = keys(3, 5)
    colors = (torch.rand(3, 3, 20, 33, generator=torch.Generator().manual_seed(0)) * 255).byte()
    for severity in (1, 5):
        worse = corrupt(colors, kind, severity, key)
        assert worse.shape == colors.shape
        floats = corrupt(colors / 255, kind, severity, key)
        assert floats.dtype == torch.float32
        assert floats.min() >= 0
        assert floats.max() <= 1
        assert (floats * 255 - worse).abs().max() < 0.51
        for empty in (torch.zeros(3, 1, 9, 9), torch.ones(3, 1, 1, 5)):
            assert corrupt(empty, kind, severity, key).isfinite().all()


def test_mnist_c_has_its_fifteen_kinds():
    assert len(MNIST_C) == 15
    assert set(MNIST_C) <= set(KINDS)


def test_what_is_refused():
    with pytest.raises(ValueError, match="no corruption"):
        corrupt(DIGITS, "rust", 1, keys(12))
    with pytest.raises(ValueError, match="severity is 1 to 5"):
        corrupt(DIGITS, "fog", 0, keys(12))
    with pytest.raises(ValueError, match="keys"):
        corrupt(DIGITS, "fog", 1, keys(11))


def test_noise_has_its_moments():
    grey = flat(0.5, 8, 64)
    for severity, sigma in enumerate((0.08, 0.12), 1):
        noisy = corrupt(grey, "gaussian_noise", severity, keys(8))
        assert noisy.mean().item() == pytest.approx(0.5, abs=0.003)
        assert noisy.std().item() == pytest.approx(sigma, rel=0.03)
    for severity, c in enumerate((60, 25, 12), 1):  # beyond, what is over 1 is cut off
        level = round(0.4 * 255) / 255
        shot = corrupt(flat(level, 8, 64), "shot_noise", severity, keys(8))
        assert shot.mean().item() == pytest.approx(level, rel=0.02)
        assert shot.std().item() == pytest.approx(math.sqrt(level / c), rel=0.04)
        assert (shot * c - (shot * c).round()).abs().max() < 1e-4  # whole photons
    assert corrupt(flat(0.0), "shot_noise", 5, keys(1)).max() == 0
    salted = corrupt(grey, "impulse_noise", 5, keys(8))
    for value in (0, 1):
        assert (salted == value).float().mean().item() == pytest.approx(0.135, abs=0.01)


def test_light_by_hand():
    x = torch.tensor([0.0, 1.0, 0.5, 0.5]).view(1, 1, 2, 2)
    low = corrupt(x, "contrast", 1, keys(1)).flatten()
    assert low.tolist() == pytest.approx([0.3, 0.7, 0.5, 0.5])
    light = corrupt(x, "brightness", 2, keys(1)).flatten()
    assert light.tolist() == pytest.approx([0.2, 1, 0.7, 0.7])
    red = torch.tensor([0.8, 0.4, 0.0]).view(1, 3, 1, 1)
    assert corrupt(red, "brightness", 1, keys(1)).flatten().tolist() == pytest.approx(
        [0.9, 0.45, 0]  # hue and saturation stay
    )


def test_stripe_and_occlusion_by_hand():
    striped = corrupt(flat(0.0), "stripe", 3, keys(1))[0, 0]
    assert striped[:, :7].min() == 1
    assert striped[:, 21:].min() == 1
    assert striped[:, 7:21].max() == 0
    for severity, size in enumerate((4, 7, 10, 13, 15), 1):  # 15 to 55 % of 28, rounded
        hidden = corrupt(flat(1.0, 5), "occlusion", severity, keys(5)) == 0
        assert hidden.sum((1, 2, 3)).tolist() == [size * size] * 5


def test_geometry_by_hand():
    moved = corrupt(DIGITS, "translate", 3, keys(12))
    shifts = set()
    for row in range(12):
        fits = [
            (dx, dy)
            for dx in (-3, 3)
            for dy in (-3, 3)
            if torch.equal(moved[row], shifted(DIGITS[row], dx, dy))
        ]
        assert len(fits) == 1
        shifts.update(fits)
    assert len(shifts) == 4  # all directions come up
    half = corrupt(flat(1.0), "scale", 5, keys(1))
    assert half.sum().item() == pytest.approx(14 * 14, rel=0.03)
    assert half[0, 0, 8:20, 8:20].min() > 0.99
    back = corrupt(corrupt(DIGITS / 255, "rotate", 1, keys(12)), "rotate", 1, keys(12))
    twice = corrupt(DIGITS / 255, "rotate", 2, keys(12))
    assert signs("rotate") == signs("rotate")
    assert len(set(signs("rotate"))) == 2
    assert signs("rotate") != signs("shear")
    assert min((back - twice).abs().mean(), (back - DIGITS / 255).abs().mean()) < 0.03


def shifted(image, dx, dy):
    out = torch.zeros_like(image)
    height, width = image.shape[-2:]
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                out[:, y, x] = image[:, y + dy, x + dx]
    return out


def signs(kind):
    """To which side each row is turned: where a bar's upper end goes."""
    bar = torch.zeros(12, 1, 29, 29)
    bar[..., 14] = 1
    top = corrupt(bar, kind, 3, keys(12))[:, 0, 4]
    return (top.argmax(1) > 14).tolist()


def test_blurs_spread_a_point_by_their_formula():
    point = torch.zeros(1, 1, 61, 61)
    point[..., 30, 30] = 1
    disk = corrupt(point, "defocus_blur", 1, keys(1))[0, 0]
    place = torch.arange(61) - 30
    inside = place[:, None] ** 2 + place**2 <= 9
    assert torch.allclose(disk, inside / inside.sum(), atol=1e-5)
    line = corrupt(point, "motion_blur", 1, keys(1))[0, 0]
    weights = torch.exp(-0.5 * (torch.arange(21) / 3) ** 2)
    wanted = (weights / weights.sum()).sort(descending=True).values
    found = line.flatten().sort(descending=True).values
    assert torch.allclose(found[:8], wanted[:8], atol=1e-5)
    assert line[:, 32:].abs().max() < 1e-6  # it is drawn out to one side
    for severity in range(1, 6):
        for kind in ("defocus_blur", "motion_blur", "glass_blur"):
            assert corrupt(point, kind, severity, keys(1)).sum().item() == pytest.approx(1, 0.4)
            assert corrupt(flat(0.7), kind, severity, keys(1)).sub(0.7).abs().max() < 1e-4
    zoomed = corrupt(point, "zoom_blur", 5, keys(1))[0, 0]
    assert zoomed.argmax() == 30 * 61 + 30  # the center stays
    off = torch.roll(point, 20, 3)
    assert corrupt(off, "zoom_blur", 5, keys(1))[0, 0, 30].nonzero().max() >= 55  # moves outwards


def test_gaussian_blur_is_scipys_away_from_the_border():
    ndimage = pytest.importorskip("scipy.ndimage")
    from saccade.corruptions.blur import gaussian_blur

    x = DIGITS[:2].float()
    x = torch.nn.functional.pad(x, (12,) * 4)
    ours = gaussian_blur(x, torch.full((2, 1, 1, 1), 1.5))
    theirs = ndimage.gaussian_filter(x.numpy(), (0, 0, 1.5, 1.5), truncate=4)
    assert abs(ours.numpy() - theirs).max() < 1e-3


def test_lines_are_where_they_should_be():
    dots = corrupt(flat(0.0, 6), "dotted_line", 1, keys(6))[:, 0]
    lit = dots.amax(1)  # by column
    on = (torch.arange(28) // 2) % 2 == 1
    assert (lit[:, on] > 0.5).all()
    assert (lit[:, ~on] == 0).all()
    wave = corrupt(flat(0.0, 6), "zigzag", 1, keys(6))[:, 0]
    assert (wave[:, :, 3:23].amax(1) > 0.4).all()
    assert (wave[:, :, :1] == 0).all()
    assert (wave[:, :, 27:] == 0).all()


def test_canny_draws_the_rim_of_a_square():
    square = torch.zeros(1, 1, 28, 28)
    square[..., 9:19, 9:19] = 1
    edges = corrupt(square, "canny_edges", 5, keys(1))[0, 0]
    assert set(edges.unique().tolist()) <= {0, 1}
    assert edges[12:16, 11:17].sum() == 0  # nothing inside
    assert edges[:7].sum() == 0  # nor outside
    assert 1 <= edges[14, 7:11].sum() <= 2  # a line one or two pixels thick on the left
    half = corrupt(square, "canny_edges", 2, keys(1))[0, 0]
    assert torch.allclose(half, 0.6 * square[0, 0] + 0.4 * edges)


def test_weak_edges_are_followed_from_strong_ones_alone():
    ramp = torch.zeros(1, 1, 28, 60)
    ramp[..., 14:, :] = torch.linspace(0.02, 0.09, 60)  # an edge that grows
    edges = corrupt(ramp, "canny_edges", 5, keys(1))[0, 0]
    strong = corrupt(ramp * 0.5, "canny_edges", 5, keys(1))[0, 0]
    assert edges[:, 40:58].amax(0).min() == 1
    assert edges[:, :15].sum() == 0
    assert strong.sum() == 0  # all of it is weak now, so none is followed


def test_fog_and_mud_leave_their_traces():
    foggy = corrupt(DIGITS / 255, "fog", 3, keys(12))
    assert (foggy.amax((1, 2, 3)) <= (DIGITS / 255).amax((1, 2, 3)) + 1e-6).all()
    assert (foggy.mean((1, 2, 3)) > (DIGITS / 255).mean((1, 2, 3)) + 0.1).all()
    assert not torch.equal(foggy[0] - DIGITS[0] / 255, foggy[1] - DIGITS[1] / 255)
    mud = corrupt(flat(1.0, 12), "spatter", 5, keys(12))
    assert mud.min().item() == pytest.approx(63 / 255, abs=0.06)
    assert (mud == 1).float().mean() > 0.3


@given(st.integers(0, 1000), st.floats(0, 1))
def test_mixed_rows_do_not_know_of_each_other(seed, share):
    key = keys(6, seed)
    whole = corrupt_mixed(DIGITS[:6], key, share=share)
    part = corrupt_mixed(DIGITS[2:4], key[2:4], share=share)
    assert (whole[2:4].int() - part.int()).abs().max() <= 1


def test_mixed_draws_what_it_is_told_to():
    many, key = DIGITS[:1].expand(400, -1, -1, -1), keys(400)
    assert torch.equal(corrupt_mixed(many, key, share=0), many)
    only = corrupt_mixed(many, key, kinds=("contrast",), severities=(2,))
    assert torch.equal(only, corrupt(many, "contrast", 2, key))
    some = corrupt_mixed(many, key, kinds=("contrast", "brightness"), severities=(1, 5), share=0.5)
    same = (some == many).flatten(1).all(1)
    assert 0.4 < same.float().mean() < 0.6
    assert len(torch.unique(some.flatten(1), dim=0)) == 5  # as they were, and two kinds by two
