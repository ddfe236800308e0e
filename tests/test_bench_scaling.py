"""Cost against image size: systems, counts, pairings by hand, and the script on tiny settings."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from saccade.agents import scaling, scaling_agent, scaling_train
from saccade.agents.dense import CROP, FAMILY, DenseReader, Member, crop_true, shrink
from saccade.agents.scaling_agent import (
    GLIMPSES,
    PLACES,
    PlaceAgent,
    Reading,
    coarse_look,
    episode_loss,
    rows_for,
)
from saccade.agents.scaling_cost import count_cost, time_systems
from saccade.agents.scaling_page import MARKS, draw_scaling, make_table, write_page
from saccade.agents.scaling_train import (
    AgentLoss,
    Plan,
    imitation_loss,
    middles_of,
    scripted,
    train_agent,
    train_dense,
)
from saccade.counter import make_key, row_keys
from saccade.data import Splits
from saccade.digits import draw_digits
from saccade.plates import PlateMaker, plate_letters

SCRIPT = Path(__file__).parent.parent / "scripts/bench_scaling.py"
KEYS = {
    "side", "series", "background", "method", "seconds", "prepare_seconds", "total_seconds",
    "error", "interval", "scenes", "flops", "peak_bytes", "bytes_read", "trained", "device",
    "threads", "params", "choice", "train_minutes", "command", "commit", "versions", "hardware",
    "precision", "data", "photos", "glimpses",
}  # fmt: skip


@pytest.fixture(scope="module")
def maker():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SACCADE_DATA", raising=False)
        scaling.plate_photos.cache_clear()
        photos = scaling.plate_photos("validation")
    yield PlateMaker(draw_digits(200, 1), plate_letters("train", 40), photos, 256)
    scaling.plate_photos.cache_clear()


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    return PlaceAgent().eval()


def play(agent, images, **options):
    scene = agent.fovea.prepare(images, looks=1)
    return agent(scene, coarse_look(images), **options)


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


def test_the_agent_reads_as_much_at_every_side(agent, maker):
    system = scaling.agent_system(agent, 1.0)
    small, large = (maker.at(side=side)(*scaling.part_rows("test", 1, 10)) for side in (256, 1024))
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


def test_a_place_is_not_looked_at_twice(maker):
    agent = PlaceAgent().eval()
    object.__setattr__(agent, "glance", lambda coarse: torch.zeros(len(coarse), 3, 16, 16))
    played = play(agent, maker.at(side=256)(*scaling.part_rows("test", 2, 10)).images)
    assert played.logits.shape == (2, GLIMPSES - 1, 10)
    assert played.locations.abs().max() <= 1
    gaps = torch.cdist(played.locations[0], played.locations[0]) + 9 * torch.eye(GLIMPSES - 1)
    assert gaps.min() > 2 / PLACES


def test_folding_the_agent_changes_nothing(maker):
    torch.manual_seed(3)
    agent = PlaceAgent()
    with torch.no_grad():
        for each in agent.modules():
            if isinstance(each, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                each.running_mean.uniform_(-0.1, 0.1)
                each.running_var.uniform_(0.5, 2)
    images = maker.at(side=256)(*scaling.part_rows("test", 3, 10)).images
    one, other = (play(each, images).logits for each in (agent.eval(), agent.folded()))
    assert torch.allclose(one, other, atol=1e-5)


def test_reading_ends_when_it_is_sure(maker):
    torch.manual_seed(4)
    agent = PlaceAgent().eval()
    images = maker.at(side=256)(*scaling.part_rows("test", 20, 10)).images
    scene, coarse = agent.fovea.prepare(images, looks=1), coarse_look(images)
    with torch.no_grad():
        agent.classifier.weight.mul_(8)
        logits = agent(scene, coarse).logits
        beliefs = logits.softmax(-1).amax(-1).cummax(1).values
        agent.sure.fill_(float(beliefs[:, 3].sort().values[9:11].mean()))  # between two
        for ready in (agent, agent.folded()):
            read = ready.read(scene, coarse)
            for row in range(20):
                stop = next((t for t in range(6) if beliefs[row, t] > agent.sure), 5)
                assert read.looks[row] == stop + 1
                assert torch.allclose(read.logits[row], logits[row, stop], atol=1e-4)
        assert len(read.looks.unique()) > 1
        agent.sure.fill_(1.0)
        assert (agent.read(scene, coarse).looks == GLIMPSES - 1).all()


def test_the_wanted_belief_costs_at_most_its_price(agent, maker, monkeypatch):
    monkeypatch.setattr(scaling, "SIDES", (128,))

    def play_with(beliefs):
        def forward(scene, coarse):
            count = len(coarse)
            labels = maker.digits.labels[torch.arange(count) % len(maker.digits)]
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

    assert scaling.find_sure(Fake([]), maker, 5) == 0.5
    assert scaling.find_sure(Fake([0.75]), maker, 5) == 0.8
    assert scaling.find_sure(Fake([0.75, 0.985]), maker, 5) == 0.99
    assert scaling.find_sure(Fake([0.999]), maker, 5) == 1.0


def test_rows_of_the_agent_do_not_know_of_each_other(agent, maker):
    scenes = maker.at(side=128)(*scaling.part_rows("test", 4, 10))
    key = row_keys(make_key(1), 8)
    whole = play(agent, scenes.images, key=key, rollouts=2)
    alone = play(agent, scenes.images[1:2], key=key[2:4], rollouts=2)
    assert torch.allclose(whole.locations[2:4], alone.locations, atol=1e-5)
    assert not torch.allclose(whole.locations[2], whole.locations[3])


def test_who_learns_from_what(agent, maker):
    scenes = maker.at(side=128)(*scaling.part_rows("test", 4, 10))
    played = play(agent, scenes.images, key=row_keys(make_key(1), 8), rollouts=2)

    def learns(loss):
        agent.zero_grad()
        loss.backward(retain_graph=True)
        return {
            name.split(".")[0]
            for name, each in agent.named_parameters()
            if each.grad is not None and each.grad.abs().sum() > 0
        }

    assert learns(played.logits.sum()) == {"encoder", "core", "classifier"}
    assert learns(played.log_probs.sum()) == {"glance", "inhibition"}
    loss, right = episode_loss(played, scenes.labels.repeat_interleave(2), 2)
    assert loss.isfinite()
    assert right.shape == (GLIMPSES - 1,)


def test_batches_fit_into_memory():
    for side in (100, 1024, 2048, 4096):
        scenes, rollouts = rows_for(side)
        assert scenes * rollouts == 64
        assert scenes * side**2 <= 2**26
        assert rollouts >= 2


def test_scripts_look_at_plates(maker):
    scenes = maker.at(side=1024)(*scaling.part_rows("train", 20, 10))
    key = row_keys(make_key(0), 20)
    near = ((scripted(scenes, key, False) + 1) * 512 - scenes.places[:, None]).abs()
    assert near.mean() < 8
    far = ((scripted(scenes, key, True) + 1) * 512 - scenes.places[:, None]).abs().amax(-1)
    assert ((far < 30).sum(1) >= 1).all()  # each plate has its look
    assert (far > 30).any(1).all()


def test_imitation_by_hand(maker):
    scenes = maker.at(side=256)(*scaling.part_rows("train", 3, 10))
    middles = middles_of(scenes)
    assert torch.allclose(middles, (scenes.plates + 20) / 16)  # plates of 40 pixels, places of 16
    priority, spots = torch.zeros(3, 256), torch.zeros(3, 256, 2)
    for row, spot in enumerate(middles):
        for x, y in spot.tolist():
            priority[row, 16 * int(y) + int(x)] = 100.0
            spots[row, 16 * int(y) + int(x)] = torch.tensor([x + 0.25, y]) / 8 - 1
    loss = imitation_loss(priority, spots, middles)
    assert loss == pytest.approx(math.log(4) + 16 * (0.25 - 0.01) / 2, abs=1e-3)
    digits = maker.at(series="proportional", side=128)(*scaling.part_rows("train", 3, 10))
    assert torch.equal(middles_of(digits), digits.places[:, None] / 8)


def test_stored_looks_keep_their_middles(maker, monkeypatch):
    for name, value in (("STORED", 8), ("SIDES", (256,)), ("OFTEN", (256,))):
        monkeypatch.setattr(scaling_train, name, value)
    loss = AgentLoss(maker, PlaceAgent())
    for number in range(8):
        coarse, middles = loss.looks(row_keys(make_key(number), 1)[0])
        assert coarse.shape == (64, 1, 128, 128)
        for x, y in ((-8, -8), (8, 8), (-8, 8)):  # between digit and edge: bare plate
            cells = (middles * 8).long() + torch.tensor([x, y])
            at = coarse[torch.arange(64)[:, None], 0, cells[..., 1], cells[..., 0]]
            assert (at >= 160).all()


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


def test_wrong_answers_are_counted_once_and_kept(maker, tmp_path):
    calls = []

    def answer(images, prepared):
        calls.append(len(images))
        logits = torch.nn.functional.one_hot(torch.full((len(images),), 3), 10)
        return Reading(logits, torch.arange(len(images)) % 2)

    system = scaling.System(
        "three", torch.nn.Linear(1, 1), lambda scenes: scenes.images, answer,
        lambda side, looks: 0, lambda side: True, 0.0,
    )  # fmt: skip
    there, cache = maker.at(side=100), tmp_path / "errors.json"
    wrong = scaling.count_wrong([system], there, 30, "test", cache)
    index = scaling.part_rows("test", 30, len(maker.digits))[0]
    assert wrong == {"three": (int((maker.digits.labels[index] != 3).sum()), 1.5)}
    assert scaling.count_wrong([system], there, 30, "test", cache) == wrong
    assert sum(calls) == 30


def test_times_are_means_over_scenes_of_medians(maker, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr("saccade.agents.scaling_cost.time.perf_counter", lambda: next(clock))
    system = scaling.System(
        "one", torch.nn.Linear(1, 1), lambda scenes: scenes.images,
        lambda images, prepared: [next(clock) for _ in range(int(images.sum()))],
        lambda side, looks: 0, lambda side: True, 0.0,
    )  # fmt: skip
    scenes = maker.at(side=100)(*scaling.part_rows("test", 1, 10))
    ticks = [scenes._replace(images=torch.tensor([wait])) for wait in (1, 5)]
    assert time_systems([system], ticks, 0.0) == {"one": (1.0, 4.0)}


def test_trainings_are_taken_up_again(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling_train, "STORED", 2)
    monkeypatch.setattr(scaling_train, "SIDES", (100, 128))
    monkeypatch.setattr(scaling_train, "OFTEN", (100, 128))
    member, small = Member(4, 16), maker.at(side=100)
    network, _ = train_dense(member, small, Plan(4), tmp_path / "a.pt")
    scaling.store(network, tmp_path / "a.safetensors", 1.5)
    again, _ = train_dense(member, small, Plan(4), tmp_path / "a.pt")
    for one, other in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
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

    (tmp_path / "stored.json").write_text(json.dumps(rows))
    monkeypatch.setattr(sys, "argv", [*words, "--quick", "--json", str(out)])
    bench.main()
    again = json.loads(out.read_text())
    assert all(set(row) >= KEYS for row in again)
    before = {(r["background"], r["side"], r["method"]): r for r in rows}
    for new in again:
        old = before[new["background"], new["side"], new["method"]]
        assert (new["error"], new["choice"]) == (old["error"], old["choice"])

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
