"""One action for body and eye: packed, checked, parted, and where it makes the eye look."""

import numpy as np
import pytest
from gymnasium import spaces

from tests.pixels import MOTORS, eyed


@pytest.mark.parametrize("layout", ["flat", "dict"])
@pytest.mark.parametrize("motor", list(MOTORS))
def test_the_environment_gets_its_own_action(motor, layout):
    own = MOTORS[motor]
    if layout == "flat" and motor in ("dict", "pixels"):
        with pytest.raises(ValueError, match="action_layout='dict'"):
            eyed({"motor": motor})
        return
    env = eyed({"motor": motor}, action_layout=layout)
    env.action_space.seed(0)
    for seed in range(5):
        env.reset(seed=seed)
        action = env.action_space.sample()
        env.step(action)
        received = env.env.received[-1]
        assert received in own
        assert getattr(received, "dtype", None) == own.dtype
        if layout == "dict":
            assert received is action["motor"]
        elif motor in ("discrete", "plain"):
            assert isinstance(received, np.int64)
            assert received == action[0] + own.start
        elif motor == "multidiscrete":
            assert np.array_equal(received, action[:4].reshape(2, 2) + own.start)
        else:
            assert np.array_equal(received, action[:2].reshape(own.shape))


def test_action_spaces_are_the_motors_and_two_more():
    spaces_of = {name: eyed({"motor": name}, grid=7).action_space for name in list(MOTORS)[:5]}
    assert spaces_of["discrete"] == spaces.MultiDiscrete([3, 7, 7])
    assert spaces_of["multidiscrete"] == spaces.MultiDiscrete([3, 2, 4, 5, 7, 7])
    assert spaces_of["multibinary"] == spaces.MultiDiscrete([2, 2, 7, 7])
    box = spaces_of["box"]
    assert box.low.tolist() == [-2, 0, -1, -1]
    assert box.high.tolist() == [2, np.inf, 1, 1]
    assert box.dtype == np.float32
    both = eyed(action_layout="dict").action_space
    assert both["motor"] is not MOTORS["discrete"]  # seeding one does not seed the other
    assert both["gaze"] == spaces.Box(-1, 1, (2,), np.float32)
    assert both["motor"] == MOTORS["discrete"]


def test_a_gaze_of_whole_numbers_chooses_a_field_or_a_move():
    env = eyed(grid=4)
    env.reset(seed=0)
    assert env.step(np.array([0, 0, 3]))[0]["gaze"].tolist() == [-0.75, 0.75]
    env = eyed(gaze_mode="relative", grid=3, reach=0.5)
    env.reset(seed=0)
    observation, *_, info = env.step(np.array([0, 2, 0]))
    assert observation["gaze"].tolist() == [0.5, -0.5]
    assert info["gaze_clipped"] is False
    assert env.step(np.array([0, 1, 1]))[0]["gaze"].tolist() == [0.5, -0.5]
    env = eyed(gaze_mode="relative", grid=3, reach=0.75)
    env.reset(seed=0)
    env.step(np.array([0, 2, 1]))
    observation, *_, info = env.step(np.array([0, 2, 1]))
    assert observation["gaze"].tolist() == [1, 0]
    assert info["gaze_clipped"] is True


def test_a_gaze_of_numbers_goes_there_or_moves_and_is_clipped_at_the_edge():
    env = eyed({"motor": "unit"})
    env.reset(seed=0)
    observation, *_, info = env.step(np.array([0, 0, 0.5, -3], np.float32))
    assert observation["gaze"].tolist() == [0.5, -1]
    assert info["gaze_clipped"] is True
    env = eyed({"motor": "unit"}, gaze_mode="relative", reach=0.5, first=(0.25, 0))
    env.reset(seed=0)
    observation, *_, info = env.step(np.array([0, 0, -1, 0.5], np.float32))
    assert observation["gaze"].tolist() == [-0.25, 0.25]
    assert info["gaze_clipped"] is False


BAD = [
    ({}, [0, 1], r"\(3,\) numbers"),
    ({}, [[0, 1, 1]], r"\(3,\) numbers"),
    ({}, [0, 1, 5], "outside"),
    ({}, [0, -1, 1], "outside"),
    ({}, [3, 1, 1], "outside"),
    ({}, [0.0, 1.0, 1.0], "float64"),
    ({}, None, "numbers"),
    ({"motor": "unit"}, [0, 0, np.nan, 0], "finite"),
    ({"motor": "unit"}, [0, np.inf, 0, 0], "finite"),
    ({"motor": "unit"}, [0, 0, 0], r"\(4,\) numbers"),
    ({"motor": "unit"}, ["a", "b", "c", "d"], "cannot hold"),
]


@pytest.mark.parametrize(("options", "action", "message"), BAD)
def test_bad_actions_are_named_and_move_nothing(options, action, message):
    env = eyed(options)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert env.env.received == []
    assert env.gaze.tolist() == [0, 0]


def test_bad_dict_actions_are_named():
    env = eyed(action_layout="dict")
    env.reset(seed=0)
    gaze = np.zeros(2, np.float32)
    for action, message in [
        ({"motor": 0}, "dict of 'motor' and 'gaze'"),
        (np.zeros(3), "dict of 'motor' and 'gaze'"),
        ({"motor": 0, "gaze": gaze * np.nan}, "finite"),
        ({"motor": 0, "gaze": gaze[:1]}, r"\(2,\)"),
        ({"motor": 5, "gaze": gaze}, "outside"),
        ({"motor": 0.5, "gaze": gaze}, "float64"),
        ({"motor": [0, 0], "gaze": gaze}, "motor actions"),
    ]:
        with pytest.raises(ValueError, match=message):
            env.step(action)
    assert env.step({"motor": 1, "gaze": gaze + 0.5})[0]["gaze"].tolist() == [0.5, 0.5]
