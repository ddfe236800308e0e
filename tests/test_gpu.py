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
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from tests.test_core import noise
from tests.waiting import never_waiting

pytestmark = pytest.mark.gpu
EASES = {
    "slip": 0.1,
    "refine": 0.5,
    "updates": 10,
    "maps": 4,
    "canvas": 3,
}  # from the sixth update on
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
