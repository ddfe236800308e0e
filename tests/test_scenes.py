from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from saccade.counter import fold, make_key, row_keys, uniform
from saccade.data import load
from saccade.digits import draw_digits
from saccade.imageset import ImageSet
from saccade.scenes import (
    SceneMaker,
    default_side,
    missing_sharpness,
    random_warp,
    warp_grid,
)


def blocks(count=6, channels=1, height=10, width=8):
    """Image i is all of value 20 (i + 1)."""
    value = (torch.arange(count) + 1) * 20
    images = value.view(-1, 1, 1, 1).expand(count, channels, height, width).to(torch.uint8)
    return ImageSet(images.contiguous(), torch.zeros(count, dtype=torch.int64), ("a", "b"))


INDEX, KEYS = torch.arange(6), row_keys(make_key(5), 6)
KEYS_1000 = row_keys(make_key(0), 1000)


def test_centered_is_the_image_itself():
    pool = blocks()
    maker = SceneMaker(pool)
    assert torch.equal(maker(INDEX, KEYS), pool.images)
    assert maker.shape == (1, 10, 8)


def test_translated_holds_the_whole_image_once_anywhere():
    maker = SceneMaker(blocks(channels=3), "translated", 20)
    corners = set()
    for seed in range(60):
        scenes = maker(INDEX, row_keys(make_key(seed), 6))
        assert scenes.shape == (6, 3, 20, 20)
        for i, scene in enumerate(scenes):
            rows, columns = scene[0].nonzero(as_tuple=True)
            assert int((scene == 20 * (i + 1)).sum()) == 3 * 80 == int((scene > 0).sum())
            assert (int(rows.max() - rows.min()), int(columns.max() - columns.min())) == (9, 7)
            corners.add((int(rows.min()), int(columns.min())))
    tops, lefts = ({place[axis] for place in corners} for axis in (0, 1))
    assert tops == set(range(11))
    assert lefts == set(range(13))


def test_cluttered_adds_pieces_of_other_images_and_hides_nothing():
    maker = SceneMaker(blocks(), "cluttered", 40, clutter=5, clutter_size=3)
    scenes = maker(INDEX, KEYS)
    for i, scene in enumerate(scenes):
        own = 20 * (i + 1)
        values = set(scene.unique().tolist()) - {0, own}
        assert values, "there is clutter"
        assert values <= {20 * (j + 1) for j in range(6) if j != i}
        brighter = int((scene > own).sum())
        assert int((scene == own).sum()) >= 80 - brighter
        assert int(((scene > 0) & (scene != own)).sum()) <= 5 * 9


def energy(images):
    """Of the steps between neighboring pixels."""
    pixels = images.float()
    return float(pixels.diff(dim=2).square().mean() + pixels.diff(dim=3).square().mean())


def as_sharp(images, bend):
    """Energy after warping over that before; other images and keys than those measured by."""
    sharpen = missing_sharpness(images[:1000], bend)
    shown = images[1000:2000]
    return sharpen, energy(random_warp(shown, KEYS_1000, bend, sharpen)) / energy(shown)


@pytest.mark.parametrize("bend", [0.0, 0.1])
def test_digits_are_as_sharp_after_warping_as_before(bend):
    """Else no scene to learn from would be as sharp as those to be read."""
    digits = draw_digits(2000, 1).images
    hard = ((digits.float() - 128) * 1.4 + 128).clamp(0, 255).byte()  # less grey, as in MNIST
    much, ratio = as_sharp(hard, bend)
    assert 0.3 < much < 0.9
    assert 0.95 < ratio < 1.03
    assert missing_sharpness(255 * (digits > 127).byte(), bend) == 1, "not to be had"
    assert as_sharp(digits, bend)[0] < 0.2, "these are soft, and cubics keep them so"
    assert 0.95 < as_sharp(digits, bend)[1] < 1.06
    pool = ImageSet(hard, torch.zeros(2000, dtype=torch.int64), ("a", "b"))
    for layout in ("centered", "cluttered"):
        made = [SceneMaker(pool, layout, 60, 20, 12, augment=augment, bend=bend)
                for augment in (True, False)]  # fmt: skip
        assert [maker.sharpen[0] for maker in made] == [missing_sharpness(hard, bend), 0]
        warped, plain = (energy(maker(torch.arange(1000), KEYS_1000)) for maker in made)
        assert 0.95 < warped / plain < 1.05


@pytest.mark.parametrize("bend", [0.0, 0.1])
def test_real_digits_are_as_sharp_after_warping_as_before(data_dir, bend):
    much, ratio = as_sharp(load(str(data_dir / "mnist")).train.images, bend)
    assert 0.5 < much < 0.8
    assert 0.97 < ratio < 1.03


@pytest.mark.parametrize("layout", ["centered", "cluttered"])
def test_at_half_the_strength_all_amounts_are_half(layout):
    digits = draw_digits(60, 0)
    hard = ((digits.images.float() - 128) * 1.4 + 128).clamp(0, 255).byte()
    pool, strength = replace(digits, images=hard), torch.tensor(1.0)
    index, keys = torch.arange(60), row_keys(make_key(2), 60)
    kind = {"layout": layout, "side": 40, "augment": True, "bend": 0.1}
    free, maker = SceneMaker(pool, **kind), SceneMaker(pool, **kind, strength=strength)
    assert torch.equal(maker(index, keys), free(index, keys))
    assert maker.sharpen[1] == missing_sharpness(hard, 0.1, 0.5)
    strength.fill_(0.5)
    if layout == "centered":
        half = random_warp(hard, keys, 0.1, maker.sharpen[1], strength=0.5)
        assert (maker(index, keys).float() - half.float()).abs().max() <= 1, "but for rounding"
    warped, half, still = (
        each(index, keys).float() for each in (free, maker, replace(free, augment=False))
    )
    far = (still - warped).abs().mean()
    assert 0.45 * far < (half - warped).abs().mean() < 0.9 * far, "between warped and not"


def test_half_a_warp_by_hand():
    """What is drawn as an angle of a is one of a / 2, and so on."""
    keys, along = row_keys(make_key(3), 500), torch.arange(28)
    size, places = (28, 28), (along, along)
    still, half, whole = (warp_grid(keys, size, places, 0.1, each) for each in (0, 0.5, 1))
    middle = (2 * along + 1) / 28 - 1
    assert torch.equal(still[0, 0, :, 0], middle)
    assert torch.equal(still[-1, :, 0, 1], middle)
    # Angle, scale, shear and shift are small: what they move is nearly linear in them.
    assert ((whole - still) - 2 * (half - still)).abs().max() < 0.1 * (whole - still).abs().max()
    assert ((whole - still) - 2 * (half - still)).abs().mean() < 0.02


def test_images_without_steps_are_not_sharpened():
    assert missing_sharpness(torch.full((3, 1, 1, 1), 9, dtype=torch.uint8)) == 0
    assert missing_sharpness(torch.zeros(0, 3, 4, 5, dtype=torch.uint8)) == 0
    assert missing_sharpness(torch.full((3, 3, 9, 5), 9, dtype=torch.uint8), 0.1) == 0


def test_what_hides_is_augmented_like_what_is_hidden():
    """Else clutter is told by its sharp pixels, in training alone."""
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.randint(0, 2, (40, 1, 16, 16), generator=generator).byte()
    images[0] = 0  # the digit: what is seen is clutter
    pool = ImageSet(images, torch.zeros(40, dtype=torch.int64), ("a", "b"))
    index, keys = torch.zeros(30, dtype=torch.int64), row_keys(make_key(2), 30)
    sharp, smooth = (
        SceneMaker(pool, "cluttered", 40, 4, 6, augment=augment, bend=0.1 * augment)(index, keys)
        for augment in (False, True)
    )
    assert set(sharp.unique().tolist()) == {0, 255}
    seen = smooth[smooth > 0]
    assert float(((seen > 0) & (seen < 255)).float().mean()) > 0.5
    # At the same places, all of which is within the bounding boxes of the sharp ones.
    boxes = F.max_pool2d(sharp.float(), 11, 1, 5) > 0
    assert bool(boxes[smooth > 0].all())


def test_no_counter_of_a_compiled_loop_is_multiplied_by_large_numbers():
    """As `counter.count_up` says; a large number is one of the random ones."""
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    maker = SceneMaker(blocks(), "cluttered", 24, 3, 4, augment=True, bend=0.1)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(maker, backend=keep, fullgraph=True)(INDEX, KEYS),
                       maker(INDEX, KEYS))  # fmt: skip
    torch._dynamo.reset()
    for node in (node for graph in graphs for node in graph.graph.nodes):
        if "arange" in str(node.target):
            large = [user for user in node.users for each in user.args
                     if isinstance(each, int) and abs(each) > 2**31]  # fmt: skip
            assert not large, node


@pytest.mark.parametrize("bend", [0.0, 0.2])
def test_part_of_a_warped_image_is_cut_from_the_whole(bend):
    images = torch.randint(0, 256, (20, 3, 12, 17), generator=torch.Generator().manual_seed(1))
    keys = row_keys(make_key(3), 20)
    whole = random_warp(images.byte(), keys, bend, 0.6)
    rows = (torch.arange(20) % 7)[:, None] + torch.arange(6)
    columns = (torch.arange(20) % 13)[:, None] + torch.arange(5)
    part = random_warp(images.byte(), keys, bend, 0.6, (rows, columns))
    wanted = torch.stack([whole[i][:, rows[i]][:, :, columns[i]] for i in range(20)])
    assert int((part.int() - wanted.int()).abs().max()) <= 1  # of sums in another order
    assert float((part != wanted).float().mean()) < 0.01


def test_a_scene_depends_on_its_image_and_key_alone():
    pool = blocks()
    for layout in ("centered", "translated", "cluttered"):
        maker = SceneMaker(pool, layout, 24, 3, 4, augment=True, corrupt=0.7)
        whole = maker(INDEX, KEYS)
        assert torch.equal(maker(INDEX[2:4], KEYS[2:4]), whole[2:4])
        other = maker(INDEX, row_keys(make_key(6), 6))
        assert not torch.equal(whole, other)


def test_a_share_of_the_scenes_is_corrupted():
    pool = blocks()
    index, keys = INDEX.repeat(50), row_keys(make_key(9), 300)
    plain = SceneMaker(pool, "cluttered", 24, 3, 4)(index, keys)
    some = SceneMaker(pool, "cluttered", 24, 3, 4, corrupt=0.4)(index, keys)
    changed = (plain != some).flatten(1).any(1).float().mean()
    assert 0.25 < float(changed) < 0.55
    every = SceneMaker(pool, "cluttered", 24, 3, 4, corrupt=1.0)(index, keys)
    assert (plain != every).flatten(1).any(1).float().mean() > 0.9


def test_affine_moves_a_little_and_keeps_the_middle():
    y, x = torch.meshgrid(torch.arange(29.0), torch.arange(29.0), indexing="ij")
    mound = 200 * torch.exp(-((y - 14).square() + (x - 14).square()) / 18)  # cubics keep its mass
    images = mound.to(torch.uint8).expand(200, 1, 29, 29)
    moved = random_warp(images, row_keys(make_key(0), 200))
    assert moved.dtype == torch.uint8
    assert (moved[:, 0, 14, 14] > 150).all()
    mass = moved.float().sum((1, 2, 3)) / images[0].sum()
    assert 0.7 < mass.min() < 0.95
    assert 1.05 < mass.max() < 1.45
    assert len({tuple(each.flatten().tolist()) for each in moved}) == 200


def test_bending_moves_each_place_a_little_and_neighbors_alike():
    keys = row_keys(make_key(2), 50)
    ramp = (torch.arange(29) * 8).to(torch.uint8).expand(50, 1, 29, 29).contiguous()
    moved, bent = random_warp(ramp, keys).float(), random_warp(ramp, keys, 0.1).float()
    inside = (slice(None), 0, slice(8, 21), slice(8, 21))  # where nothing comes from outside
    shift = (bent - moved)[inside] / 8  # pixels to the side: 8 grey values a pixel
    assert shift.abs().max() <= 0.1 * 14.5 * 1.5  # cubics overshoot their nodes
    assert 0.3 < shift.std() < 0.1 * 14.5
    assert shift.diff(dim=1).abs().max() < 0.7  # no folds
    one = random_warp(ramp[7:8], keys[7:8], 0.1)
    assert torch.equal(one.float(), bent[7:8])


@pytest.mark.parametrize(("height", "width"), [(28, 28), (12, 20)])
def test_warping_is_that_of_torchs_affine_grid(height, width):
    images = torch.randint(0, 256, (30, 3, height, width), dtype=torch.uint8)
    key = row_keys(make_key(5), 30)
    spread = uniform(fold(key, "affine"), 6) * 2 - 1
    angle, shear = spread[:, 0] * 0.25, spread[:, 1] * 0.2
    zoom = torch.diag_embed(1 + spread[:, 2:4] * 0.15)
    tilt = torch.eye(2).repeat(30, 1, 1)
    tilt[:, 0, 1] = shear
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    # In units of half a side, as affine_grid counts: what is turned is square in pixels.
    half = torch.tensor([width / 2, height / 2])
    linear = (zoom @ turn @ tilt) * half / half[:, None]
    matrix = torch.cat([linear, spread[:, 4:6, None] * 0.07], 2)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    wanted = F.grid_sample(images.float(), grid, mode="bicubic", align_corners=False)
    wanted = wanted.round().clamp(0, 255)
    near = (random_warp(images, key).float() - wanted).abs()
    assert near.max() <= 1
    assert (near > 0).float().mean() < 1e-3


def test_affine_rotates_a_non_square_image_without_squeezing_it():
    # A disc stays a disc under rotation; scale and shear change its extent by a few pixels only.
    y, x = torch.meshgrid(torch.arange(20), torch.arange(60), indexing="ij")
    disc = (((y - 9.5) ** 2 + (x - 29.5) ** 2) < 36).to(torch.uint8) * 255
    moved = random_warp(disc.expand(100, 1, 20, 60).contiguous(), row_keys(make_key(1), 100))
    columns = (moved[:, 0] > 127).any(1).sum(1)
    rows = (moved[:, 0] > 127).any(2).sum(1)
    assert rows.min() >= 9
    assert rows.max() <= 16
    assert columns.min() >= 9
    assert columns.max() <= 16


@pytest.mark.parametrize(
    ("layout", "side", "piece", "message"),
    [("translated", 9, 8, "do not fit"), ("cluttered", 20, 9, "cannot be cut")],
)
def test_sizes_that_cannot_be_are_refused(layout, side, piece, message):
    with pytest.raises(ValueError, match=message):
        SceneMaker(blocks(), layout, side, clutter_size=piece)


def test_default_side_is_the_papers_for_its_images():
    assert default_side("translated", 28, 28) == 60
    assert default_side("centered", 28, 20) == 28
