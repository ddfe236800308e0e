"""What all tasks keep: rows by their keys, frames of the state; and what Classify pays."""

import pytest
import torch

from saccade.envs import Catch, Classify, GazeCore, Search, Track
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from tests.deeds import deed, keys
from tests.test_core import noise

TASKS = {
    "classify": Classify(SceneMaker(noise(), "cluttered", 20, 2, 5)),
    "search": Search(side=32, items=3, fovea=4),
    "track": Track(side=31, others=2, fovea=5),
    "catch": Catch(side=12, glimpses=6),
}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_is_decided_by_its_key_alone(name):
    task, five = TASKS[name], keys(5)
    whole = task.begin(five)
    frames = task.frames(whole)
    assert frames.dtype == torch.uint8
    assert frames.shape == (5, *task.shape)
    for i in range(5):
        one = task.begin(five[i : i + 1])
        assert one.keys() == whole.keys()
        for entry, value in one.items():
            assert torch.equal(value[0], whole[entry][i]), entry
        assert torch.equal(task.frames(one)[0], frames[i])
    assert not torch.equal(frames[0], frames[1])


@pytest.mark.parametrize("name", TASKS)
def test_an_index_tells_items_of_the_same_key_apart(name):
    task, same = TASKS[name], keys(1).repeat(3)
    frames = task.frames(task.begin(same, torch.tensor([0, 1, 0])))
    assert torch.equal(frames[0], frames[2])
    assert not torch.equal(frames[0], frames[1])


@pytest.mark.parametrize("name", TASKS)
def test_what_is_seen_is_the_frame_of_the_state(name):
    task, retina = TASKS[name], Retina(5, 2)
    core = GazeCore(task, retina, 6, 4, first="random")
    seen, generator = core.reset(), torch.Generator().manual_seed(0)
    for _ in range(5):
        assert torch.equal(seen.glimpse, retina.look(task.frames(core.state), core.location))
        gaze = torch.rand(4, 2, generator=generator) * 2 - 1
        decision = torch.randint(-1, max(task.decisions, 1), (4,), generator=generator)
        seen, _ = core.step(gaze, decision)
    assert torch.equal(seen.glimpse, retina.look(task.frames(core.state), core.location))


def test_classify_pays_for_the_right_class_when_it_counts():
    task = TASKS["classify"]
    state = task.begin(keys(1), torch.tensor([4]))
    assert state["label"].tolist() == task.truth(state)["label"].tolist() == [1]  # 4 modulo 3
    for decision, counts, paid in ((1, True, 1), (1, False, 0), (0, True, 0), (-1, True, 0)):
        outcome = task.step(state, deed(decision=decision, counts=counts))
        assert outcome.terms["decision"].tolist() == [paid]
        assert outcome.success.tolist() == [bool(paid)]
