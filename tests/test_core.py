"""The environment's core: order of events, independence of rows, rewards."""

import pytest
import torch

from saccade.counter import make_key, row_keys
from saccade.envs import Classify, GazeCore
from saccade.imageset import ImageSet
from saccade.retina import Retina
from saccade.scenes import SceneMaker

RETINA = Retina(4, 2)


def noise(count=12, height=11, width=15):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 1, height, width), generator=generator)
    return ImageSet(images.to(torch.uint8), torch.arange(count) % 3, ("a", "b", "c"))


def make(scenes=4, glimpses=3, layout="translated", **options):
    return GazeCore(Classify(SceneMaker(noise(), layout, 20)), RETINA, glimpses, scenes, **options)


def test_an_episode_is_one_reset_and_t_steps():
    core = make(scenes=2)
    first = core.reset()
    assert first.t.tolist() == [1, 1]
    assert first.gaze.tolist() == [[0, 0], [0, 0]]
    gaze = torch.tensor([[0.5, -0.25], [-1.0, 1.0]])
    wrong = (core.target + 1) % 3
    second = core.step(gaze, core.target)  # right, but too early
    assert torch.equal(second.observation.gaze, gaze)
    assert second.reward.tolist() == [0, 0]
    assert not second.terminated.any()
    third = core.step(-gaze, wrong)
    assert third.observation.t.tolist() == [3, 3]
    last = core.step(gaze, torch.stack([core.target[0], wrong[1]]))
    assert last.terminated.all()
    assert last.reward.tolist() == [1, 0]
    assert torch.equal(last.observation.gaze, -gaze), "the last gaze is ignored"
    assert torch.equal(last.observation.glimpse, third.observation.glimpse)


def test_glimpses_are_the_retinas():
    core = make(scenes=3)
    core.reset()
    gaze = torch.rand(3, 2) * 2 - 1
    seen = core.step(gaze, torch.zeros(3).long()).observation.glimpse
    assert torch.equal(seen, RETINA.look(core.scene.images, gaze))


def test_a_gaze_outside_is_clipped_and_said_so():
    core = make(scenes=2)
    core.reset()
    step = core.step(torch.tensor([[1.5, 0.0], [1.0, -1.0]]), torch.zeros(2).long())
    assert step.clipped.tolist() == [True, False]
    assert step.observation.gaze.tolist() == [[1, 0], [1, -1]]


def test_row_i_of_seed_s_is_a_single_of_seed_s_plus_i():
    batch = make(scenes=4, first="random", seed=10)
    singles = [make(scenes=1, first="random", seed=10 + i) for i in range(4)]
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        seen = [batch.reset(), *[single.reset() for single in singles]]
        for _ in range(3):
            for row in range(4):
                for whole, one in zip(seen[0], seen[row + 1], strict=True):
                    assert torch.equal(whole[row], one[0])
            gaze = torch.rand(4, 2, generator=generator) * 2 - 1
            decision = torch.randint(0, 3, (4,), generator=generator)
            steps = [batch.step(gaze, decision)]
            steps += [singles[i].step(gaze[i : i + 1], decision[i : i + 1]) for i in range(4)]
            assert steps[0].reward.tolist() == [float(step.reward) for step in steps[1:]]
            seen = [step.observation for step in steps]


def test_some_rows_begin_anew_while_others_go_on():
    core, alone = make(scenes=3, seed=5), make(scenes=3, seed=5)
    core.reset(), alone.reset()
    gaze = torch.full((3, 2), 0.3)
    core.step(gaze, torch.zeros(3).long())
    alone.step(gaze, torch.zeros(3).long())
    before = core.scene.images.clone()
    seen = core.reset(torch.tensor([1]))
    assert seen.t.tolist() == [2, 1, 2]
    assert torch.equal(core.scene.images[[0, 2]], before[[0, 2]])
    assert not torch.equal(core.scene.images[1], before[1])
    undisturbed = alone.step(-gaze, core.target)
    goes_on = core.step(-gaze, core.target)
    for row in (0, 2):
        assert torch.equal(goes_on.observation.glimpse[row], undisturbed.observation.glimpse[row])
    ends = core.step(gaze, core.target)
    assert ends.terminated.tolist() == [True, False, True]
    assert ends.reward.tolist() == [1, 0, 1]
    # The second episode of row 1 is what a full reset would have given it.
    assert torch.equal(core.scene.images[1], _after_two_resets().scene.images[1])


def _after_two_resets():
    core = make(scenes=3, seed=5)
    core.reset(), core.reset()
    return core


def test_a_partial_reset_does_not_write_into_the_data():
    core = make(scenes=3, layout="centered")
    before = core.task.maker.pool.images.clone()
    core.reset(index=torch.arange(3))
    core.reset(torch.tensor([0]), index=torch.tensor([7]))
    assert torch.equal(core.task.maker.pool.images, before)


def test_rollouts_share_a_scene_and_not_their_start():
    core = make(scenes=2, rollouts=3, first="random")
    seen = core.reset()
    assert core.image_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(core.scene.images) == 2
    assert len({tuple(each) for each in seen.gaze.tolist()}) == 6
    again = core.reset(location=torch.zeros(6, 2))
    assert torch.equal(again.glimpse[0], again.glimpse[2])
    assert not torch.equal(again.glimpse[0], again.glimpse[3])


def test_a_key_and_an_index_give_the_same_scene_in_any_batch():
    keys = row_keys(make_key(2), 4)
    core, one = make(scenes=4), make(scenes=1, seed=99)
    core.reset(key=keys, index=torch.arange(4))
    one.reset(key=keys[2:3], index=torch.tensor([2]))
    assert torch.equal(core.scene.images[2], one.scene.images[0])


def test_impossible_budgets_are_refused_and_looking_needs_a_reset():
    with pytest.raises(ValueError, match="glimpses must be 1 or more"):
        make(glimpses=0)
    with pytest.raises(RuntimeError, match="reset"):
        make().step(torch.zeros(4, 2), torch.zeros(4).long())
