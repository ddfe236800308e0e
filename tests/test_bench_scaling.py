"""Cost against image size: systems, counts, pairings by hand, and the script on tiny settings."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from saccade.agents import scaling, scaling_agent, scaling_train
from saccade.agents.dense import CROP, FAMILY, FIELD, DenseReader, Member, crop_true, shrink
from saccade.agents.scaling_agent import (
    GLIMPSES,
    PlaceAgent,
    Reading,
)
from saccade.agents.scaling_cost import count_cost, time_systems
from saccade.agents.scaling_page import MARKS, draw_scaling, make_table, write_page
from saccade.agents.scaling_train import (
    Plan,
    train_agent,
    train_dense,
)
from saccade.data import Splits
from saccade.digits import draw_digits
from saccade.kernels import KERNELS
from saccade.retina import Retina

SCRIPT = Path(__file__).parent.parent / "scripts/bench_scaling.py"
KEYS = {
    "side", "series", "background", "method", "seconds", "prepare_seconds", "total_seconds",
    "error", "interval", "scenes", "flops", "peak_bytes", "bytes_read", "trained", "device",
    "threads", "params", "choice", "train_minutes", "command", "commit", "versions", "hardware",
    "precision", "data", "photos", "glimpses",
}  # fmt: skip


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    return PlaceAgent().eval()


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
def test_one_reader_serves_scenes_of_any_side(factor):
    torch.manual_seed(factor)
    reader = DenseReader(Member(4, factor)).eval()
    image = torch.zeros(1, 1, 256, 256, dtype=torch.uint8)
    image[:, :, 64:128, 64:128] = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8)
    large = torch.zeros(1, 1, 512, 512, dtype=torch.uint8)
    large[:, :, 256:512, 256:512] = image
    member = reader.member
    one, other = (reader(member.prepare(each)) for each in (image, large))
    assert one.shape == (1, 10)
    moved = torch.zeros_like(large)
    moved[:, :, 128:384, 64:320] = image  # the same scene elsewhere on the same black
    assert torch.allclose(other, reader(member.prepare(moved)), atol=1e-5)
    assert (other >= one - 1e-5).all()  # what was seen there is seen here, among more of black


def test_members_learn_where_a_place_sees_a_digit():
    for member in (Member(4, 1), Member(4, 8, deep=True)):
        reader = DenseReader(member).eval()
        pixels = torch.rand(1, 1, 200, 200, requires_grad=True)
        for layer in reader.body:
            if isinstance(layer, torch.nn.ReLU):
                layer.inplace = False
        reader.body(pixels)[0, :, 12, 12].sum().backward()
        seen = pixels.grad[0, 0].nonzero()
        spans = seen.amax(0) - seen.amin(0) + 1
        assert 0.8 * FIELD < int(spans.min()) <= int(spans.max()) <= FIELD
        # Digits are 28 of 100 pixels wide: 47 wide in a scene of 167.
        assert [member.fits(side * member.factor) for side in (47, 48, 167, 168)] == [
            False, True, True, False
        ]  # fmt: skip
    system = scaling.dense_system(DenseReader(Member(4, 16, deep=True)), "proportional", 0.0)
    assert [system.trained(side) for side in (512, 768, 1024, 2048)] == [False, True, True, False]
    fixed = scaling.dense_system(DenseReader(Member(4, fixed=100)), "proportional", 0.0)
    assert fixed.trained(4096)


@pytest.mark.parametrize("member", [CROP, Member(4, 1), Member(4, 4)])
def test_folding_changes_nothing(member):
    torch.manual_seed(1)
    reader = DenseReader(member)
    images = torch.randint(0, 256, (6, 1, 48, 48), dtype=torch.uint8)
    for _ in range(3):
        reader(images)  # in training: gives the normalizations something to remember
    reader.eval()
    scaled = reader.body(images / 255).amax((2, 3))
    assert torch.allclose(reader.folded()(images), scaled, atol=1e-4)


def test_crops_are_around_the_true_place():
    image = torch.arange(200 * 200).view(1, 1, 200, 200).remainder(251).byte()
    crop = crop_true(image, torch.tensor([[70.0, 90.0]]), "detail")
    assert torch.equal(crop, image[:, :, 70:110, 50:90])
    corner = crop_true(image, torch.tensor([[199.0, 3.0]]), "detail")
    assert torch.equal(corner, image[:, :, :40, 160:])
    assert crop_true(image, torch.tensor([[70.0, 90.0]]), "proportional").shape == (1, 1, 40, 40)


def test_shrinking_takes_means():
    image = torch.tensor([[0, 4, 8, 8], [4, 8, 8, 8], [1, 1, 0, 0], [1, 1, 0, 0]]).byte()
    assert shrink(image[None, None], 2)[0, 0].tolist() == [[4, 8], [1, 0]]


@pytest.mark.parametrize(("side", "factor"), [(9, 5), (24, 8), (128, 16), (16, 32), (3, 64)])
def test_what_the_retina_shrinks_is_opencvs_bytes(side, factor, monkeypatch):
    shape = (2, 1, side * factor, side * factor)
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(side)).byte()
    images[0, 0, ::2], images[0, 0, 1::2] = 3, 4  # means of 3.5, to be rounded to the even one
    if reason := KERNELS["compiled"].refusal(images, Retina(side, 2, factor)):
        pytest.skip(reason)
    seen = shrink(images, side)
    monkeypatch.setenv("SACCADE_COMPILED", "0")
    assert torch.equal(seen, shrink(images, side))
    assert seen.unique().numel() > 1
    assert set(seen[0].unique().tolist()) <= {3, 4}


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
    assert other["peak_bytes"] - one["peak_bytes"] == 1024**2 - 256**2


def test_flops_of_a_reader_by_hand():
    system = scaling.dense_system(DenseReader(Member(4, 16)).eval(), "detail", 0.0)
    images = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    scene = scaling.PlateScene(images, torch.zeros(1), torch.zeros(1, 2), torch.zeros(1, 0, 2))
    cost = count_cost(system, [scene, scene])
    macs = 16 * (9 * 1 * 4 + 9 * 4 * 8 + 9 * 8 * 16 + 16 * 10)
    assert cost["flops"] == 2 * macs
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
    same, equal = scaling.equal_error(rows, 9)
    assert (same["method"], equal) == ("fcn-8/1", True)
    assert scaling.equal_cost(rows, 9)["method"] == "fcn-16/8"
    rows[0]["error"] = 0.1
    same, equal = scaling.equal_error(rows, 9)
    assert (same["method"], equal) == ("fcn-32/2", False)
    rows[0]["seconds"] = 1000.0
    assert scaling.equal_cost(rows, 9)["method"] == "fcn-32/2"


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


@pytest.fixture(scope="module")
def bench():
    kept = sys.argv
    spec = importlib.util.spec_from_file_location("bench_scaling", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_scaling"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["bench_scaling"]
    sys.argv = kept


def test_the_script_measures_and_times_again(bench, tmp_path, monkeypatch):
    monkeypatch.delenv("SACCADE_DATA", raising=False)
    scaling.plate_photos.cache_clear()
    parts = [draw_digits(60, seed) for seed in range(3)]
    monkeypatch.setattr(scaling, "load", lambda data: Splits(*parts, name=data))
    family = {"detail": (Member(4, 2), Member(4, 16))}
    monkeypatch.setattr(scaling, "FAMILY", family)
    monkeypatch.setattr(scaling, "SIDES", (100, 128))
    for name, value in (("STORED", 2), ("SIDES", (100, 128)), ("OFTEN", (100, 128))):
        monkeypatch.setattr(scaling_train, name, value)
    monkeypatch.setattr(bench, "WORK", tmp_path / "work")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "stored.json")
    for kind in ("agent", "dense"):
        monkeypatch.setitem(bench.PLANS, ("detail", kind), Plan(1))
    out = tmp_path / "rows.json"
    words = ["bench", "--data", "digits", "--sides", "100", "128", "--series", "detail"]
    words += ["--weights", str(tmp_path / "weights"), "--scenes", "6", "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", [*words, "--json", str(out)])
    bench.main()
    rows = json.loads(out.read_text())
    methods = {"saccade", "crop-cnn", "fcn-4/2", "fcn-4/16"}
    assert methods | {"cnn-equal-cost"} <= {row["method"] for row in rows}
    assert all(set(row) >= KEYS for row in rows)
    places = {(row["side"], row["background"], row["method"]) for row in rows}
    assert len(places) == len(rows)
    assert all(r["total_seconds"] == r["seconds"] + r["prepare_seconds"] for r in rows)
    assert all(0 <= r["interval"][0] <= r["error"] <= r["interval"][1] <= 100 for r in rows)
    assert all((row["choice"] is None) == (not row["method"].startswith("cnn")) for row in rows)
    assert {row["photos"] for row in rows} == {"drawn"}
    assert {(row["side"], row["scenes"]) for row in rows} == {(100, 6), (128, 6)}

    (tmp_path / "stored.json").write_text(json.dumps(rows))
    before = {(r["background"], r["side"], r["method"]): r for r in rows}
    for kind in ("--quick", "--retime"):
        monkeypatch.setattr(sys, "argv", [*words, kind, "--json", str(out)])
        bench.main()
        again = json.loads(out.read_text())
        assert all(set(row) >= KEYS for row in again)
        timed = {row["method"] for row in again}
        assert timed >= (methods if kind == "--retime" else {"saccade", "cnn-equal-cost"})
        for new in again:
            if kind == "--retime" and new["method"] == "cnn-equal-cost":
                continue  # which is chosen depends on the times
            old = before[new["background"], new["side"], new["method"]]
            assert (new["error"], new["choice"]) == (old["error"], old["choice"])
            assert (new["scenes"], new["errors_data"]) == (old["scenes"], old["data"])
            assert new["errors_commit"] == old["commit"]

    page = tmp_path / "page.md"
    page.write_text(f"a\n{MARKS[0]}\nold\n{MARKS[1]}\nb\n")
    write_page(page, make_table(rows))
    text = page.read_text()
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert "old" not in text
    assert "fcn-4/16" in text
    draw_scaling(rows, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
    scaling.plate_photos.cache_clear()


def test_the_family_has_a_name_for_each():
    for family in FAMILY.values():
        names = [member.name for member in family]
        assert len(set(names)) == len(names)
        assert CROP not in family
    assert {member.factor for member in FAMILY["detail"]} == {1, 2, 4, 8, 16}
