import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from saccade.agent import Agent, AgentSpec
from saccade.agents import reinforce
from saccade.agents.config import TrainConfig
from saccade.agents.full_look import look_fully
from saccade.agents.objectives import cross_entropies, hybrid_losses
from saccade.agents.reinforce import Reinforce
from saccade.agents.rollout import rollout
from saccade.canvas import Canvas, _MapNorm
from saccade.counter import make_key, row_keys
from saccade.data import Splits
from saccade.digits import draw_digits
from saccade.envs.classify import Classify
from saccade.envs.core import GazeCore
from saccade.geometry import window_starts
from saccade.network import GazeNetwork
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from scripts.bench_train import flops_per_image


def slow_write(retina, glimpse, location, canvas):
    """Pixel by pixel: which cell of the new glimpse covers it, if any does."""
    canvas = canvas.clone()
    height, width = canvas.shape[-2:]
    starts = window_starts(
        location, retina.size, retina.scales, retina.factor, height, width
    ).tolist()
    for n, scales in enumerate(starts):
        for s, (left, top) in enumerate(scales):
            for y in range(height):
                for x in range(width):
                    row, column = (y - top) // retina.factor**s, (x - left) // retina.factor**s
                    if 0 <= row < retina.size and 0 <= column < retina.size:
                        canvas[n, s, :-1, y, x] = glimpse[n, s, :, row, column]
                        canvas[n, s, -1, y, x] = 1
    return canvas


@given(
    size=st.integers(1, 5),
    scales=st.integers(1, 3),
    factor=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    seed=st.integers(0, 2**20),
)
def test_glimpses_lie_where_they_were_taken(size, scales, factor, channels, height, width, seed):
    noise = torch.Generator().manual_seed(seed)
    retina = Retina(size, scales, factor)
    canvas = Canvas(retina, channels, height, width, maps=2, classes=3)
    slow = fast = torch.zeros(2, *canvas.shape)
    for _ in range(3):
        glimpse = torch.rand(2, scales, channels, size, size, generator=noise)
        location = torch.rand(2, 2, generator=noise) * 3 - 1.5
        before = fast.clone()
        after = canvas.write(glimpse, location, fast)
        assert torch.equal(fast, before)
        slow, fast = slow_write(retina, glimpse, location, slow), after
    assert torch.equal(fast, slow)
    assert canvas(fast).shape == (2, 3)


def test_sharp_glimpses_put_the_picture_together():
    retina = Retina(8, 2)
    image = torch.randint(0, 256, (1, 1, 12, 16), dtype=torch.uint8)
    canvas = Canvas(retina, 1, 12, 16, maps=2, classes=3)
    seen = torch.zeros(1, *canvas.shape)
    for x in (-0.5, 0.5):
        for y in (-1 / 3, 1 / 3):
            location = torch.tensor([[x, y]])
            seen = canvas.write(retina.look(image, location), location, seen)
    assert torch.equal(seen[0, 0, 0], image[0, 0] / 255)
    assert (seen[0, :, 1] == 1).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_maps_are_normalized_by_sample(layout):
    maps = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    found = _MapNorm()(maps.contiguous(memory_format=layout))
    torch.testing.assert_close(found, F.group_norm(maps, 1))


def test_its_operations_are_counted_where_they_are_done():
    digits = draw_digits(40, seed=0)
    splits, device = Splits(digits, digits, digits, "x"), torch.device("cpu")
    config = TrainConfig(size=6, glimpses=3, batch=32, what=8, where=8, hidden=8)
    without, learner = (Reinforce(replace(config, canvas=maps), splits, device) for maps in (0, 2))
    products = []

    def count(layer, _, out):
        products.append(out.numel() * layer.weight[0].numel())

    for layer in learner.network.canvas.read:
        if hasattr(layer, "weight"):
            layer.register_forward_hook(count)
    learner.network.canvas(torch.zeros(1, *learner.network.canvas.shape))
    # Three passes, but for the first layer, whose input learns nothing; 1.25 readings an episode.
    wanted = 1.25 * 2 * (3 * sum(products) - products[0])
    assert flops_per_image(learner) - flops_per_image(without) == wanted


def test_an_answer_is_the_cores_and_the_canvass():
    torch.manual_seed(0)
    network = GazeNetwork(Retina(4, 2), 1, 5, hidden=16, canvas=3, height=12, width=9)
    state = network.start(6)
    assert [tuple(each.shape) for each in state] == [(6, 16), (6, 2, 2, 12, 9)]
    state = network.see(torch.rand(6, 2, 1, 4, 4), torch.rand(6, 2), state)
    both = network.classifier(state[0]) + network.canvas(state[-1])
    assert torch.equal(network.answer(state), both)
    assert not state[-1].requires_grad  # nothing has to be learned to write


@pytest.mark.parametrize("processes", [1, 2])
def test_in_training_a_quarter_of_the_rows_is_asked_once_before_the_end(processes, monkeypatch):
    config = TrainConfig(
        size=6, glimpses=4, batch=32, rollouts=2, what=8, where=8, hidden=8, canvas=2, early=0.5,
        warmup=0,
    )  # fmt: skip
    digits = draw_digits(40, seed=0)
    played, honest = [], reinforce.rollout

    def kept(*args, **kwargs):
        played.append(honest(*args, **kwargs))
        return played[-1]

    monkeypatch.setattr(reinforce, "rollout", kept)
    for process in range(processes):
        part = slice(process * 32 // processes, (process + 1) * 32 // processes)
        monkeypatch.setattr(reinforce, "share", lambda batch, part=part: part)
        Reinforce(config, Splits(digits, digits, digits, "x"), torch.device("cpu")).update()
    asked = torch.cat([each.asked for each in played])
    for t in range(3):  # of 12 rows one after each glimpse, by the row's number in the whole batch
        assert asked[:, t].nonzero()[:, 0].tolist() == list(range(t, 64, 12))
    assert asked[:, 3].all()
    for each in played:
        assert torch.equal((each.canvas_logits == 0).all(-1), each.asked == 0)
        assert torch.equal(each.logits, each.core_logits + each.canvas_logits)


@pytest.mark.parametrize("alone", [False, True])
def test_a_canvas_learns_from_where_it_is_asked(alone):
    """The loss by hand: the core's at every glimpse, both's or its own where it was asked."""
    config = TrainConfig(size=6, glimpses=2, what=8, where=8, hidden=8, canvas=2)
    digits = draw_digits(40, seed=0)
    maker = SceneMaker(digits, "centered", 28)
    torch.manual_seed(0)
    network = config.agent_spec(maker.shape, digits.classes).build()
    core = GazeCore(Classify(maker), network.retina, 2, 8)
    played = rollout(
        network, core, key=row_keys(make_key(0), 8), asks=[slice(1, None, 4), slice(None)]
    )
    losses = hybrid_losses(
        played, sigma=0.1, reward="dense", baseline="learned", rollouts=1, early=0.5, alone=alone
    )
    judged = played.canvas_logits if alone else played.core_logits + played.canvas_logits
    core_loss, read = (
        cross_entropies(each, played.target) for each in (played.core_logits, judged)
    )
    early = core_loss[:, 0].mean() + (read[1, 0] + read[5, 0]) / 2
    torch.testing.assert_close(losses.classify, read[:, 1].mean() + 0.5 * early)
    blind = math.log(10)  # what is paid for is what the core could tell, and the answer
    torch.testing.assert_close(losses.reward, (blind - read[:, 1]).mean().detach())
    gained = (core_loss[:, :1] - read[:, 1:]).detach()
    torch.testing.assert_close(losses.baseline, (played.values - gained).square().mean())
    everywhere = rollout(network, core, key=row_keys(make_key(0), 8))
    assert everywhere.asked.all()
    torch.testing.assert_close(everywhere.logits[[1, 5], 0], played.logits[[1, 5], 0])


def test_without_a_canvas_nothing_is_different():
    torch.manual_seed(0)
    plain = GazeNetwork(Retina(4), 1, 5, hidden=16)
    torch.manual_seed(0)
    other = GazeNetwork(Retina(4), 1, 5, hidden=16, canvas=3, height=12, width=9)
    state = other.state_dict()
    assert all(torch.equal(state[name], value) for name, value in plain.state_dict().items())
    assert {name.split(".")[0] for name in set(state) - set(plain.state_dict())} == {"canvas"}


def test_a_canvas_has_a_size():
    with pytest.raises(ValueError, match="size of the scenes"):
        GazeNetwork(Retina(4), 1, 5, canvas=3)


def test_worlds_without_labels_have_no_use_for_it():
    with pytest.raises(ValueError, match="--canvas"):
        TrainConfig(env="saccade/Catch-v0", canvas=4).check()


def test_scenes_of_another_size_are_looked_at_too():
    spec = AgentSpec(
        Retina(4, 2), 3, "center", 1, 12, 16, ("a", "b"), {"hidden": 16, "canvas": 3}
    )  # fmt: skip
    agent = Agent(spec.build().eval(), spec)
    images = torch.randint(0, 256, (5, 1, 30, 21), dtype=torch.uint8)
    path = agent.look(images)
    assert path.beliefs.isfinite().all()
    fully = look_fully(agent, images, row_keys(make_key(0), 5))
    torch.testing.assert_close(fully.logits.softmax(-1), path.beliefs)
