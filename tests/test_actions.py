"""The action faces: their spaces, what their numbers mean, and what they refuse."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from saccade.envs.actions import ActionFace

CPU = torch.device("cpu")
HERE = torch.tensor([[0.25, -0.5], [0.0, 1.0], [0.5, 0.5]])
MODES = ("box", "multidiscrete", "discrete", "dict")
UNDECIDED = {"decisions": 3, "undecided": True}
DEEDS = {"decisions": 3, "answers": False}


def decode(face, actions, here=HERE):
    """Gaze and decision as lists, of as many rows as there are actions."""
    count = len(next(iter(actions.values())) if isinstance(actions, dict) else actions)
    gaze, decision = face.decode(face.read(actions, count, CPU), here[:count])
    assert gaze.dtype == torch.float32
    assert gaze.shape == (count, 2)
    assert decision.dtype == torch.int64
    return gaze.tolist(), decision.tolist()


def box(size):
    return spaces.Box(-1, 1, (size,), np.float32)


@pytest.mark.parametrize(
    ("mode", "options", "space"),
    [
        ("box", {}, box(2)),
        ("box", {"decisions": 3}, box(5)),
        ("box", UNDECIDED, box(6)),
        ("multidiscrete", {}, spaces.MultiDiscrete([4, 4])),
        ("multidiscrete", {"decisions": 3}, spaces.MultiDiscrete([4, 4, 3])),
        ("multidiscrete", UNDECIDED, spaces.MultiDiscrete([4, 4, 4])),
        ("discrete", {}, spaces.Discrete(16)),
        ("discrete", {"answers": False}, spaces.Discrete(16)),
        ("discrete", {"decisions": 3}, spaces.Discrete(19)),
        ("discrete", UNDECIDED, spaces.Discrete(19)),
        ("discrete", DEEDS, spaces.Discrete(48)),
        ("dict", {}, spaces.Dict(gaze=box(2))),
        ("dict", {"decisions": 3}, spaces.Dict(gaze=box(2), decision=spaces.Discrete(3))),
        ("dict", UNDECIDED, spaces.Dict(gaze=box(2), decision=spaces.Discrete(4))),
    ],
)
def test_spaces(mode, options, space):
    assert ActionFace(mode, grid=4, **options).space == space


def test_box_is_gaze_then_scores():
    face = ActionFace("box", decisions=3)
    actions = [[0.5, -0.25, 0, 0.1, -1], [1.5, 0, -0.5, -0.5, -0.25], [0, 0, 0.2, 0.2, 0.2]]
    gaze, decision = decode(face, np.array(actions))
    assert gaze == [[0.5, -0.25], [1.5, 0], [0, 0]], "unclipped: the core clips, and says so"
    assert decision == [1, 2, 0], "the first of equal scores"


def test_relative_gaze_moves_by_reach():
    face = ActionFace("box", "relative", reach=0.5)
    gaze, decision = decode(face, np.array([[1, -1], [0.5, 0.5], [0, 0]], np.float32))
    assert gaze == [[0.75, -1], [0.25, 1.25], [0.5, 0.5]]
    assert decision == [-1, -1, -1]


def test_the_last_choice_is_to_look_on():
    scores = np.array([[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0]])
    assert decode(ActionFace("box", **UNDECIDED), scores)[1] == [-1, 2]
    assert decode(ActionFace("multidiscrete", **UNDECIDED), [[0, 0, 3], [0, 0, 2]])[1] == [-1, 2]
    actions = {"gaze": np.zeros((2, 2)), "decision": np.array([3, 2])}
    assert decode(ActionFace("dict", **UNDECIDED), actions)[1] == [-1, 2]


def test_multidiscrete_counts_columns_and_rows_of_a_grid():
    # Four fields on a side: centers at -3/4, -1/4, 1/4, 3/4.
    face = ActionFace("multidiscrete", decisions=3, grid=4)
    gaze, decision = decode(face, np.array([[0, 3, 2], [1, 1, 0]]))
    assert gaze == [[-0.75, 0.75], [-0.25, -0.25]]
    assert decision == [2, 0]
    # Five moves on an axis, -1, -1/2, 0, 1/2, 1 of the reach of 0.4, from (0.25, -0.5).
    face = ActionFace("multidiscrete", "relative", grid=5, reach=0.5)
    gaze, decision = decode(face, np.array([[4, 2], [0, 1]]))
    assert gaze == [[0.75, -0.5], [-0.5, 0.75]]
    assert decision == [-1, -1]


def test_discrete_is_a_place_or_an_answer():
    face = ActionFace("discrete", decisions=3, grid=4)
    gaze, decision = decode(face, np.array([0, 7, 18]))
    # Place 7 is column 3 of row 1; who answers (16 and more) looks on where it looks.
    assert gaze == [[-0.75, -0.75], [0.75, -0.25], [0.5, 0.5]]
    assert decision == [-1, -1, 2]
    gaze, decision = decode(ActionFace("discrete", "relative", decisions=3, grid=2), [3, 4])
    assert gaze == [[0.75, 0.0], [0.0, 1.0]]
    assert decision == [-1, 0]


def test_discrete_is_a_place_and_a_deed_where_each_step_wants_both():
    gaze, decision = decode(ActionFace("discrete", grid=4, **DEEDS), np.array([0, 22, 47]))
    # 22 = 7 * 3 + 1, 47 = 15 * 3 + 2.
    assert gaze == [[-0.75, -0.75], [0.75, -0.25], [0.75, 0.75]]
    assert decision == [0, 1, 2]
    gaze, decision = decode(ActionFace("discrete", grid=4, answers=False), np.array([0, 7]))
    assert gaze == [[-0.75, -0.75], [0.75, -0.25]]
    assert decision == [-1, -1]


def test_dict_is_gaze_and_decision():
    actions = {"gaze": np.array([[0.5, 2.0]]), "decision": np.array([1])}
    assert decode(ActionFace("dict", decisions=3), actions) == ([[0.5, 2.0]], [1])
    assert decode(ActionFace("dict"), {"gaze": torch.ones(1, 2)}) == ([[1, 1]], [-1])


def some_face(draw):
    return ActionFace(
        draw(st.sampled_from(MODES)),
        draw(st.sampled_from(["absolute", "relative"])),
        decisions=draw(st.integers(0, 4)),
        answers=draw(st.booleans()),
        grid=draw(st.integers(2, 9)),
        reach=draw(st.floats(0.1, 2)),
    )


@given(st.data())
def test_every_action_of_the_space_means_something(data):
    face = some_face(data.draw)
    face.space.seed(data.draw(st.integers(0, 99)))
    action = face.space.sample()
    batch = (
        {name: value[None] for name, value in action.items()}
        if isinstance(action, dict)
        else np.asarray(action)[None]
    )
    gaze, decision = decode(face, batch)
    assert np.isfinite(gaze).all()
    assert -1 <= decision[0] < max(face.decisions, 1)
    if face.gaze_mode == "absolute" and decision == [-1]:
        assert np.abs(gaze).max() <= 1
    else:
        assert np.abs(gaze - HERE[:1].numpy()).max() <= 2 + 1e-6
    as_tensors = (
        {name: torch.from_numpy(value) for name, value in batch.items()}
        if isinstance(batch, dict)
        else torch.from_numpy(batch)
    )
    assert decode(face, as_tensors) == (gaze, decision)


def test_a_grid_of_fields_reaches_every_place_of_a_row_once():
    face = ActionFace("discrete", grid=8)
    gaze, _ = decode(face, np.arange(64), torch.zeros(64, 2))
    assert len({tuple(each) for each in gaze}) == 64
    assert gaze[1][0] > gaze[0][0], "x runs along a row"
    assert gaze[8][1] > gaze[0][1]


@pytest.mark.parametrize(
    ("mode", "actions", "message"),
    [
        ("box", np.full((1, 5), np.nan), "finite numbers"),
        ("box", np.array([[0, np.inf, 0, 0, 0]]), "finite numbers"),
        ("box", torch.full((1, 5), torch.nan), "finite numbers"),
        ("box", np.zeros((1, 4)), r"\(1, 5\) numbers of Box.*got \(1, 4\)"),
        ("box", np.zeros(5), r"got \(5,\)"),
        ("box", np.zeros((2, 5)), r"got \(2, 5\)"),
        ("box", np.zeros((1, 5), bool), "cannot hold bool"),
        ("box", np.zeros((1, 5), complex), "cannot hold complex"),
        ("box", np.array([["a"] * 5]), "cannot hold"),
        ("box", None, "cannot hold object"),
        ("box", torch.zeros(1, 5, dtype=torch.bool), "cannot hold torch.bool"),
        ("multidiscrete", np.array([[0, 8, 0]]), r"outside of MultiDiscrete.*\[8\]"),
        ("multidiscrete", np.array([[0, 0, 3]]), r"\[3\]"),
        ("multidiscrete", np.array([[-1, 0, 0]]), r"\[-1\]"),
        ("multidiscrete", np.zeros((1, 3)), "cannot hold float64"),
        ("multidiscrete", np.zeros((1, 2), int), r"got \(1, 2\)"),
        ("discrete", np.array([67]), r"outside of Discrete\(67\): \[67\]"),
        ("discrete", torch.tensor([-1]), r"\[-1\]"),
        ("discrete", torch.tensor([1.0]), "cannot hold torch.float32"),
        ("discrete", torch.tensor([True]), "cannot hold torch.bool"),
        ("discrete", np.array([[3]]), r"got \(1, 1\)"),
        ("dict", np.zeros((1, 2)), "a dict with 'decision' and 'gaze'"),
        ("dict", {"gaze": np.zeros((1, 2))}, "a dict with 'decision' and 'gaze'"),
        (
            "dict",
            {"gaze": np.zeros((1, 2)), "decision": np.array([0]), "more": 1},
            "a dict with 'decision' and 'gaze'",
        ),
        ("dict", {"gaze": np.zeros((1, 2)), "decision": np.array([3])}, r"Discrete\(3\): \[3\]"),
        ("dict", {"gaze": np.full((1, 2), np.nan), "decision": np.array([0])}, "finite"),
    ],
)
def test_bad_actions_are_refused(mode, actions, message):
    with pytest.raises(ValueError, match=message):
        ActionFace(mode, decisions=3).read(actions, 1, CPU)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tuple"}, "action_mode is one of box, multidiscrete, discrete, dict"),
        ({"gaze_mode": "polar"}, "gaze_mode is absolute or relative, got 'polar'"),
        ({"grid": 1}, "grid must be 2 or more, got 1"),
        ({"reach": 0.0}, "reach must be over 0 and at most 2"),
        ({"reach": 2.5}, "got 2.5"),
        ({"reach": float("nan")}, "got nan"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ActionFace(**options)


def test_reading_copies_what_is_given():
    own = np.array([[0.5, 0.5]], np.float32)
    read = ActionFace("box").read(own, 1, CPU)
    own[:] = 0
    assert read["action"].tolist() == [[0.5, 0.5]]


def test_no_gradient_comes_in_with_an_action():
    read = ActionFace("box").read(torch.zeros(1, 2, requires_grad=True), 1, CPU)
    assert not read["action"].requires_grad


def test_of_many_actions_an_error_shows_the_bad_ones():
    actions = np.zeros((4096, 2), np.float32)
    actions[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"finite numbers .*\[\[0.0, nan\]\]$"):
        ActionFace("box").read(actions, 4096, CPU)
