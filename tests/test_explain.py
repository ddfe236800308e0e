import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from saccade.agent import Agent, AgentSpec
from saccade.explain import draw_changes, leave_out
from saccade.pictures import time_colors
from saccade.retina import Retina
from tests.episodes import CLASSES, render, two_episodes


def make_agent(core="rnn", channels=3, retina=None, canvas=0):
    spec = AgentSpec(
        retina=retina or Retina(4, 3),
        glimpses=4,
        first="random",
        channels=channels,
        height=24,
        width=36,
        classes=tuple(CLASSES),
        network={
            "what": 12,
            "where": 8,
            "hidden": 16,
            "policy_hidden": 8,
            "core": core,
            "canvas": canvas,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Agent(spec.build().eval(), spec)


@torch.no_grad()
def slow_leave_out(agent, scanpath, n, left_out):
    """One episode, one glimpse after the other, as they come."""
    network, state = agent.network, agent.network.start(1)
    for t in range(int(scanpath.stop[n])):
        if t != left_out:
            glimpse, location = scanpath.glimpses[n : n + 1, t], scanpath.locations[n : n + 1, t]
            state = network.see(glimpse, location, state)
    return network.answer(state).softmax(-1)[0]


@pytest.mark.parametrize(
    ("core", "canvas"), [("rnn", 0), ("rnn-norm", 0), ("gru", 0), ("lstm", 0), ("lstm", 2)]
)
def test_leave_out_is_what_one_gets_by_leaving_out(core, canvas):
    agent, (_, path) = make_agent(core, canvas=canvas), two_episodes()
    without = leave_out(agent, path)
    assert without.shape == path.beliefs.shape
    assert not without.requires_grad
    for n in range(2):
        for t in range(4):
            truth = slow_leave_out(agent, path, n, t)
            torch.testing.assert_close(without[n, t], truth, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(without[0, 0], without[0, 1])


def test_glimpses_that_were_not_taken_change_nothing():
    agent, (_, path) = make_agent(), two_episodes()
    path.glimpses[1, 2:] = float("nan")
    without = leave_out(agent, path)
    assert without.isfinite().all()
    whole = slow_leave_out(agent, path, 1, None)
    torch.testing.assert_close(without[1, 2:], whole.expand(2, -1))


def test_what_an_agent_saw_itself_fits_it():
    agent, (scenes, _) = make_agent(), two_episodes()
    path = agent.look(scenes)
    without = leave_out(agent, path)
    # With nothing left out the beliefs are the recorded ones.
    longer = dataclasses.replace(path, stop=torch.tensor([3, 3]))
    torch.testing.assert_close(leave_out(agent, longer)[:, 3], path.beliefs[:, 2])
    # Without the last glimpse they are those before it.
    torch.testing.assert_close(without[:, 3], path.beliefs[:, 2])


def test_an_agent_that_cannot_have_seen_it_is_refused():
    _, path = two_episodes()
    for agent in (make_agent(channels=1), make_agent(retina=Retina(4, 2))):
        with pytest.raises(ValueError, match="give the agent that made it"):
            leave_out(agent, path)
    one = dataclasses.replace(path, beliefs=path.beliefs[..., :2])
    with pytest.raises(ValueError, match="and 2 classes, the agent"):
        leave_out(make_agent(), one)


def test_draw_changes_by_hand():
    _, path = two_episodes()
    path.beliefs[0, :, 1] = torch.tensor([0.5, 0.2, 0.6, 0.9])
    without = torch.zeros_like(path.beliefs)
    without[0, :, 1] = torch.tensor([0.9, 0.8, 0.1, 0.6])
    ax = Figure().add_subplot()
    assert draw_changes(path, 0, CLASSES, without, answer=1, ax=ax) is ax
    bars = [(bar.get_center()[0], bar.get_y(), bar.get_height()) for bar in ax.patches]
    moved = [(1, 1 / 3, 0.5 - 1 / 3), (2, 0.5, -0.3), (3, 0.2, 0.4), (4, 0.6, 0.3)]
    np.testing.assert_allclose(bars, moved, atol=1e-6)
    np.testing.assert_allclose([bar.get_facecolor()[:3] for bar in ax.patches], time_colors(4))
    rings = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(rings, [(1, 0.9), (2, 0.8), (3, 0.1), (4, 0.6)], atol=1e-6)
    assert ax.lines[0].get_ydata()[0] == pytest.approx(0.9)
    assert ax.get_title(loc="left") == "belief in bee"
    path.beliefs[1, 1] = torch.tensor([0.2, 0.1, 0.7])
    ax = draw_changes(path, 1, CLASSES, without)  # its last answer, after two glimpses
    assert ax.get_title(loc="left") == "belief in cat"
    assert len(ax.patches) == 2
    assert render(ax.figure).any()


def test_draw_changes_refuses_what_does_not_fit():
    _, path = two_episodes()
    with pytest.raises(ValueError, match="give what leave_out gave"):
        draw_changes(path, 0, CLASSES, path.beliefs[:, :2])
    with pytest.raises(ValueError, match="there is no class 3 among 3"):
        draw_changes(path, 0, CLASSES, path.beliefs, answer=3)
    with pytest.raises(ValueError, match="beliefs in 3 classes, 2 are named"):
        draw_changes(path, 0, CLASSES[:2], path.beliefs)
