"""Cost against image size: systems, counts, trainings, and pairings by hand."""

import math

import pytest
import torch

from saccade.agents import scaling, scaling_agent, scaling_pairs, scaling_train
from saccade.agents.dense import DenseReader, Member, shrink_anywhere
from saccade.agents.scaling_agent import (
    GLIMPSES,
    PlaceAgent,
    Reading,
)
from saccade.agents.scaling_cost import count_cost, time_systems
from saccade.agents.scaling_train import (
    Plan,
    train_agent,
    train_dense,
)
from saccade.digits import draw_digits


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    return PlaceAgent().eval()


def test_the_agent_reads_as_much_at_every_side(agent, plate_maker):
    system = scaling.agent_system(agent, 1.0)
    small, large = (
        plate_maker.at(side=side)(*scaling.part_rows("test", 1, 10)) for side in (256, 1024)
    )
    one, other = (count_cost(system, [scene]) for scene in (small, large))
    for name in ("flops", "bytes_read", "params"):
        assert one[name] == other[name]
    looks = GLIMPSES - 1
    pixels = 128 * 128 + looks * (96 * 96 + 48 * 48)
    assert one["bytes_read"] == pixels + 4 * one["params"]
    assert (one["prepare_bytes_read"], other["prepare_bytes_read"]) == (256**2, 1024**2)
    assert other["peak_bytes"] - one["peak_bytes"] == 1024**2 - 256**2


@torch.inference_mode()
def test_systems_make_what_they_need_where_the_scene_is(agent, plate_maker):
    scenes = plate_maker.at(side=160)(*scaling.part_rows("test", 2, 10))
    assert [each.device for each in scenes.to(torch.device("meta"))] == [torch.device("meta")] * 4
    system = scaling.agent_system(agent.folded(), 0.0)
    dense = scaling.dense_system(DenseReader(Member(4, 4)), "detail", 0.0)
    assert system.device == dense.device == torch.device("cpu")
    key = torch.arange(4)
    with torch.device("meta"):  # where all is made of which no other place is said
        coarse = shrink_anywhere(scenes.images, 128)
        shrink_anywhere(scenes.images, 200).sum().item()
        played = agent(agent.fovea.prepare(scenes.images, looks=1), coarse, key, 2)
        read = [each.answer(scenes.images, each.prepare(scenes)) for each in (system, dense)]
        (one,) = system.answer(scenes.images[:1], coarse[:1]).looks.tolist()
    assert 1 <= one < GLIMPSES
    for tensor in (*played, *read[0], *read[1]):
        assert tensor.device == torch.device("cpu")


def test_flops_of_a_reader_by_hand():
    system = scaling.dense_system(DenseReader(Member(4, 16)).eval(), "detail", 0.0)
    images = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    scene = scaling.PlateScene(images, torch.zeros(1), torch.zeros(1, 2), torch.zeros(1, 0, 2))
    cost = count_cost(system, [scene, scene])
    macs = 16 * (9 * 1 * 4 + 9 * 4 * 8 + 9 * 8 * 16 + 16 * 10)
    assert cost["flops"] == 2 * macs
    assert cost["prepare_bytes_read"] == 64**2
    assert cost["bytes_read"] == 16 + sum(p.nbytes for p in system.network.parameters())


def test_the_wanted_belief_costs_at_most_its_price(agent, plate_maker, monkeypatch):
    monkeypatch.setattr(scaling, "SIDES", (128,))

    def play_with(beliefs):
        def forward(scene, coarse):
            count = len(coarse)
            labels = plate_maker.digits.labels[torch.arange(count) % len(plate_maker.digits)]
            logits = torch.full((count, 6, 10), -1e9)
            logits.scatter_(2, labels[:, None, None].expand(-1, 6, -1), 0.0)
            wrong = torch.full((count, 10), -1e9)
            wrong[torch.arange(count), (labels + 1) % 10] = 0.0
            for t, belief in enumerate(beliefs):  # too early: sure of another digit
                if belief is not None:
                    chance = torch.full((count, 10), (1 - belief) / 9).log()
                    chance[torch.arange(count), (labels + 1) % 10] = math.log(belief)
                    logits[:, t] = chance
            return scaling_agent.Episodes(logits, torch.zeros(0), torch.zeros(0))

        return forward

    class Fake:
        fovea = agent.fovea

        def __init__(self, beliefs):
            self.forward = play_with(beliefs)

        def __call__(self, scene, coarse):
            return self.forward(scene, coarse)

    assert scaling.find_sure(Fake([]), plate_maker, 5) == 0.5
    assert scaling.find_sure(Fake([0.75]), plate_maker, 5) == 0.8
    assert scaling.find_sure(Fake([0.75, 0.985]), plate_maker, 5) == 0.99
    assert scaling.find_sure(Fake([0.999]), plate_maker, 5) == 1.0

    class Later(Fake):  # too early at one side alone: it counts, whatever the mean
        def __call__(self, scene, coarse):
            play = play_with([0.75] if scene.width == 256 else [])
            return play(scene, coarse)

    monkeypatch.setattr(scaling, "SIDES", (128, 256))
    monkeypatch.setattr(scaling, "PRICE", 60.0)  # points; all are lost there, half in the mean
    assert scaling.find_sure(Later([]), plate_maker, 5) == 0.8


def row(method, side, seconds, error):
    return {"method": method, "side": side, "seconds": seconds, "error": error}


def test_pairings_by_hand():
    rows = [
        row("saccade", 9, 1.0, 2.0),
        row("fcn-8/1", 9, 60.0, 2.2),
        row("fcn-8/2", 9, 50.0, 2.31),
        row("fcn-32/2", 9, 70.0, 0.5),
        row("fcn-8/8", 9, 0.4, 40.0),
        row("fcn-8/4", 9, 3.0, 30.0),
        row("fcn-16/8", 9, 0.6, 35.0),
        row("fcn-8/2", 5, 5.0, 0.1),
        row("crop-cnn", 9, 0.1, 0.5),
    ]
    same, equal = scaling_pairs.equal_error(rows, 9)
    assert (same["method"], equal) == ("fcn-8/1", True)
    assert scaling_pairs.equal_cost(rows, 9)["method"] == "fcn-16/8"
    rows[0]["error"] = 2.01  # within 0.3 of 2.31, the limit included
    assert scaling_pairs.equal_error(rows, 9)[0]["method"] == "fcn-8/2"
    rows[0]["error"] = 0.1
    same, equal = scaling_pairs.equal_error(rows, 9)
    assert (same["method"], equal) == ("fcn-32/2", False)
    rows[0]["seconds"] = 1000.0
    assert scaling_pairs.equal_cost(rows, 9)["method"] == "fcn-32/2"


def test_wilson_by_hand():
    low, high = scaling.wilson(10, 100)
    assert low == pytest.approx(5.523, abs=0.01)
    assert high == pytest.approx(17.437, abs=0.01)
    assert scaling.wilson(0, 500)[0] == pytest.approx(0, abs=1e-9)


def test_wrong_answers_are_counted_once_and_kept(plate_maker, tmp_path):
    calls = []

    def answer(images, prepared):
        calls.append(len(images))
        logits = torch.nn.functional.one_hot(torch.full((len(images),), 3), 10)
        return Reading(logits, torch.arange(len(images)) % 2)

    system = scaling.System(
        "three", torch.nn.Linear(1, 1), lambda scenes: scenes.images, answer,
        lambda side, looks: 0, lambda side: True, 0.0,
    )  # fmt: skip
    there, cache = plate_maker.at(side=100), tmp_path / "errors.json"
    wrong = scaling.count_wrong([system], there, 30, "test", cache)
    index = scaling.part_rows("test", 30, len(plate_maker.digits))[0]
    assert wrong == {"three": (int((plate_maker.digits.labels[index] != 3).sum()), 1.5)}
    assert scaling.count_wrong([system], there, 30, "test", cache) == wrong
    assert sum(calls) == 30
    others = there.at(digits=draw_digits(200, 9))  # as many, but not the same
    scaling.count_wrong([system], others, 30, "test", cache)
    assert sum(calls) == 60


@pytest.mark.parametrize(
    ("tick", "turns"), [(1e-4, ["1515"]), (1.0, ["1111", "5555"])], ids=["fast", "slow"]
)
def test_times_are_means_over_scenes_of_medians(plate_maker, monkeypatch, tick, turns):
    clock, read, cold = iter(range(10**6)), [], []
    monkeypatch.setattr("saccade.agents.scaling_cost.time.perf_counter", lambda: tick * next(clock))

    def wait(images, prepared):  # longer after the other system
        read.append(int(images))
        for _ in range(int(images) + (2 if cold and not cold.clear() else 0)):
            next(clock)

    def other(images, prepared):
        read.append(0)
        cold.append(True)

    systems = [
        scaling.System(name, torch.nn.Linear(1, 1), lambda scenes: scenes.images, answers,
                       lambda side, looks: 0, lambda side: True, 0.0)
        for name, answers in (("other", other), ("one", wait))
    ]  # fmt: skip
    scenes = plate_maker.at(side=100)(*scaling.part_rows("test", 1, 10))
    ticks = [scenes._replace(images=torch.tensor(length)) for length in (1, 5)]
    times = time_systems(systems, ticks, tick * 3000)["one"]
    assert times == pytest.approx((tick, 4 * tick), rel=1e-6)
    ours = "".join(map(str, read)).replace("0", " ").split()
    assert set(ours[-8:]) == set(turns)


def test_trainings_are_taken_up_again(plate_maker, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling_train, "STORED", 2)
    monkeypatch.setattr(scaling_train, "SIDES", (100, 128))
    monkeypatch.setattr(scaling_train, "OFTEN", (100, 128))
    member, small = Member(4, 16), plate_maker.at(side=100)
    network, _ = train_dense(member, small, Plan(4), tmp_path / "a.pt")
    scaling.store(network, tmp_path / "a.safetensors", 1.5)
    again, _ = train_dense(member, small, Plan(4), tmp_path / "a.pt")
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="another plan"):
        train_dense(member, small, Plan(8), tmp_path / "a.pt")
    read = DenseReader(member)
    assert scaling.restore(read, tmp_path / "a.safetensors") == 1.5
    assert torch.allclose(read.body[0].weight, network.body[0].weight, atol=1e-3)
    with pytest.raises(FileNotFoundError, match=r"bench_scaling\.py"):
        scaling.restore(read, tmp_path / "none")
    learned, minutes = train_agent(small, Plan(2), tmp_path / "agent.pt")
    assert minutes > 0
    assert not torch.equal(learned.classifier.weight, PlaceAgent().classifier.weight)
