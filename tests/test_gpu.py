"""What can only be shown on a GPU: the same numbers as on the CPU, without ever waiting for it."""

from dataclasses import replace

import pytest
import torch

from saccade.agents.config import TrainConfig
from saccade.agents.optimize import BrokenGradientError
from saccade.agents.recorded import WARM
from saccade.agents.reinforce import Reinforce
from saccade.counter import integers, make_key, normal, row_keys, uniform
from saccade.data import Splits
from saccade.kernels.smooth import integrate
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from tests.test_core import noise
from tests.waiting import never_waiting

pytestmark = pytest.mark.gpu
EASES = {"slip": 0.1, "refine": 0.5, "updates": 10, "maps": 4}  # from the sixth update on
CONFIG = TrainConfig(
    scene="cluttered", side=24, clutter_size=4, size=4, scales=2, glimpses=4, batch=16,
    augment=True, reward="dense", early=0.3, rollouts=2, baseline="leave-one-out", warmup=1,
)  # fmt: skip


def learner(device, **changes):
    pool = noise().to(device)
    return Reinforce(
        replace(CONFIG, **changes), Splits(pool, pool, pool, "x"), torch.device(device)
    )


def test_random_numbers_are_those_of_the_cpu():
    here, there = (row_keys(make_key(3, device), 1000) for device in ("cpu", "cuda"))
    assert torch.equal(uniform(here, 5), uniform(there, 5).cpu())
    assert torch.equal(integers(here, 10**6, 5), integers(there, 10**6, 5).cpu())
    torch.testing.assert_close(normal(here, 5), normal(there, 5).cpu(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", ["centered", "translated", "cluttered"])
def test_scenes_and_glimpses_are_those_of_the_cpu(layout):
    index, places = torch.arange(12), torch.rand(12, 2) * 3 - 1.5
    seen = []
    for device in ("cpu", "cuda"):
        maker = SceneMaker(noise().to(device), layout, 24, 3, 4)
        scenes = maker(index.to(device), row_keys(make_key(1, device), 12))
        seen.append([scenes.cpu()])
        for retina in (Retina(5, 1), Retina(6, 4), Retina(4, 2, 3)):
            seen[-1].append(retina.look(scenes, places.to(device)).cpu())
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


@pytest.mark.parametrize("gaze", ["learned", "random", "raster"])
@pytest.mark.parametrize("core", ["rnn", "rnn-norm", "gru", "lstm"])
@pytest.mark.parametrize("first", ["center", "random", "learned"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_update_never_waits_for_the_device(gaze, core, first, precision):
    one = learner("cuda", gaze=gaze, core=core, first=first, precision=precision, **EASES)
    for _ in range(3):
        one.update()
    with never_waiting():
        for _ in range(4):
            one.update()


def test_a_first_update_is_that_of_the_cpu():
    here, there = learner("cpu"), learner("cuda")
    one, other = here.update(), there.update()
    for name in one:
        torch.testing.assert_close(one[name], other[name].cpu(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("core", ["rnn", "rnn-norm", "gru", "lstm"])
@pytest.mark.parametrize("routing", ["apart", "shared"])
def test_a_first_update_in_bfloat16_is_nearly_that_in_float32(core, routing):
    found = []
    for precision in ("float32", "bfloat16"):
        one = learner("cuda", core=core, routing=routing, precision=precision)
        metrics = one.update()
        assert all(value.dtype == torch.float32 for value in metrics.values())
        assert all(each.grad.isfinite().all() for each in one.network.parameters())
        found.append(metrics)
    assert found[0]["loss_classify"] != found[1]["loss_classify"]
    for name in ("loss_classify", "loss_baseline", "reward", "accuracy"):
        torch.testing.assert_close(found[1][name], found[0][name], atol=0.1, rtol=0.1)


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


@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recorded_updates_are_those_of_plain_ones(precision):
    changes = {"precision": precision, "warmup": 10, "policy_lr_scale": 0.5}
    plain, graphed = (learner("cuda", compile=way, **changes) for way in (False, True))
    start = [value.detach().clone() for value in plain.network.parameters()]
    kept = []
    for _ in range(8):
        one, other = plain.update(), graphed.update()
        kept.append(other["loss_classify"])
        for name, value in one.items():
            answers = 2 / 32 + 1e-6  # two of the 32 may differ
            near = answers if name == "accuracy" and precision == "bfloat16" else 0.02
            torch.testing.assert_close(other[name], value, rtol=0.02, atol=near)
    assert len({float(value) for value in kept[WARM:]}) == 5, "what was given must stay as it was"
    if precision == "float32":  # a rate that stays as recorded would leave 0.28
        pairs = zip(plain.network.parameters(), graphed.network.parameters(), strict=True)
        for (one, other), begun in zip(pairs, start, strict=True):
            assert (one - other).abs().sum() <= 0.1 * (one - begun).abs().sum()


@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_a_recorded_run_goes_on_and_finds_what_is_no_number():
    straight, stopped = (learner("cuda", compile=True) for _ in range(2))
    for _ in range(9):
        wanted = straight.update()
    for _ in range(5):
        stopped.update()
    state, weights = stopped.state_dict(), stopped.network.state_dict()
    stopped.load_state_dict(state)
    stopped.network.load_state_dict(weights)
    for _ in range(4):
        seen = stopped.update()
    for name, value in wanted.items():
        torch.testing.assert_close(seen[name], value, rtol=0.01, atol=0.01)
    before = [value.clone() for value in stopped.network.parameters()]
    with torch.no_grad():
        stopped.network.classifier.bias.fill_(torch.nan)
    for _ in range(3):
        stopped.update()
    with pytest.raises(BrokenGradientError, match="update 9 gave a gradient"):
        stopped.optimizer.check()
    for value, old in zip(stopped.network.parameters(), before, strict=True):
        assert value is stopped.network.classifier.bias or torch.equal(value, old)


@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_a_recorded_update_never_waits_for_the_device():
    one = learner("cuda", compile=True, **EASES)
    for _ in range(WARM + 1):
        one.update()
    with never_waiting():
        for _ in range(3):
            one.update()


@pytest.mark.filterwarnings("ignore")  # of the compiler about itself
def test_a_recorded_update_eases_when_a_plain_one_does():
    learners = [
        learner("cuda", compile=way, **EASES | {"refine": share, "lr": 1e-9, "slip": 0.5})
        for way, share in ((False, 0.5), (True, 0.5), (True, 0.0))
    ]
    for each in learners:
        with torch.no_grad():
            each.network.classifier.weight.mul_(100)  # so that a glimpse elsewhere is seen
    for update in range(8):
        plain, graphed, never = (float(each.update()["loss_classify"]) for each in learners)
        assert graphed == pytest.approx(plain, abs=2e-3)
        assert (abs(graphed - never) < 4e-3) == (update < 5)


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
