"""Probe worlds, each of which isolates one ability and is learned in seconds."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from saccade.agents.objectives import hybrid_losses
from saccade.agents.rollout import rollout
from saccade.counter import fold, integers, make_key, row_keys
from saccade.envs import Deed, GazeCore, Outcome, State
from saccade.envs.task import Stop
from saccade.network import GazeNetwork
from saccade.retina import Retina


@dataclass(frozen=True)
class Pointer:
    """The center says at which of two places the answer stands; the other may hold a decoy.

    With `shown` the center holds the answer itself, and no gaze is needed.
    """

    shown: bool = False
    decisions: int = 2
    shape: tuple[int, int, int] = (1, 24, 24)
    answers: bool = True
    moving: bool = False
    stops: tuple[Stop, ...] = ("budget",)

    def begin(self, key: Tensor, index: Tensor | None = None) -> State:
        place = integers(fold(key, "place"), 2, 1)[:, 0]
        marks = integers(fold(key, "marks"), 2, 2)  # (N, 2), of which one is the answer
        return {"place": place, "marks": marks, "label": marks.gather(1, place[:, None])[:, 0]}

    def frames(self, state: State) -> Tensor:
        scenes = torch.zeros(len(state["label"]), 1, 24, 24, dtype=torch.uint8)
        for number, left in enumerate((3, 17)):
            value = (80 + 175 * state["marks"][:, number]).to(torch.uint8)
            scenes[:, 0, 8:16, left : left + 4] = value[:, None, None]
        told = state["label"] if self.shown else state["place"]
        half = torch.arange(24)[None] // 3 == 3 + told[:, None]  # (N, 24): columns 9-11 or 12-14
        scenes[:, 0, 9:15] += (255 * half[:, None]).to(torch.uint8)
        return scenes

    def step(self, state: State, deed: Deed) -> Outcome:
        right = (deed.decision == state["label"]) & deed.counts
        return Outcome(state, {"decision": right.float()}, right)

    def truth(self, state: State) -> dict[str, Tensor]:
        return {"label": state["label"]}


def learn(task, glimpses, updates, *, rollouts=1, gaze="learned", **choices):
    torch.manual_seed(0)
    retina = Retina(6, 1)
    network = GazeNetwork(retina, 1, 2, what=32, where=16, hidden=48, policy_hidden=32)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    core = GazeCore(task, retina, glimpses, 128 // rollouts, rollouts=rollouts)
    options = {"reward": "terminal", "baseline": "learned"} | choices

    def play(update, sigma):
        key = row_keys(fold(make_key(0), update), core.rows // rollouts)
        return rollout(network, core, key=key, gaze=gaze, sigma=sigma)

    for update in range(updates):
        played = play(update, sigma=0.4)
        losses = hybrid_losses(played, sigma=0.4, rollouts=rollouts, **options)
        optimizer.zero_grad()
        (losses.classify + 0.1 * losses.policy + losses.baseline).backward()
        optimizer.step()
    with torch.no_grad():
        played = [play(10**6 + number, sigma=0.0) for number in range(8)]
    return float(torch.cat([each.scanpath.rewards[:, -1] for each in played]).mean())


def test_reads_what_stands_at_the_center():
    assert learn(Pointer(shown=True), glimpses=1, updates=60) > 0.99


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"reward": "dense"},
        {"rollouts": 4, "baseline": "leave-one-out"},
    ],
    ids=["terminal", "dense", "leave-one-out"],
)
def test_looks_where_the_last_glimpse_pointed(choices):
    assert learn(Pointer(), glimpses=2, updates=400, **choices) > 0.95


def test_without_looking_there_it_cannot_know():
    assert learn(Pointer(), glimpses=2, updates=300, gaze="center") < 0.6
