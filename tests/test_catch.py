"""Catch, by numbers worked out by hand: what is shown, what is paid, when it is a success."""

import numpy as np
import pytest
import torch

from saccade.envs import Catch
from tests.deeds import deed, keys


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
