"""The retina on a GPU: the CPU's bits from every kernel, without ever waiting for the device."""

import pytest
import torch

from saccade.kernels.smooth import integrate
from saccade.retina import Retina
from tests.waiting import never_waiting

pytestmark = pytest.mark.gpu


# The fused kernel, with the summed-area table on the CPU as the reference. GLIMPSES go from one
# cell to windows much wider than the image; rows start on a word, or on a half, or anywhere.
GLIMPSES = [
    (Retina(8, 1), (1, 28, 28)),
    (Retina(12, 3), (1, 60, 60)),
    (Retina(12, 4), (3, 100, 100)),
    (Retina(32, 4), (3, 224, 224)),
    (Retina(16, 5), (2, 90, 132)),
    (Retina(7, 4), (3, 61, 38)),
    (Retina(5, 3, 3), (1, 50, 64)),
    (Retina(9, 3, 4), (3, 80, 47)),
    (Retina(2, 7), (1, 33, 12)),
    (Retina(1, 10), (1, 700, 40)),
    (Retina(64, 2), (4, 9, 8)),
    (Retina(1, 1), (1, 1, 1)),
]


def bytes_of_noise(*shape, device="cpu"):
    generator = torch.Generator(device).manual_seed(5)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device, generator=generator)


def places(count, reach=1.3):
    """Locations on the CPU, all over the image and beyond, among them special ones."""
    at = (torch.rand((count, 2), generator=torch.Generator().manual_seed(6)) * 2 - 1) * reach
    special = [[0, 0], [-1, -1], [1, 1], [1, -1], [float("nan"), 0], [0, float("inf")], [-30, 30]]
    at[: len(special)] = torch.tensor(special)[:count]
    return at


def on_both(retina, images, at, index, dtype=torch.float32):
    """The same glimpses by the table on the CPU and by the fused kernel on the GPU."""
    scene = retina.prepare(images.float() if images.element_size() == 2 else images, kernel="table")
    here = retina.look(scene, at, index, dtype=dtype)
    scene = retina.prepare(images.cuda(), kernel="fused")
    there = retina.look(scene, at.cuda(), None if index is None else index.cuda(), dtype=dtype)
    assert there.dtype == dtype
    return here, there.cpu()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("retina", "shape"), GLIMPSES)
def test_fused_bytes_are_bit_for_bit_those_of_the_cpu(retina, shape, dtype):
    images, at = bytes_of_noise(6, *shape), places(48)
    here, there = on_both(retina, images, at, torch.arange(48) % 6, dtype)
    assert torch.equal(here, there)
    here, there = on_both(retina, images, at[:6], None, dtype)
    assert torch.equal(here, there)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("retina", "shape"), GLIMPSES)
def test_fused_floats_are_those_of_the_cpu(retina, shape, dtype):
    images = (bytes_of_noise(6, *shape) / 255).to(dtype)
    here, there = on_both(retina, images, places(48), torch.arange(48) % 6)
    assert (here - there).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["crop", "table", "fused"])
def test_every_kernel_gives_the_bits_of_the_cpu_at_every_byte_and_pixel(name):
    retina = Retina(8, 1) if name == "crop" else Retina(8, 3)
    images = torch.arange(256, dtype=torch.uint8).repeat(2, 1, 3, 1).view(2, 1, 24, 32)
    ys, xs = (2 * torch.arange(n, dtype=torch.float64) + 1 for n in (24, 32))
    places = torch.cartesian_prod(xs / 32 - 1, ys / 24 - 1)
    which = torch.arange(len(places)) % 2
    wanted = retina.look(images, places, which)
    scene = retina.prepare(images.cuda(), kernel=name)
    assert torch.equal(retina.look(scene, places.cuda(), which.cuda()).cpu(), wanted)


def test_fused_is_what_a_gpu_looks_with():
    images = bytes_of_noise(1, 1, 30, 30)
    assert Retina(8, 2).prepare(images.cuda()).kernel == "fused"


def test_fused_windows_round_as_on_the_cpu_at_ties():
    images = bytes_of_noise(1, 1, 96, 60)
    steps = torch.arange(-20, 20 * 4 + 1) / 4
    at = torch.stack([steps * 2 / 60 - 1, steps.flip(0) * 2 / 96 - 1], 1)
    at = torch.cat([at, torch.nextafter(at, at + 1), torch.nextafter(at, at - 1)])
    for retina in (Retina(4, 3), Retina(5, 2)):
        for kind in (torch.float32, torch.float64):
            index = torch.zeros(len(at), dtype=torch.int64)
            here, there = on_both(retina, images, at.to(kind), index)
            assert torch.equal(here, there)


def test_fused_images_that_start_within_a_word():
    images = bytes_of_noise(2, 1, 40, 40)
    inside = torch.empty(images.numel() + 1, dtype=torch.uint8, device="cuda")[1:]
    inside = inside.view(images.shape).copy_(images)
    seen = Retina(8, 3).look(Retina(8, 3).prepare(inside, kernel="fused"), places(2).cuda())
    assert torch.equal(seen.cpu(), Retina(8, 3).look(images, places(2)))


def test_fused_no_image_is_nan():
    scene = Retina(8, 3).prepare(bytes_of_noise(2, 1, 40, 40).cuda(), kernel="fused")
    seen = Retina(8, 3).look(scene, torch.zeros(3, 2).cuda(), torch.tensor([-1, 1, 2]).cuda())
    assert seen[0].isnan().all()
    assert seen[2].isnan().all()
    assert not seen[1].isnan().any()


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_fused_very_large_images(kind):
    retina, images = Retina(64, 4), bytes_of_noise(2, 1, 4096, 4096)
    images = images if kind == torch.uint8 else images / 255
    here, there = on_both(retina, images, places(16), torch.arange(16) % 2)
    assert torch.equal(here, there) if kind == torch.uint8 else (here - there).abs().max() < 1e-6


def test_fused_offsets_into_images_of_over_four_gigabytes():
    count = 30_000
    if torch.cuda.mem_get_info()[0] < 6 * 2**30:
        pytest.skip("needs 6 GiB of free GPU memory")
    retina, images = Retina(32, 4), bytes_of_noise(count, 3, 224, 224, device="cuda")
    assert images.numel() > 2**32
    index = torch.tensor([0, 14_266, 14_267, 28_532, 28_533, count - 1], device="cuda")
    at = places(20)[14:].cuda()
    few = retina.look(retina.prepare(images[index], kernel="fused"), at)
    assert torch.equal(retina.look(retina.prepare(images, kernel="fused"), at, index), few)


def test_fused_offsets_into_glimpses_of_over_four_gigabytes():
    count, retina = 180_000, Retina(32, 4)
    if torch.cuda.mem_get_info()[0] < 6 * 2**30:
        pytest.skip("needs 6 GiB of free GPU memory")
    scene = retina.prepare(bytes_of_noise(5, 3, 64, 64, device="cuda"), kernel="fused")
    at = places(count, 0.9).cuda()
    index = torch.arange(count, device="cuda") % 5
    seen = retina.look(scene, at, index, dtype=torch.bfloat16)
    assert seen.numel() > 2**31
    for some in (slice(8), slice(count // 2, count // 2 + 8), slice(count - 8, count)):
        few = retina.look(scene, at[some], index[some], dtype=torch.bfloat16)
        assert torch.equal(seen[some], few)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fused_looks_are_recorded_in_a_graph(dtype):
    retina = Retina(12, 3)
    scene = retina.prepare(bytes_of_noise(7, 1, 60, 60).cuda(), kernel="fused")
    at, other = places(14).cuda(), places(14, 0.5).flip(0).cuda()
    index = torch.arange(14, device="cuda") % 7
    first, second = (retina.look(scene, where, index, dtype=dtype) for where in (at, other))
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        seen = retina.look(scene, at, index, dtype=dtype)
    graph.replay()
    assert torch.equal(seen, first)
    at.copy_(other)
    graph.replay()
    assert torch.equal(seen, second)


@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_fused_looks_compile_whole():
    retina = Retina(12, 3)
    images, at = bytes_of_noise(14, 1, 60, 60).cuda(), places(14).cuda()
    scene = retina.prepare(images)

    def step(images, at):
        one, other = retina.look(scene, at), retina.look(images, at / 2)
        return one.mean((1, 2, 3, 4)) + other.sum((1, 2, 3, 4))

    seen = torch.compile(step, fullgraph=True)(images, at)
    torch.testing.assert_close(seen, step(images, at))


def test_fused_looks_never_wait_for_the_device():
    retina = Retina(12, 3)
    scene = retina.prepare(bytes_of_noise(7, 1, 60, 60).cuda(), kernel="fused")
    at, index = places(14).cuda(), torch.arange(14, device="cuda") % 7
    retina.look(scene, at, index)
    retina.look(scene, at[:7])
    with never_waiting():
        retina.look(scene, at, index)
        retina.look(scene, at[:7])
        scene.replace(scene.images.flip(0))
        retina.look(scene, at, index)


def test_smooth_windows_are_those_of_the_cpu():
    generator = torch.Generator().manual_seed(7)
    images = torch.rand((3, 2, 20, 30), generator=generator, dtype=torch.float64)
    at, index = places(9)[7:].double().repeat(3, 1), torch.arange(6) % 3
    results = []
    for device in ("cpu", "cuda"):
        shown = images.to(device, copy=True).requires_grad_()
        where = at.to(device, copy=True).requires_grad_()
        seen = integrate(shown, where, index.to(device), Retina(4, 3))
        seen.square().sum().backward()
        results.append([seen.detach().cpu(), shown.grad.cpu(), where.grad.cpu()])
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(here, there, atol=1e-10, rtol=0)
