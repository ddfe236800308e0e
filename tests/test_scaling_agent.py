"""The agent of the scaling benchmark: what it looks at, what it learns from, when it stops."""

import math

import pytest
import torch

from saccade.agents import scaling, scaling_train
from saccade.agents.scaling_agent import (
    GLIMPSES,
    PLACES,
    PlaceAgent,
    coarse_look,
    episode_loss,
    rows_for,
)
from saccade.agents.scaling_train import (
    AgentLoss,
    imitation_loss,
    middles_of,
    scripted,
)
from saccade.counter import make_key, row_keys


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    return PlaceAgent().eval()


def play(agent, images, **options):
    scene = agent.fovea.prepare(images, looks=1)
    return agent(scene, coarse_look(images), **options)


def test_a_place_is_not_looked_at_twice(plate_maker):
    agent = PlaceAgent().eval()
    object.__setattr__(agent, "glance", lambda coarse: torch.zeros(len(coarse), 3, 16, 16))
    played = play(agent, plate_maker.at(side=256)(*scaling.part_rows("test", 2, 10)).images)
    assert played.logits.shape == (2, GLIMPSES - 1, 10)
    assert played.locations.abs().max() <= 1
    gaps = torch.cdist(played.locations[0], played.locations[0]) + 9 * torch.eye(GLIMPSES - 1)
    assert gaps.min() > 2 / PLACES


def test_folding_the_agent_changes_nothing(plate_maker):
    torch.manual_seed(3)
    agent = PlaceAgent()
    with torch.no_grad():
        for each in agent.modules():
            if isinstance(each, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                each.running_mean.uniform_(-0.1, 0.1)
                each.running_var.uniform_(0.5, 2)
    images = plate_maker.at(side=256)(*scaling.part_rows("test", 3, 10)).images
    one, other = (play(each, images).logits for each in (agent.eval(), agent.folded()))
    assert torch.allclose(one, other, atol=1e-5)


def test_reading_ends_when_it_is_sure(plate_maker):
    torch.manual_seed(4)
    agent = PlaceAgent().eval()
    images = plate_maker.at(side=256)(*scaling.part_rows("test", 20, 10)).images
    scene, coarse = agent.fovea.prepare(images, looks=1), coarse_look(images)
    with torch.no_grad():
        agent.classifier.weight.mul_(8)
        logits = agent(scene, coarse).logits
        beliefs = logits.softmax(-1).amax(-1).cummax(1).values
        agent.sure.fill_(float(beliefs[:, 3].sort().values[9:11].mean()))  # between two
        for ready in (agent, agent.folded()):
            read = ready.read(scene, coarse)
            for row in range(20):
                stop = next((t for t in range(6) if beliefs[row, t] > agent.sure), 5)
                assert read.looks[row] == stop + 1
                assert torch.allclose(read.logits[row], logits[row, stop], atol=1e-4)
        assert len(read.looks.unique()) > 1
        agent.sure.fill_(1.0)
        assert (agent.read(scene, coarse).looks == GLIMPSES - 1).all()


def test_rows_of_the_agent_do_not_know_of_each_other(agent, plate_maker):
    scenes = plate_maker.at(side=128)(*scaling.part_rows("test", 4, 10))
    key = row_keys(make_key(1), 8)
    whole = play(agent, scenes.images, key=key, rollouts=2)
    alone = play(agent, scenes.images[1:2], key=key[2:4], rollouts=2)
    assert torch.allclose(whole.locations[2:4], alone.locations, atol=1e-5)
    assert not torch.allclose(whole.locations[2], whole.locations[3])


def test_who_learns_from_what(agent, plate_maker):
    scenes = plate_maker.at(side=128)(*scaling.part_rows("test", 4, 10))
    played = play(agent, scenes.images, key=row_keys(make_key(1), 8), rollouts=2)

    def learns(loss):
        agent.zero_grad()
        loss.backward(retain_graph=True)
        return {
            name.split(".")[0]
            for name, each in agent.named_parameters()
            if each.grad is not None and each.grad.abs().sum() > 0
        }

    assert learns(played.logits.sum()) == {"encoder", "core", "classifier"}
    assert learns(played.log_probs.sum()) == {"glance", "inhibition"}
    loss, right = episode_loss(played, scenes.labels.repeat_interleave(2), 2)
    assert loss.isfinite()
    assert right.shape == (GLIMPSES - 1,)


def test_batches_fit_into_memory():
    for side in (100, 1024, 2048, 4096):
        scenes, rollouts = rows_for(side)
        assert scenes * rollouts == 64
        assert scenes * side**2 <= 2**26
        assert rollouts >= 2


def test_scripts_look_at_plates(plate_maker):
    scenes = plate_maker.at(side=1024)(*scaling.part_rows("train", 20, 10))
    key = row_keys(make_key(0), 20)
    near = ((scripted(scenes, key, False) + 1) * 512 - scenes.places[:, None]).abs()
    assert near.mean() < 8
    far = ((scripted(scenes, key, True) + 1) * 512 - scenes.places[:, None]).abs().amax(-1)
    assert ((far < 30).sum(1) >= 1).all()  # each plate has its look
    assert (far > 30).any(1).all()


def test_imitation_by_hand(plate_maker):
    scenes = plate_maker.at(side=256)(*scaling.part_rows("train", 3, 10))
    middles = middles_of(scenes)
    assert torch.allclose(middles, (scenes.plates + 20) / 16)  # plates of 40 pixels, places of 16
    priority, spots = torch.zeros(3, 256), torch.zeros(3, 256, 2)
    for row, spot in enumerate(middles):
        for x, y in spot.tolist():
            priority[row, 16 * int(y) + int(x)] = 100.0
            spots[row, 16 * int(y) + int(x)] = torch.tensor([x + 0.25, y]) / 8 - 1
    loss = imitation_loss(priority, spots, middles)
    assert loss == pytest.approx(math.log(4) + 16 * (0.25 - 0.01) / 2, abs=1e-3)
    digits = plate_maker.at(series="proportional", side=128)(*scaling.part_rows("train", 3, 10))
    assert torch.equal(middles_of(digits), digits.places[:, None] / 8)


def test_stored_looks_keep_their_middles(plate_maker, monkeypatch):
    for name, value in (("STORED", 8), ("SIDES", (256,)), ("OFTEN", (256,))):
        monkeypatch.setattr(scaling_train, name, value)
    loss = AgentLoss(plate_maker, PlaceAgent())
    for number in range(8):
        coarse, middles = loss.looks(row_keys(make_key(number), 1)[0])
        assert coarse.shape == (64, 1, 128, 128)
        for x, y in ((-8, -8), (8, 8), (-8, 8)):  # between digit and edge: bare plate
            cells = (middles * 8).long() + torch.tensor([x, y])
            at = coarse[torch.arange(64)[:, None], 0, cells[..., 1], cells[..., 0]]
            assert (at >= 160).all()
