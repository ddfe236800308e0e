"""The environment's core: order of events, independence of rows, rewards, ways to end."""

import pytest
import torch

from saccade.counter import make_key, row_keys
from saccade.envs import Catch, Classify, GazeCore, Outcome, Search
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


def decisions(*numbers):
    return torch.tensor(numbers)


def test_an_episode_is_one_reset_and_t_steps():
    core = make(scenes=2)
    first = core.reset()
    assert first.t.tolist() == [1, 1]
    assert first.gaze.tolist() == [[0, 0], [0, 0]]
    label = core.state["label"]
    gaze = torch.tensor([[0.5, -0.25], [-1.0, 1.0]])
    wrong = (label + 1) % 3
    second, result = core.step(gaze, label)  # right, but too early
    assert torch.equal(second.gaze, gaze)
    assert result.reward.tolist() == [0, 0]
    assert not result.terminated.any()
    third, _ = core.step(-gaze, wrong)
    assert third.t.tolist() == [3, 3]
    last, result = core.step(gaze, torch.stack([label[0], wrong[1]]))
    assert result.terminated.all()
    assert result.reward.tolist() == [1, 0]
    assert result.success.tolist() == [True, False]
    assert torch.equal(last.gaze, -gaze), "the last gaze is ignored"
    assert torch.equal(last.glimpse, third.glimpse)


def test_glimpses_are_the_retinas():
    core = make(scenes=3)
    core.reset()
    gaze = torch.rand(3, 2) * 2 - 1
    seen, _ = core.step(gaze, decisions(0, 0, 0))
    assert torch.equal(seen.glimpse, RETINA.look(core.task.frames(core.state), gaze))
    assert torch.equal(core.observe().glimpse, seen.glimpse), "looking changes nothing"


def test_a_gaze_outside_is_clipped_and_said_so():
    core = make(scenes=2)
    core.reset()
    outside = torch.tensor([[1.5, 0.0], [1.0, -1.0]])
    for _ in range(2):
        seen, result = core.step(outside, decisions(0, 0))
        assert result.clipped.tolist() == [True, False]
        assert seen.gaze.tolist() == [[1, 0], [1, -1]]
    _, result = core.step(outside, decisions(0, 0))
    assert result.clipped.tolist() == [False, False], "an ignored gaze is not clipped"


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
            assert steps[0][1].reward.tolist() == [float(each.reward) for _, each in steps[1:]]
            seen = [observation for observation, _ in steps]


def scenes_of(core):
    """The pixels that each row looks at."""
    images = core.scene.images
    return (images if core.image_index is None else images[core.image_index]).clone()


def test_some_rows_begin_anew_while_others_go_on():
    core, alone = make(scenes=3, seed=5), make(scenes=3, seed=5)
    core.reset(), alone.reset()
    gaze, none = torch.full((3, 2), 0.3), decisions(0, 0, 0)
    core.step(gaze, none)
    alone.step(gaze, none)
    before = scenes_of(core)
    seen = core.reset(torch.tensor([1]))
    assert seen.t.tolist() == [2, 1, 2]
    assert torch.equal(seen.gaze, torch.tensor([[0.3, 0.3], [0, 0], [0.3, 0.3]]))
    assert torch.equal(scenes_of(core)[[0, 2]], before[[0, 2]])
    assert not torch.equal(scenes_of(core)[1], before[1])
    undisturbed, _ = alone.step(-gaze, none)
    goes_on, _ = core.step(-gaze, none)
    for row in (0, 2):
        assert torch.equal(goes_on.glimpse[row], undisturbed.glimpse[row])
    _, ends = core.step(gaze, core.state["label"])
    assert ends.terminated.tolist() == [True, False, True]
    assert ends.reward.tolist() == [1, 0, 1]
    # The second episode of row 1 is what a full reset would have given it.
    twice = make(scenes=3, seed=5)
    twice.reset(), twice.reset()
    assert torch.equal(scenes_of(core)[1], scenes_of(twice)[1])


def test_a_row_that_has_ended_stays_as_it_is():
    core = make(scenes=2, glimpses=1, price=0.25)
    core.reset()
    label = core.state["label"]
    last, result = core.step(torch.zeros(2, 2), label)
    assert result.reward.tolist() == [1, 1]
    again, result = core.step(torch.full((2, 2), 1.5), label)
    assert result.terminated.all()
    assert result.reward.tolist() == [0, 0]
    assert not result.clipped.any()
    for one, other in zip(last, again, strict=True):
        assert torch.equal(one, other)


class Generous(Classify):
    def step(self, state, deed):
        return Outcome(state, {"gift": torch.ones_like(deed.location[:, 0])}, deed.counts)


def test_who_has_ended_earns_nothing_whatever_the_task_pays():
    core = GazeCore(Generous(SceneMaker(noise(), "centered")), RETINA, 1, 2)
    core.reset()
    paid = [core.step(torch.zeros(2, 2), decisions(0, 0))[1] for _ in range(2)]
    assert [each.reward.tolist() for each in paid] == [[1, 1], [0, 0]]
    assert not paid[1].terms["gift"].any()


def test_a_partial_reset_does_not_write_into_the_data():
    core = make(scenes=3, layout="centered")
    before = core.task.maker.pool.images.clone()
    core.reset(index=torch.arange(3))
    core.reset(torch.tensor([0]), index=torch.tensor([7]))
    assert torch.equal(core.task.maker.pool.images, before)
    assert core.state["index"].tolist() == [7, 1, 2]


def test_rollouts_share_a_scene_and_not_their_start():
    core = make(scenes=2, rollouts=3, first="random")
    seen = core.reset()
    assert core.rows == 6
    assert core.shared
    assert core.image_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(core.scene.images) == 2
    assert len({tuple(each) for each in seen.gaze.tolist()}) == 6
    again = core.reset(location=torch.zeros(6, 2))
    assert torch.equal(again.glimpse[0], again.glimpse[2])
    assert not torch.equal(again.glimpse[0], again.glimpse[3])
    label = core.state["label"].view(2, 3)
    assert torch.equal(label, label[:, :1].expand(2, 3))
    # One scene of three rows begins anew, the other is left alone.
    before = scenes_of(core)
    after = core.reset(torch.arange(3, 6))
    assert torch.equal(scenes_of(core)[:3], before[:3])
    assert not torch.equal(scenes_of(core)[3], before[3])
    assert torch.equal(after.glimpse[:3], again.glimpse[:3])


@pytest.mark.parametrize(("stop", "task"), [("decide", "classify"), ("budget", "catch")])
def test_rows_that_may_part_hold_a_scene_each_but_see_the_same(stop, task):
    if task == "catch":
        core = GazeCore(Catch(12, 3), RETINA, 3, 2, rollouts=2)
    else:
        core = make(scenes=2, rollouts=2, stop=stop)
    for _ in range(2):
        core.reset()
        assert core.image_index is None
        assert len(core.scene.images) == 4
        assert torch.equal(core.scene.images[0], core.scene.images[1])
        assert torch.equal(core.scene.images[2], core.scene.images[3])
        assert not torch.equal(core.scene.images[0], core.scene.images[2])


def test_a_key_and_an_index_give_the_same_scene_in_any_batch():
    keys = row_keys(make_key(2), 4)
    core, one = make(scenes=4), make(scenes=1, seed=99)
    core.reset(key=keys, index=torch.arange(4))
    one.reset(key=keys[2:3], index=torch.tensor([2]))
    assert torch.equal(scenes_of(core)[2], scenes_of(one)[0])


def test_seeds_begin_a_series_anew_for_the_rows_they_are_for():
    core, fresh = make(scenes=3, seed=4), make(scenes=3, seed=0)
    core.reset(), core.reset()
    fresh.reset()
    core.seed(torch.tensor([2, 0]), torch.tensor([2, 0]))
    core.reset()
    thrice = make(scenes=3, seed=4)
    for _ in range(3):
        thrice.reset()
    assert torch.equal(scenes_of(core)[[0, 2]], scenes_of(fresh)[[0, 2]])
    assert torch.equal(scenes_of(core)[1], scenes_of(thrice)[1])


def test_stopping_by_decision():
    core = make(scenes=3, glimpses=3, stop="decide")
    core.reset()
    label = core.state["label"].clone()
    say = torch.stack([label[0], (label[1] + 1) % 3, decisions(-1)[0]])
    seen, result = core.step(torch.full((3, 2), 0.5), say)
    assert result.terminated.tolist() == [True, True, False]
    assert result.reward.tolist() == [1, 0, 0]
    assert result.success.tolist() == [True, False, False]
    assert seen.t.tolist() == [1, 1, 2]
    assert seen.gaze.tolist() == [[0, 0], [0, 0], [0.5, 0.5]], "who decides does not look"
    core.step(torch.zeros(3, 2), decisions(-1, -1, -1))
    seen, result = core.step(torch.zeros(3, 2), decisions(-1, -1, -1))
    assert seen.t.tolist() == [1, 1, 3]
    assert result.terminated.all(), "the budget ends it undecided"
    assert result.reward.tolist() == [0, 0, 0]
    assert not result.success[2]


def test_stopping_when_correct():
    core = make(scenes=2, glimpses=3, stop="correct", price=0.25)
    core.reset()
    label = core.state["label"].clone()
    wrong = (label + 1) % 3
    seen, result = core.step(torch.full((2, 2), 0.5), torch.stack([label[0], wrong[1]]))
    assert result.terminated.tolist() == [True, False]
    assert result.terms["decision"].tolist() == [1, 0]
    assert result.terms["price"].tolist() == [0, -0.25], "the step that ends takes no glimpse"
    assert result.reward.tolist() == [1, -0.25]
    assert seen.t.tolist() == [1, 2]
    core.step(torch.zeros(2, 2), wrong)
    _, result = core.step(torch.zeros(2, 2), label)
    assert result.terminated.all()
    assert result.reward.tolist() == [0, 1]


def test_the_price_is_for_glimpses_after_the_first():
    core = make(scenes=1, glimpses=3, price=0.5)
    core.reset()
    label = core.state["label"]
    paid = [core.step(torch.zeros(1, 2), label)[1].reward.item() for _ in range(3)]
    assert paid == [-0.5, -0.5, 1]


def test_where_nothing_is_answered_the_last_glimpse_ends_it():
    core = GazeCore(Search(24, 1, 4), RETINA, 3, 2, price=0.5)
    core.reset()
    seen, result = core.step(torch.full((2, 2), -1.0), decisions(-1, -1))
    assert seen.t.tolist() == [2, 2]
    assert not result.terminated.any()
    seen, result = core.step(torch.full((2, 2), 1.25), decisions(-1, -1))
    assert seen.t.tolist() == [3, 3]
    assert seen.gaze.tolist() == [[1, 1], [1, 1]], "the last gaze is looked at"
    assert result.clipped.all()
    assert result.terminated.all()
    assert result.terms["price"].tolist() == [-0.5, -0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"glimpses": 0}, "glimpses must be 1 or more, got 0"),
        ({"scenes": 0}, "scenes must be 1 or more"),
        ({"rollouts": 0}, "rollouts must be 1 or more"),
        ({"stop": "never"}, "stop is budget or decide or correct for this task, got 'never'"),
        ({"first": "left"}, "first is center or random, got 'left'"),
        ({"price": -0.5}, "price must be 0 or more, got -0.5"),
        ({"price": float("nan")}, "price must be 0 or more, got nan"),
    ],
)
def test_impossible_numbers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_what_a_task_cannot_do_is_refused():
    with pytest.raises(ValueError, match="glimpses must be 2 or more"):
        GazeCore(Search(), RETINA, 1, 1)
    with pytest.raises(ValueError, match="stop is budget for this task, got 'decide'"):
        GazeCore(Catch(), RETINA, 24, 1, stop="decide")


def test_looking_needs_a_reset_of_everyone():
    core = make()
    for look in (core.observe, lambda: core.step(torch.zeros(4, 2), decisions(0, 0, 0, 0))):
        with pytest.raises(RuntimeError, match="call reset"):
            look()
    with pytest.raises(RuntimeError, match="the first reset is of all rows"):
        core.reset(torch.tensor([1]))
