import base64

import cv2
import numpy as np
import pytest
import torch

from saccade.agents.viewer import BYTES, EPISODES, pack, viewer_data
from saccade.pictures import UNSEEN, grow, shade, to_picture
from tests.episodes import CLASSES, episodes


def decode(address, kind="png"):
    head, _, data = address.partition(",")
    assert head == f"data:image/{kind};base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return picture[..., ::-1]


def test_viewer_data_holds_the_episodes():
    scenes, scanpath = episodes(stop=[4, 2, 1])
    scanpath.beliefs[1, 1] = torch.tensor([0.2, float("nan"), 0.7])
    without = torch.rand(3, 4, 3)
    data = viewer_data(scenes, scanpath, torch.tensor([0, 1, 2]), CLASSES, without)
    assert data["classes"] == CLASSES
    assert data["prior"] == pytest.approx(1 / 3)
    assert (data["height"], data["width"], data["sides"]) == (20, 30, [4, 8, 16])
    assert len(data["colors"]) == len(data["inks"]) == 4
    assert [len(each["spots"]) for each in data["episodes"]] == [4, 2, 1]
    second = data["episodes"][1]
    assert second["shown"] == [2, 0, 1]
    assert second["beliefs"][1] == [0.7, 0.2, 0]
    np.testing.assert_allclose(second["without"], without[1, :2][:, [2, 0, 1]], atol=1e-4)
    assert (second["answer"], second["label"], second["right"]) == (2, 1, False)
    assert second["certainty"] == 0.7
    spot = (scanpath.locations[1, 1] + 1) / 2 * torch.tensor([30, 20])
    assert second["spots"][1] == pytest.approx(spot.tolist(), abs=0.006)
    for each, scene in zip(data["episodes"], scenes, strict=True):
        assert (decode(each["scene"]) == to_picture(scene)).all()
    bare = viewer_data(scenes, scanpath, torch.zeros(3, dtype=torch.int64), CLASSES)
    assert bare["episodes"][0]["without"] is None


@pytest.mark.parametrize("channels", [1, 3])
def test_viewer_data_paints_what_was_seen(channels):
    # As the page does: all coarse windows in the order of time, then the sharper ones.
    scenes, scanpath = episodes(channels=channels)
    data = viewer_data(scenes, scanpath, torch.zeros(3, dtype=torch.int64), CLASSES)
    g = data["size"]
    for n, each in enumerate(data["episodes"]):
        sprite = decode(each["sprite"])
        sheet = np.full((20 + 64, 30 + 64, 3), UNSEEN, np.uint8)  # with a border of 32
        for s in reversed(range(3)):
            for t in range(4):
                (x, y), side = each["starts"][t][s], data["sides"][s]
                glimpse = sprite[t * g : t * g + g, s * g : s * g + g]
                times = side // g
                cells = glimpse.repeat(times, 0).repeat(times, 1)
                sheet[y + 32 : y + 32 + side, x + 32 : x + 32 + side] = cells
        *_, (image, finest) = grow(scanpath, n)
        assert (sheet[32:-32, 32:-32] == shade(image, finest, 3)).all()


def test_many_classes_show_the_answer_and_the_truth():
    scenes, scanpath = episodes(1)
    beliefs = torch.rand(1, 4, 40, generator=torch.Generator().manual_seed(0))
    beliefs[0, 3, 7], beliefs[:, :, 31] = 2.0, 0.0
    many = episodes(1)[1].__class__(**{**vars(scanpath), "beliefs": beliefs})
    names = [str(k) for k in range(40)]
    each = viewer_data(scenes, many, torch.tensor([31]), names)["episodes"][0]
    assert len(each["shown"]) == 10
    assert each["shown"][0] == 7
    assert 31 in each["shown"]


def test_more_episodes_than_can_be_shown_are_left_out():
    scenes, scanpath = episodes(EPISODES + 3, channels=1)
    data = viewer_data(scenes, scanpath, torch.zeros(EPISODES + 3, dtype=torch.int64), CLASSES)
    assert len(data["episodes"]) == EPISODES == 64


def test_pictures_keep_to_their_budget():
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (60, 90, 3), dtype=np.uint8) for _ in range(4)]
    exact = pack(noise, 3, budget=100_000)
    assert all((decode(code) == one).all() for code, one in zip(exact, noise, strict=True))
    tight = pack(noise, 3, budget=10_000)
    assert sum(map(len, tight)) <= 10_000
    height, width = decode(tight[0], "jpeg").shape[:2]
    assert height < 60
    assert width / height == pytest.approx(1.5, abs=0.1)
    # What must keep its size loses quality alone.
    kept = pack(noise, 3, budget=30_000, shrink=False)
    assert sum(map(len, kept)) <= 30_000
    assert decode(kept[0], "jpeg").shape == (60, 90, 3)


def test_large_scenes_and_glimpses_keep_to_theirs():
    scenes, scanpath = episodes(count=4, height=1200, width=1600, total=6, size=96)
    data = viewer_data(scenes, scanpath, torch.zeros(4, dtype=torch.int64), CLASSES)
    for name in ("scene", "sprite"):
        assert sum(len(each[name]) for each in data["episodes"]) <= 1.05 * BYTES
    assert data["width"] == 1600  # locations are in pixels of the true scene
    height, width = decode(data["episodes"][0]["scene"], "jpeg").shape[:2]
    assert 300 < width < 1600
    assert width / height == pytest.approx(4 / 3, abs=0.02)
    sprite = decode(data["episodes"][0]["sprite"], "jpeg")
    assert sprite.shape == (6 * data["size"], 3 * data["size"], 3)
