"""Looks that are recorded, compiled, batched or taken with fake tensors: the numbers stay."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from saccade.kernels import KERNELS
from saccade.kernels.traced import is_traced
from saccade.retina import Retina

CPU_KERNELS = [name for name in KERNELS if name != "fused"]
INDEX = torch.tensor([3, 1, 2, 2, 0, 4, 4, 5])
OTHER = torch.tensor([5, 5, 0, 1, 2, 3, 4, 0])


def noise(kind=torch.uint8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (8, 1, 60, 64), generator=generator).to(kind)
    return images, torch.rand(8, 2, generator=generator) * 2.6 - 1.3


def retinas(name, kind=torch.uint8):
    """Of even and odd size where the kernel has several scales; skips what it refuses."""
    sizes = [(8, 1), (7, 1)] if name == "crop" else [(8, 1), (8, 3), (7, 2)]
    for retina in (Retina(*each) for each in sizes):
        if reason := KERNELS[name].refusal(noise(kind)[0], retina):
            pytest.skip(f"{name} {reason}")
        yield retina


def looking(retina, name, scene=None):
    """Takes glimpses of images; and of a scene, prepared before."""

    def look(images, at, index):
        seen = retina.look(retina.prepare(images, kernel=name), at, index)
        return seen if scene is None else (seen, retina.look(scene, at, index))

    return look


@pytest.mark.parametrize("fullgraph", [False, True])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("name", CPU_KERNELS)
def test_compiled_looks_are_those_of_plain_calls(name, kind, fullgraph):
    for retina in retinas(name, kind):
        scene = retina.prepare(noise(kind)[0], kernel=name)
        look = looking(retina, name, scene)
        torch._dynamo.reset()
        compiled = torch.compile(look, backend="eager", fullgraph=fullgraph)
        for index, other in ((None, None), (INDEX, OTHER)):
            for which, seed in ((index, 1), (other, 2)):
                work = (*noise(kind, seed), which)
                for seen, wanted in zip(compiled(*work), look(*work), strict=True):
                    assert torch.equal(seen, wanted), (retina, which)
        with pytest.raises(IndexError):
            compiled(*noise(kind, 1), torch.full((8,), 8))
    torch._dynamo.reset()


def test_the_differentiable_retina_is_one_graph_and_keeps_its_gradients():
    images, at = noise(torch.float32)
    retina, gradients = Retina(4, 2), []
    torch._dynamo.reset()
    for look in (
        retina.integrate,
        torch.compile(retina.integrate, backend="aot_eager", fullgraph=True),
    ):
        shown, where = (images / 255).requires_grad_(), at.clone().requires_grad_()
        look(shown, where, INDEX).square().sum().backward()
        gradients.append((shown.grad, where.grad))
    torch._dynamo.reset()
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    with pytest.raises(IndexError):
        retina.integrate(images, at, INDEX + 8)


RECORDERS = {
    "make_fx": lambda look, work: make_fx(look)(*work),
    "make_fx, fake": lambda look, work: make_fx(look, tracing_mode="fake")(*work),
    "make_fx, before dispatch": lambda look, work: make_fx(look, pre_dispatch=True)(*work),
    "torch.jit.trace": lambda look, work: torch.jit.trace(look, work),
}


@pytest.mark.filterwarnings("ignore")  # of the recorders about themselves
@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("name", CPU_KERNELS)
def test_what_is_recorded_looks_at_other_images_and_places(name, recorder):
    for retina in retinas(name):
        look = looking(retina, name)
        recorded = RECORDERS[recorder](look, (*noise(), INDEX))
        other = (*noise(seed=1), OTHER)
        assert torch.equal(recorded(*other), look(*other))


@pytest.mark.parametrize("name", CPU_KERNELS)
def test_fake_images_give_fake_glimpses(name):
    list(retinas(name))
    program = f"""
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from saccade.retina import Retina
with FakeTensorMode():
    images, at = torch.empty(5, 3, 60, 60, dtype=torch.uint8), torch.empty(7, 2)
    retina = Retina(8, 1) if {name!r} == "crop" else Retina(8, 3)
    scene = retina.prepare(images, kernel={name!r})
    seen = retina.look(scene, at, torch.empty(7, dtype=torch.int64), dtype=torch.bfloat16)
    assert seen.shape == (7, retina.scales, 3, 8, 8) and seen.dtype == torch.bfloat16
    scene.replace(images[:2], torch.empty(2, dtype=torch.int64))
"""
    done = subprocess.run(  # apart: what reads fake memory crashes
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings("ignore")  # that batching takes the places one after the other
def test_looks_are_batched_and_have_no_gradient():
    images, at = noise()
    retina, many = Retina(8, 3), torch.stack([at, at.flip(0)])
    seen = torch.vmap(retina.look, in_dims=(None, 0))(images, many)
    assert torch.equal(seen, torch.stack([retina.look(images, each) for each in many]))
    slope = torch.func.grad(lambda at: (retina.look(images, at) * at[0, 0]).sum())(at)
    torch.testing.assert_close(slope[0, 0], retina.look(images, at).sum())
    assert not slope.flatten()[1:].any()


def test_the_operator_is_as_torch_wants_it():
    for index in (None, INDEX):
        images, at = noise()
        work = ("table", images, Retina(8, 3).prepare(images, kernel="table").ready, at, index)
        torch.library.opcheck(
            torch.ops.saccade.look.default,
            (*work, 8, 3, 2, torch.float16),
            test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_static"),
        )


def test_a_plain_call_does_without_the_operator():
    class Photo(torch.Tensor):
        pass

    plain = torch.zeros(1)
    assert not is_traced(plain, torch.nn.Parameter(plain), None)
    with torch.device("meta"), torch.no_grad(), torch.inference_mode():
        assert not is_traced(plain)
    photo = plain.as_subclass(Photo)
    assert is_traced(plain, None, photo)
    images, at = noise()
    assert torch.equal(Retina().look(images.as_subclass(Photo), at), Retina().look(images, at))
