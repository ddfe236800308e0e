"""Search, by numbers worked out by hand: what is shown, what is paid, when it is a success."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saccade.envs import Search
from saccade.envs.search import item_stencils
from saccade.retina import Retina
from tests.deeds import deed, keys

SMALL = Search(side=32, items=3, fovea=4)


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
