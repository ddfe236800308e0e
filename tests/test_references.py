"""References that see whole scenes: their sizes, their scenes, their determinism."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from saccade.agents import references
from saccade.agents.config import TrainConfig
from saccade.agents.evaluate import evaluate, split_keys
from saccade.agents.references import (
    REFERENCES,
    build_reference,
    count_right,
    reference_updates,
    scene_batches,
    train_reference,
)
from saccade.agents.reinforce import Reinforce, make_scenes
from saccade.data import Splits
from saccade.digits import draw_digits
from saccade.envs.classify import Classify
from saccade.scenes import SceneMaker

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits():
    return Splits(draw_digits(120, 0), draw_digits(40, 1), draw_digits(40, 2), "digits")


@pytest.fixture(scope="module")
def maker(splits):
    return SceneMaker(splits.train, "cluttered", 60, 4, 8, augment=True)


def size(network):
    return sum(weight.numel() for weight in network.parameters())


def test_the_networks_have_the_sizes_they_are_named_for():
    shape = (1, 60, 60)
    # Weights and biases of 3600 -> n -> n -> 10.
    for units in (64, 256):
        hand = 3600 * units + units + units * units + units + units * 10 + 10
        assert size(REFERENCES[f"fc-{units}"](shape, 10)) == hand
    # 8 filters of 10x10; (60 - 10) / 5 + 1 = 11 places a side; 256 units; 10 classes.
    hand = 8 * 100 + 8 + 8 * 11 * 11 * 256 + 256 + 256 * 10 + 10
    assert size(REFERENCES["cnn-paper"](shape, 10)) == hand
    # Without biases before batch normalization, which has two numbers a channel.
    hand = 25 * 32 + 9 * (32 * 64 + 64 * 128 + 128 * 128) + 2 * (32 + 64 + 128 + 128)
    assert size(REFERENCES["cnn-small"](shape, 10)) == hand + 128 * 10 + 10


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 60, 45), (1, 100, 100)])
def test_reads_scenes_of_any_shape_as_bytes_or_fractions(name, shape):
    network = REFERENCES[name](shape, 7).eval()
    scenes = torch.randint(0, 256, (5, *shape), dtype=torch.uint8)
    with torch.no_grad():
        logits = network(scenes)
        torch.testing.assert_close(network(scenes.float() / 255), logits)
    assert logits.shape == (5, 7)


def test_the_small_cnn_sees_a_whole_digit_at_once():
    network = REFERENCES["cnn-small"]((1, 100, 100), 10)
    scene = torch.zeros(1, 1, 100, 100, requires_grad=True)
    x = scene
    for module in network.layers[:-3]:  # its reach, as sums of all that each unit sees
        if isinstance(module, nn.Conv2d):
            ones = torch.ones(1, 1, *module.kernel_size)
            x = nn.functional.conv2d(x, ones, stride=module.stride, padding=module.padding)
        elif isinstance(module, nn.MaxPool2d):
            x = nn.functional.avg_pool2d(x, 2, ceil_mode=True)
    assert x.shape[2:] == (13, 13)
    x[0, 0, 6, 6].backward()
    reach = (scene.grad[0, 0] != 0).nonzero()
    assert (reach.amax(0) - reach.amin(0) + 1).tolist() == [39, 39]


def test_an_unknown_reference_is_refused(maker):
    with pytest.raises(ValueError, match="choose from fc-64, fc-256, cnn-paper, cnn-small"):
        train_reference("resnet", maker, updates=1)


def test_learns_from_the_very_scenes_of_an_agent(splits):
    config = TrainConfig(
        scene="cluttered", side=60, size=4, glimpses=2, what=8, where=8, hidden=8,
        policy_hidden=8, batch=50, augment=True, seed=3, device="cpu",
    )  # fmt: skip
    learner = Reinforce(config, splits, CPU)
    batches = scene_batches(make_scenes(config, splits.train, training=True), 50, seed=3)
    for _ in range(4):  # 120 images: the third batch spans two epochs
        learner.update()
        scenes, labels = next(batches)
        assert torch.equal(scenes, learner.core.scene.images)
        assert torch.equal(labels, learner.core.state["label"])
    later = scene_batches(learner.scenes, 50, seed=3, start=3)
    assert torch.equal(next(later)[0], scenes)


def test_each_epoch_shows_every_image_once(maker):
    batches = scene_batches(replace(maker, layout="centered", augment=False), 40, seed=1)
    for _ in range(2):
        seen = torch.cat([next(batches)[0] for _ in range(3)]).flatten(1)
        assert torch.equal(seen.unique(dim=0), maker.pool.images.flatten(1).unique(dim=0))


def test_is_judged_on_the_very_scenes_of_an_agent(splits):
    config = TrainConfig(scene="cluttered", side=60, size=4, glimpses=1, hidden=8, device="cpu")
    learner = Reinforce(config, splits, CPU)
    test = make_scenes(config, splits.test)
    seen = evaluate(learner.network, test, "test", glimpses=1, first="center")
    shown = []

    class Spy(nn.Module):
        def forward(self, scenes):
            shown.append(scenes)
            return nn.functional.one_hot(torch.zeros(len(scenes), dtype=torch.int64), 10)

    right = count_right(Spy(), test, "test", batch=7)
    assert torch.equal(torch.cat(shown), seen.scenes)
    assert right == int((splits.test.labels == 0).sum())
    state = Classify(test).begin(split_keys("validation", 40, CPU), torch.arange(40))
    assert not torch.equal(test(state["index"], state["scene"]), torch.cat(shown))


@pytest.mark.parametrize("name", ["fc-64", "cnn-small"])
def test_one_seed_gives_one_network(name, maker):
    one, same, other = (
        train_reference(name, maker, updates=3, batch=16, seed=seed) for seed in (0, 0, 1)
    )
    assert not one.training
    for key, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[key]), key
    assert not torch.equal(one.layers[-1].weight, other.layers[-1].weight)


def test_global_randomness_is_neither_used_nor_changed(maker):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = build_reference("fc-64", maker, 0, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(6)
    again = build_reference("fc-64", maker, 0, CPU)
    assert torch.equal(one.layers[1].weight, again.layers[1].weight)


def test_what_was_stopped_goes_on_to_the_very_same_weights(maker, tmp_path, monkeypatch):
    options = {"updates": 9, "batch": 16, "save_seconds": 0.0}
    straight = train_reference("cnn-small", maker, **options)
    whole = references.scene_batches

    def torn(*args):
        for number, each in enumerate(whole(*args)):
            if number == 5:
                raise KeyboardInterrupt
            yield each

    monkeypatch.setattr(references, "scene_batches", torn)
    with pytest.raises(KeyboardInterrupt):
        train_reference("cnn-small", maker, folder=tmp_path, **options)
    assert torch.load(tmp_path / "reference.pt", weights_only=True)["updates"] == 5
    resumed = train_reference("cnn-small", maker, folder=tmp_path, **options)
    for key, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_a_loss_that_is_no_number_stops_it(maker):
    with pytest.raises(FloatingPointError, match="not numbers by update 3"):
        train_reference("fc-64", maker, updates=3, batch=16, lr=math.inf, warmup=0)


def test_weights_that_are_no_numbers_are_not_kept(maker, tmp_path):
    words = {"updates": 40, "batch": 16, "folder": tmp_path, "save_seconds": 0.0, "warmup": 20}
    with pytest.raises(FloatingPointError, match="not numbers by update"):
        train_reference("fc-64", maker, lr=1e30, **words)
    path = tmp_path / "reference.pt"
    if path.is_file():
        kept = torch.load(path, weights_only=True)["weights"]
        assert all(bool(each.isfinite().all()) for each in kept.values())


def test_learns_to_read_digits():
    digits = SceneMaker(draw_digits(1000, 0))
    network = train_reference("cnn-small", digits, updates=40, batch=64, warmup=5)
    test = SceneMaker(draw_digits(200, 9))
    assert count_right(network, test, "test") > 150


def test_a_time_budget_becomes_a_number_of_updates(maker):
    few, many = (reference_updates("fc-64", maker, seconds, batch=16) for seconds in (4, 40))
    assert 1 <= few < many
