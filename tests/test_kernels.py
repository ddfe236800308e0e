"""Every kernel against the slow reference and against each other."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.kernels import KERNELS, direct
from saccade.kernels.scratch import scratch
from saccade.retina import Retina
from tests.reference import slow_glimpse

CPU_KERNELS = [name for name in KERNELS if name != "fused"]


def serving(images, retina):
    """Scenes of all kernels that serve here; at least one does."""
    names = [name for name in CPU_KERNELS if KERNELS[name].refusal(images, retina) is None]
    assert "table" in names
    return {name: retina.prepare(images, kernel=name) for name in names}


@st.composite
def looks(draw):
    count, channels = draw(st.integers(1, 3)), draw(st.sampled_from([1, 3]))
    shape = (count, channels, draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    coordinate = st.one_of(
        st.floats(-1.5, 1.5, width=32),
        st.sampled_from([-1.0, 1.0, 0.0, -3.0, 3.0, 1e30, -1e30]),
        st.integers(-2, 40).map(lambda i: (2 * i + 1) / shape[3] - 1),
    )
    total = draw(st.integers(1, 4))
    places = [(draw(coordinate), draw(coordinate)) for _ in range(total)]
    index = [draw(st.integers(0, count - 1)) for _ in range(total)]
    factor, size = draw(st.sampled_from([2, 2, 2, 3])), draw(st.sampled_from([1, 2, 3, 4, 5, 6, 8]))
    retina = Retina(size, draw(st.integers(1, 5 if factor == 2 and size < 8 else 3)), factor)
    kind = draw(st.sampled_from([torch.float32, torch.float64]))
    return torch.from_numpy(images), torch.tensor(places, dtype=kind), torch.tensor(index), retina


def reference(images, places, index, retina):
    exact = [tuple(float(v) for v in place) for place in places]
    sizes = (retina.size, retina.scales, retina.factor)
    pictures = images.numpy()
    return np.stack(
        [slow_glimpse(pictures[i], at, *sizes) for i, at in zip(index, exact, strict=True)]
    )


@given(looks())
def test_bytes_are_the_reference_rounded_once(look):
    images, places, index, retina = look
    area = retina.factor ** (2 * np.arange(retina.scales))[:, None, None, None]
    sums = np.rint(reference(*look) * area)
    want = (sums / (area * 255)).astype(np.float32)
    for name, scene in serving(images, retina).items():
        got = retina.look(scene, places, index)
        np.testing.assert_array_equal(got.numpy(), want, err_msg=name)


@given(looks())
def test_floats_are_the_reference_to_a_millionth(look):
    images, places, index, retina = look
    images = images.float() / 255
    want = reference(images, places, index, retina)
    for name, scene in serving(images, retina).items():
        got = retina.look(scene, places, index)
        np.testing.assert_allclose(got.numpy(), want, rtol=0, atol=1e-6, err_msg=name)


SIZES = [  # channels, height, width, glimpse, scales, factor
    (1, 28, 28, 8, 1, 2), (1, 28, 28, 5, 1, 2), (1, 60, 60, 12, 3, 2), (3, 100, 130, 12, 4, 2),
    (3, 224, 224, 32, 4, 2), (1, 300, 41, 16, 5, 2), (3, 90, 90, 7, 4, 2), (1, 64, 64, 6, 3, 4),
    (2, 50, 70, 10, 3, 3), (1, 200, 330, 8, 4, 2),
]  # fmt: skip


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_kernels_agree_bit_for_bit_on_bytes_and_closely_on_floats(sizes):
    channels, height, width, size, scales, factor = sizes
    generator = torch.Generator().manual_seed(sum(sizes))
    images = torch.randint(0, 256, (4, channels, height, width), generator=generator).byte()
    places = torch.rand(60, 2, generator=generator) * 2.6 - 1.3
    places[:4] = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [5.0, 0.0]])
    index = torch.randint(0, 4, (60,), generator=generator)
    retina = Retina(size, scales, factor)
    for pictures, far in ((images, 0.0), (images.float() / 255, 1e-6)):
        seen = {n: retina.look(s, places, index) for n, s in serving(pictures, retina).items()}
        for name, glimpses in seen.items():
            assert float((glimpses - seen["table"]).abs().max()) <= far, name
        exact = seen["table"].double()
        assert float(exact.std()) > 0.01  # there is something to see


@pytest.mark.parametrize(
    ("height", "width", "retina"),
    [
        (28, 28, Retina(8, 3)),
        (75, 60, Retina(16, 4)),
        (90, 90, Retina(20, 5)),
        (40, 40, Retina(5, 3)),
    ],
    ids=str,
)
def test_kernels_agree_at_the_center_of_every_pixel(height, width, retina):
    # (2i + 1)/W - 1 in float64 comes back as i + 1/2 but for its last bits.
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (1, 1, height, width), generator=generator).byte()
    ys, xs = (2 * torch.arange(n, dtype=torch.float64) + 1 for n in (height, width))
    places = torch.cartesian_prod(xs / width - 1, ys / height - 1)
    index = torch.zeros(len(places), dtype=torch.int64)
    seen = {n: retina.look(s, places, index) for n, s in serving(images, retina).items()}
    assert all(torch.equal(glimpses, seen["table"]) for glimpses in seen.values())
    if retina.size % 2 == 0:  # concentric: what is sharp adds up to what is coarse
        some = seen["table"][0::37].double()
        for fine, coarse in pairwise(some.unbind(1)):
            g = retina.size
            added = fine.unflatten(-1, (g // 2, 2)).unflatten(-3, (g // 2, 2)).mean((-1, -3))
            middle = coarse[..., g // 4 : g // 4 + g // 2, g // 4 : g // 4 + g // 2]
            torch.testing.assert_close(added, middle, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CPU_KERNELS)
def test_defaults_for_new_tensors_do_not_matter(name):
    retina = Retina(6, 1) if name == "crop" else Retina(6, 3)
    images = torch.arange(2 * 30 * 30).remainder(256).byte().view(2, 1, 30, 30)
    if reason := KERNELS[name].refusal(images, retina):
        pytest.skip(f"{name} {reason}")
    places, which = torch.tensor([[0.1, 0.2], [-0.9, 0.9]]), torch.tensor([1, 0])
    wanted = retina.look(retina.prepare(images, kernel=name), places, which)
    usual = torch.get_default_dtype()
    try:
        for kind in (torch.bfloat16, torch.float64):
            torch.set_default_dtype(kind)
            direct._areas.cache_clear()  # what it keeps is made anew
            direct._inside.cache_clear()
            with torch.device("meta"):
                scene = retina.prepare(images, kernel=name)
                scene.replace(images[:1], which[1:])
                seen = retina.look(scene, places, which)
            assert torch.equal(seen, wanted)
            assert seen.dtype == torch.float32
    finally:
        torch.set_default_dtype(usual)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32], ids=str)
def test_a_large_image_stays_exact(kind):
    side, retina = 4096, Retina(16, 4)
    image = torch.full((1, 1, side, side), 255, dtype=torch.uint8)
    image[0, 0, :, ::2] = 254  # cells of even width have a mean of 254.5
    image = image if kind == torch.uint8 else image.float() / 255
    places = torch.tensor([[0.0, 0.0], [0.9, 0.9], [-0.7, 0.3]])
    index = torch.zeros(3, dtype=torch.int64)
    for name, scene in serving(image, retina).items():
        coarse = retina.look(scene, places, index)[:, 1:].double()
        assert float((coarse - 254.5 / 255).abs().max()) < 1e-7, name


@pytest.mark.parametrize("name", CPU_KERNELS)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32], ids=str)
def test_other_images_take_the_place_of_some_or_all(name, kind):
    retina = Retina(6, 1) if name == "crop" else Retina(6, 3)
    generator = torch.Generator().manual_seed(0)
    old, new = (torch.randint(0, 256, (5, 1, 21, 30), generator=generator).to(kind) for _ in "12")
    if reason := KERNELS[name].refusal(old, retina):
        pytest.skip(f"{name} {reason}")
    places = torch.rand(5, 2, generator=generator) * 2 - 1
    kept, which = (old.clone(), new.clone()), torch.tensor([3, 1])
    scene = retina.prepare(old, kernel=name)
    scene.replace(new[which], which)
    mixed = old.clone()
    mixed[which] = new[which]
    assert torch.equal(retina.look(scene, places), retina.look(mixed, places))
    assert torch.equal(scene.images, mixed)
    scene.replace(new)
    assert torch.equal(retina.look(scene, places), retina.look(new, places))
    scene.replace(old[:1], torch.tensor([4]))
    assert torch.equal(old, kept[0])
    assert torch.equal(new, kept[1]), "what was given is never written into"
    with pytest.raises(ValueError, match="to replace 5 of the images"):
        scene.replace(new[:, :, 1:])


@pytest.mark.parametrize("name", CPU_KERNELS)
def test_nowhere_is_black_and_a_strange_number_is_refused(name):
    retina = Retina(4, 1) if name == "crop" else Retina(4, 2)
    images = torch.full((2, 1, 9, 9), 200, dtype=torch.uint8)
    if reason := KERNELS[name].refusal(images, retina):
        pytest.skip(f"{name} {reason}")
    scene = retina.prepare(images, kernel=name)
    nan = float("nan")
    places = torch.tensor([[nan, 0.0], [0.0, nan], [0.0, 0.0]])
    seen = retina.look(scene, places, torch.tensor([0, 1, 1]))
    assert not seen[:2].any()
    assert seen[2].any()
    for wrong in (2, -1):
        with pytest.raises(IndexError):
            retina.look(scene, places, torch.tensor([0, 1, wrong]))
    none = retina.look(scene, torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    assert none.shape == (0, retina.scales, 1, 4, 4)
    refused = KERNELS[name].refusal(images[:0], retina)
    scene = retina.prepare(images[:0], kernel="torch" if refused else name)
    assert retina.look(scene, torch.zeros(0, 2)).shape == none.shape


@pytest.mark.parametrize("name", CPU_KERNELS)
def test_numbers_of_any_whole_kind_name_images(name):
    retina = Retina(4, 1) if name == "crop" else Retina(4, 2)
    images = torch.randint(0, 256, (200, 1, 9, 9)).byte()
    if reason := KERNELS[name].refusal(images, retina):
        pytest.skip(f"{name} {reason}")
    scene, which = retina.prepare(images, kernel=name), torch.tensor([3, 199, 7])
    wanted = retina.look(scene, torch.zeros(3, 2), which)
    assert torch.equal(wanted, retina.look(images[which], torch.zeros(3, 2)))
    for kind in (torch.uint8, torch.int32):
        assert torch.equal(retina.look(scene, torch.zeros(3, 2), which.to(kind)), wanted)


@pytest.mark.parametrize("name", CPU_KERNELS)
def test_a_refused_replacement_changes_nothing(name):
    retina = Retina(4, 1) if name == "crop" else Retina(4, 2)
    images = torch.zeros(3, 1, 9, 9, dtype=torch.uint8)
    if reason := KERNELS[name].refusal(images, retina):
        pytest.skip(f"{name} {reason}")
    scene, white = retina.prepare(images, kernel=name), torch.full_like(images[:1], 255)
    with pytest.raises(IndexError, match="which goes from 7 to 7, there are 3 images"):
        scene.replace(white, torch.tensor([7]))
    with pytest.raises(ValueError, match=r"which is \(K,\) int64"):
        scene.replace(white, torch.tensor([True, False, False]))
    scene.replace(white, torch.tensor([1]))
    assert retina.look(scene, torch.zeros(3, 2)).mean((1, 2, 3, 4)).gt(0).tolist() == [0, 1, 0]


@pytest.mark.parametrize("chunk", [1, 2**12, 2**13])
def test_how_much_is_done_at_a_time_does_not_matter(chunk, monkeypatch):
    images, places = torch.randint(0, 256, (3, 2, 50, 60)).byte(), torch.rand(11, 2) * 2.6 - 1.3
    index = torch.arange(11) % 3
    for retina in (Retina(8, 3), Retina(5, 3)):
        scene = retina.prepare(images, kernel="direct")
        wanted = retina.look(scene, places, index)
        with monkeypatch.context() as patch:
            patch.setattr(direct, "CHUNK", chunk)
            assert torch.equal(retina.look(scene, places, index), wanted)


@pytest.mark.parametrize("name", CPU_KERNELS)
def test_what_is_prepared_in_inference_mode_serves_outside_of_it(name):
    retina = Retina(6, 1) if name == "crop" else Retina(6, 3)
    images = torch.randint(0, 256, (3, 1, 30, 30)).byte()
    if reason := KERNELS[name].refusal(images, retina):
        pytest.skip(f"{name} {reason}")
    places, which = torch.zeros(3, 2), torch.tensor([2])
    with torch.inference_mode():
        scenes = [retina.prepare(images, kernel=name) for _ in "12"]
        retina.look(scenes[0], places)
        scenes[0].replace(images[:1], which)
    for scene in scenes:
        scene.replace(images[1:2], which)
        seen = retina.look(scene, places)
        assert torch.equal(seen[2], seen[1])
        scene.replace(images)
        assert torch.equal(retina.look(scene, places), retina.look(images, places))


@pytest.mark.parametrize("name", CPU_KERNELS)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32], ids=str)
def test_gray_images_with_their_channel_last_are_images_as_others(name, kind):
    retina = Retina(8, 1) if name == "crop" else Retina(8, 2)
    old, new = (torch.randint(0, 256, (4, 28, 28, 1)).to(kind).permute(0, 3, 1, 2) for _ in "12")
    assert old.is_contiguous()
    assert old.stride(1) == 1  # not the 784 that "contiguous" promises
    if reason := KERNELS[name].refusal(old, retina):
        pytest.skip(f"{name} {reason}")
    places, which = torch.rand(4, 2) * 2 - 1, torch.tensor([2, 0])
    scene, plain = (
        retina.prepare(images, kernel=name) for images in (old, old.reshape(4, 1, 28, 28))
    )
    assert scene.images.stride() == (784, 784, 28, 1)
    assert scene.images.data_ptr() == old.data_ptr(), "nothing is copied"
    assert torch.equal(retina.look(scene, places), retina.look(plain, places))
    scene.replace(new)
    assert scene.images.stride() == (784, 784, 28, 1)
    assert torch.equal(retina.look(scene, places), retina.look(new, places))
    scene.replace(old[which], which)
    mixed = new.clone()
    mixed[which] = old[which]
    assert torch.equal(retina.look(scene, places), retina.look(mixed, places))


def test_scratch_memory_is_one_piece_for_a_name_and_thread(monkeypatch):
    monkeypatch.setattr("saccade.kernels.scratch._OWN.pieces", {})
    with torch.inference_mode():
        first = scratch("a", (3, 5), torch.int16)
    assert (first.shape, first.dtype) == ((3, 5), torch.int16)
    again = scratch("a", (5,), torch.int32).fill_(7)  # outside of inference mode too
    assert again.data_ptr() == first.data_ptr()
    others = [scratch("b", (3, 5), torch.int16), scratch("a", (300,), torch.int16)]
    with ThreadPoolExecutor(1) as pool:
        others.append(pool.submit(scratch, "a", (3, 5), torch.int16).result())
    assert len({each.data_ptr() for each in [first, *others]}) == 4


def test_a_scene_can_be_pickled():
    retina, images = Retina(6, 3), torch.randint(0, 256, (2, 1, 30, 30)).byte()
    scene = retina.prepare(images)
    again = pickle.loads(pickle.dumps(scene))
    assert torch.equal(*(retina.look(each, torch.zeros(2, 2)) for each in (scene, again)))


def test_crop_copies_images_that_begin_anywhere_in_memory():
    flat = torch.arange(2 * 8 * 12 + 3, dtype=torch.uint8)
    locations = torch.tensor([[-1.0, 0.4], [0.7, -0.2]])
    for offset in range(4):
        images = flat[offset : offset + 2 * 8 * 12].view(2, 1, 8, 12)
        for size in (4, 6):
            retina = Retina(size, 1)
            seen = retina.look(retina.prepare(images, kernel="crop"), locations)
            wanted = retina.look(retina.prepare(images.clone(), kernel="table"), locations)
            assert torch.equal(seen, wanted)
