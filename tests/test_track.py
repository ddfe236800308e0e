"""Track, by numbers worked out by hand: what is shown, what is paid, when it is a success."""

import pytest
import torch

from saccade.envs import Track
from saccade.envs.track import bounce
from tests.deeds import deed, keys


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
