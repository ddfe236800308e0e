"""The tasks, by numbers worked out by hand: what is shown, what is paid, when it is a success."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.counter import make_key, row_keys
from saccade.envs import Catch, Classify, Deed, GazeCore, Search, Track
from saccade.envs.search import item_stencils
from saccade.envs.track import bounce
from saccade.retina import Retina
from saccade.scenes import SceneMaker
from tests.test_core import noise

SMALL = Search(side=32, items=3, fovea=4)
TASKS = {
    "classify": Classify(SceneMaker(noise(), "cluttered", 20, 2, 5)),
    "search": SMALL,
    "track": Track(side=31, others=2, fovea=5),
    "catch": Catch(side=12, glimpses=6),
}


def keys(count, seed=0):
    return row_keys(make_key(seed), count)


def deed(x=0.0, y=0.0, *, side=2, decision=-1, counts=True, t=2):
    """One row's deed; x and y in pixels of a scene of this side (2: a location plus one)."""
    location = torch.tensor([[x, y]]) / side * 2 - 1
    return Deed(location, torch.tensor([decision]), torch.tensor([counts]), torch.tensor([t]))


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


TEE = """#########
         #########
         #########
         ...###...
         ...###...
         ...###...
         ...###...
         ...###...
         ...###..."""
ELL = TEE.replace("...###...", "###......").replace("#########", "###......")
ELL = "\n".join([*ELL.split("\n")[:6], *["#########"] * 3])


def drawn(text):
    lines = [line.strip() for line in text.split("\n")]
    return torch.tensor([[255 * (each == "#") for each in line] for line in lines]).byte()


def test_search_items_are_ts_and_ls_at_quarter_turns():
    stencils = item_stencils()
    assert torch.equal(stencils[0], drawn(TEE))
    assert torch.equal(stencils[4], drawn(ELL))
    assert torch.equal(stencils[2], drawn(TEE).flip(0, 1))
    assert len({tuple(each.flatten().tolist()) for each in stencils}) == 8


def by_hand():
    """A T with its first pixel at (3, 5), so its center in pixel (7, 9), and two Ls."""
    return {
        "corner": torch.tensor([[[3, 5], [14, 2], [13, 14]]]),
        "kind": torch.tensor([[0, 4, 6]]),
        "success": torch.tensor([False]),
    }


def test_search_shows_the_items_of_its_state():
    want = torch.zeros(32, 32, dtype=torch.uint8)
    want[5:14, 3:12] = drawn(TEE)
    want[2:11, 14:23] = drawn(ELL)
    want[14:23, 13:22] = drawn(ELL).flip(0, 1)
    assert torch.equal(SMALL.frames(by_hand())[0, 0], want)


@pytest.mark.parametrize(
    ("x", "y", "found"),
    [
        (7.5, 9.5, True),  # the window of 4 pixels covers 6 to 9, and 8 to 11
        (5.5, 9.5, True),  # 4 to 7
        (5.4, 9.5, False),  # 3 to 6
        (9.4, 9.5, True),  # 7 to 10
        (9.5, 9.5, False),  # 8 to 11
        (7.5, 7.5, True),
        (7.5, 7.4, False),
        (7.5, 11.5, False),
    ],
)
def test_search_is_found_only_in_the_finest_window(x, y, found):
    outcome = SMALL.step(by_hand(), deed(x, y, side=32))
    assert outcome.terms["fixation"].tolist() == [float(found)]
    assert outcome.success.tolist() == [found]


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(1, 9), st.integers(0, 50))
def test_search_is_found_where_the_retina_shows_the_center(x, y, fovea, seed):
    task = Search(side=32, items=1, fovea=fovea)
    state = task.begin(keys(1, seed))
    column, row = (state["corner"][0, 0] + 4).tolist()
    spot = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    spot[0, 0, row, column] = 255
    location = torch.tensor([[x, y]])
    shown = bool(Retina(fovea, 1).look(spot, location).any())
    act = deed()._replace(location=location)
    assert task.step(state, act).success.tolist() == [shown]


def test_search_pays_once_and_only_who_plays():
    state, there = by_hand(), deed(7, 9, side=32)
    away = deed(20, 20, side=32)
    assert not SMALL.step(state, there._replace(counts=torch.tensor([False]))).success
    paid, found = [], []
    for act in (away, there, away, there):
        outcome = SMALL.step(state, act)
        state = outcome.state
        paid.append(outcome.terms["fixation"].item())
        found.append(outcome.success.item())
    assert paid == [0, 1, 0, 0]
    assert found == [False, True, True, True]
    want = [7.5 / 16 - 1, 9.5 / 16 - 1]
    assert SMALL.truth(state)["target"][0].tolist() == pytest.approx(want)


def test_search_items_do_not_touch_and_there_is_one_t():
    for task in (Search(side=64, items=25), Search(side=40, items=9), Search(side=64, items=8)):
        state = task.begin(keys(200))
        frames, corner = task.frames(state), state["corner"]
        assert corner.min() >= 0
        assert corner.max() <= task.side - 9
        area = item_stencils().view(8, -1).bool().sum(1)[state["kind"]].sum(1)
        assert torch.equal(frames.view(200, -1).bool().sum(1), area), "no pixel is drawn twice"
        far = (corner[:, :, None] - corner[:, None]).abs().amax(-1)
        far += 99 * torch.eye(task.items, dtype=torch.int64)
        assert far.min() >= 10, "a pixel lies between any two"
        assert sorted(set(state["kind"][:, 0].tolist())) == [0, 1, 2, 3]
        assert sorted(set(state["kind"][:, 1:].flatten().tolist())) == [4, 5, 6, 7]
        assert len({tuple(each) for each in corner[:, 0].tolist()}) > 50


@pytest.mark.parametrize("options", [{"items": 0}, {"items": 26}, {"side": 11, "items": 1}])
def test_search_refuses_items_that_do_not_fit(options):
    with pytest.raises(ValueError, match=r"a scene of side \d+ holds 1 to \d+ items, got"):
        Search(**options)


def test_paths_bounce_between_zero_and_the_top():
    path = torch.tensor([0.0, 3, 10, 11, 20, 23, -1, -10, -12, 45])
    assert bounce(path, 10.0).tolist() == [0, 3, 10, 9, 0, 3, 1, 10, 8, 5]


def track_by_hand(**entries):
    """A target of 7 pixels on a scene of 31: corners lie in 0 to 24, the ground is black."""
    return {
        "start": torch.tensor([[[23.0, 1.0]]]),
        "speed": torch.tensor([[[4.0, -3.0]]]),
        "ground": torch.zeros(1, 64, dtype=torch.uint8),
        "drift": torch.zeros(1, 2),
        "t": torch.tensor([1]),
        "held": torch.tensor([0]),
    } | entries


def test_track_items_move_straight_and_bounce():
    task = Track(side=31, others=0)
    places = [task.corners(track_by_hand(t=torch.tensor([t])))[0, 0].tolist() for t in range(1, 8)]
    # x: 23, 27, 31, ... reflected at 24; y: 1, -2, -5, ... reflected at 0.
    assert places == [[23, 1], [21, 2], [17, 5], [13, 8], [9, 11], [5, 14], [1, 17]]


def test_track_shows_disc_rings_and_ground():
    task = Track(side=31, others=1)
    state = track_by_hand(
        start=torch.tensor([[[3.0, 2.0], [20.0, 15.0]]]),
        speed=torch.zeros(1, 2, 2),
        ground=torch.arange(64, dtype=torch.uint8)[None],
    )
    frame = task.frames(state)[0, 0]
    lit = frame == 255
    disc = lit[2:9, 3:10]
    assert disc.sum() == 37
    assert disc[3].all()
    assert disc[0].tolist() == [False, False, True, True, True, False, False]
    ring = lit[15:22, 20:27]
    assert not ring[2:5, 3].any(), "a ring is open in the middle"
    assert ring[0].tolist() == disc[0].tolist()
    assert lit.sum() == disc.sum() + ring.sum()
    # Squares of 4 pixels, 8 on a side.
    assert frame[0, 0] == 0
    assert frame[0, 30] == 7
    assert frame[30, 0] == 56
    # The ground drifts by whole pixels; it comes in again at the other side.
    moved = task.frames(
        state | {"drift": torch.tensor([[2.0, -1.0]]), "t": torch.tensor([2])},
    )[0, 0]
    grey = ~lit
    for x, y in ((0, 12), (12, 1), (28, 25), (14, 30)):
        assert moved[y, x] == frame[y - 1, x + 2]
        assert grey[y - 1, x + 2]
    assert moved[0, 29] == 31 // 4 + 8 * (31 // 4)


def test_track_is_judged_after_all_has_moved():
    task = Track(side=31, others=0, fovea=4)
    now, then = (26.5, 4.5), (24.5, 5.5)  # centers of pixels (23, 1) + 3 and (21, 2) + 3
    for (x, y), paid in ((now, 0), (then, 1)):
        outcome = task.step(track_by_hand(), deed(x, y, side=31))
        assert outcome.terms["tracking"].tolist() == [paid]
        assert outcome.state["t"].tolist() == [2]
    target = task.truth(outcome.state)["target"][0].tolist()
    assert target == pytest.approx([24.5 / 31 * 2 - 1, 5.5 / 31 * 2 - 1])


def test_track_succeeds_with_three_steps_in_four():
    task, still = Track(side=31, others=0, fovea=4), torch.zeros(1, 1, 2)
    for held, success in ((3, True), (2, False)):
        state = track_by_hand(speed=still)
        for t in range(2, 6):
            x, y = (26.5, 4.5) if t - 2 < held else (5, 5)
            outcome = task.step(state, deed(x, y, side=31, t=t))
            state = outcome.state
        assert outcome.success.tolist() == [success]
    done = task.step(state, deed(26.5, 4.5, side=31, counts=False, t=5))
    assert done.terms["tracking"].tolist() == [0]
    assert torch.equal(done.state["held"], state["held"]), "who has ended holds nothing more"


def test_track_stays_in_the_scene_for_as_long_as_it_goes():
    task = Track(side=31, others=3, speed=9.0)
    state = task.begin(keys(50))
    for t in range(1, 60):
        corner = task.corners(state | {"t": torch.full((50,), t)})
        assert corner.min() >= 0
        assert corner.max() <= 24


@pytest.mark.parametrize("options", [{"side": 7}, {"others": -1}, {"speed": -1}, {"drift": -0.5}])
def test_track_refuses_what_makes_no_sense(options):
    with pytest.raises(ValueError, match="side must be over 7; others, speed and drift 0 or more"):
        Track(**options)


def catch_by_hand(**entries):
    """On a screen of 5, a ball that starts in column 3 and drifts a column a row."""
    return {
        "start": torch.tensor([3.5]),
        "drift": torch.tensor([1.0]),
        "paddle": torch.tensor([1]),
        "t": torch.tensor([1]),
    } | entries


def test_catch_the_ball_falls_and_bounces_off_the_walls():
    task = Catch(side=5, glimpses=5)

    def ball(state, t):
        return [int(each) for each in task.ball(state | {"t": torch.tensor([t])})]

    falling = [ball(catch_by_hand(), t) for t in range(1, 6)]
    assert falling == [[3, 0], [4, 1], [4, 2], [3, 3], [2, 4]]
    left = catch_by_hand(start=torch.tensor([0.5]), drift=torch.tensor([-1.0]))
    assert [ball(left, t)[0] for t in range(1, 6)] == [0, 0, 1, 2, 3]
    # Five glimpses on a screen of nine: two rows a step.
    tall = Catch(side=9, glimpses=5)
    rows = [int(tall.ball(catch_by_hand(t=torch.tensor([t])))[1]) for t in range(1, 6)]
    assert rows == [0, 2, 4, 6, 8]


def test_catch_shows_ball_and_paddle():
    frame = Catch(side=5, glimpses=5).frames(catch_by_hand(t=torch.tensor([2])))[0, 0]
    want = torch.zeros(5, 5, dtype=torch.uint8)
    want[1, 4] = want[4, 1] = want[4, 2] = 255
    assert torch.equal(frame, want)


@pytest.mark.parametrize(
    ("moves", "paddles", "paid"),
    [
        ([1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]),  # the ball lands in column 2
        ([0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]),
        ([2, 2, 2, 2], [2, 3, 3, 3], [0, 0, 0, 0]),
        ([2, -1, -1, 1], [2, 2, 2, 2], [0, 0, 0, 1]),
        ([2, 2, 1, 0], [2, 3, 3, 2], [0, 0, 0, 1]),  # the paddle moves before the ball lands
    ],
)
def test_catch_pays_when_the_ball_lands_on_the_paddle(moves, paddles, paid):
    task, state = Catch(side=5, glimpses=5), catch_by_hand()
    for t, (move, paddle, reward) in enumerate(zip(moves, paddles, paid, strict=True), 2):
        outcome = task.step(state, deed(decision=move, t=t))
        state = outcome.state
        assert state["paddle"].tolist() == [paddle]
        assert outcome.terms["catch"].tolist() == [reward]
        assert outcome.success.tolist() == [bool(reward)]
    assert not task.step(state, deed(decision=1, counts=False, t=5)).terms["catch"].any()


def test_catch_balls_start_anywhere_and_drift_both_ways():
    task = Catch(side=12, glimpses=12, drift=2.0)
    state = task.begin(keys(2000))
    columns = task.ball(state)[0]
    assert np.bincount(columns, minlength=12).min() > 100
    assert state["paddle"].unique().tolist() == [5]
    assert state["drift"].abs().max() <= 2
    assert 0.4 < (state["drift"] > 0).float().mean() < 0.6
    for t in range(1, 13):
        columns = task.ball(state | {"t": torch.full((2000,), t)})[0]
        assert columns.min() == 0
        assert columns.max() == 11
    seen = torch.stack(task.ball(state), 1)[0]
    want = ((seen + 0.5) / 12 * 2 - 1).tolist()
    assert task.truth(state)["ball"][0].tolist() == pytest.approx(want)


@pytest.mark.parametrize("options", [{"side": 2}, {"drift": -1.0}])
def test_catch_refuses_what_makes_no_sense(options):
    with pytest.raises(ValueError, match="side must be over 2 and drift 0 or more"):
        Catch(**options)
