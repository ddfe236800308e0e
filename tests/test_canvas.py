import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.agent import Agent, AgentSpec
from saccade.agents.config import TrainConfig
from saccade.agents.full_look import look_fully
from saccade.canvas import Canvas
from saccade.counter import make_key, row_keys
from saccade.geometry import window_starts
from saccade.network import GazeNetwork
from saccade.retina import Retina


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


def test_only_the_answer_reads_the_canvas():
    torch.manual_seed(0)
    network = GazeNetwork(Retina(4, 2), 1, 5, hidden=16, canvas=3, height=12, width=9)
    state = network.start(6)
    assert [tuple(each.shape) for each in state] == [(6, 16), (6, 2, 2, 12, 9)]
    features = []
    for _ in range(3):
        state = network.see(torch.rand(6, 2, 1, 4, 4), torch.rand(6, 2), state)
        features.append(state[0])
    logits = network.classify(torch.stack(features, 1), state)
    core = network.classifier(torch.stack(features, 1))
    assert torch.equal(logits[:, :2], core[:, :2])
    torch.testing.assert_close(logits[:, 2], core[:, 2] + network.canvas(state[-1]))
    assert torch.equal(network.answer(state), logits[:, 2])
    assert not state[-1].requires_grad  # nothing has to be learned to write


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
