"""How systems break: corruptions, strange scenes, networks of one size."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from saccade.agents.stress import (
    break_by_corruption,
    break_by_layout,
    first_scenes,
    network_system,
    strange_scenes,
)
from saccade.digits import draw_digits
from tests.test_halting import MAKER, POOL


def test_strange_scenes_are_of_the_same_layout():
    made = strange_scenes(MAKER, 9)
    for scenes in made.values():
        assert scenes.shape == (9, 1, 40, 40)
        assert scenes.dtype == torch.uint8
    plain = strange_scenes(replace(MAKER, layout="translated"), 9)
    assert "empty" not in plain, "all of them would be one black scene"
    assert made["empty"].max() > 0  # clutter is left
    assert plain["latin"].flatten(1).amax(1).min() > 200
    assert not torch.equal(plain["latin"], plain["greek"])
    assert made["noise"].float().mean() == pytest.approx(127.5, abs=5)
    wide = draw_digits(20, 1)
    centered = replace(MAKER, pool=replace(wide, images=wide.images[:, :, 4:24]), layout="centered")
    assert {scenes.shape for scenes in strange_scenes(centered, 3).values()} == {(3, 1, 20, 28)}


def test_systems_are_broken_on_the_same_scenes():
    given = {"right": [], "wrong": []}

    def system(name, answer):
        def act(scenes, keys):
            given[name].append(scenes)
            return answer[: len(scenes)]

        return act

    systems = {
        "right": system("right", POOL.labels),
        "wrong": system("wrong", (POOL.labels + 1) % 10),
    }
    found = break_by_corruption(systems, MAKER, 30, kinds=("fog", "shear"), severities=(1, 5))
    right = found["errors"]["right"]
    assert right == {"clean": 0, "fog": [0, 0], "shear": [0, 0], "mean": 0}
    assert found["errors"]["wrong"]["fog"] == [100, 100]
    assert len(given["right"]) == 5
    assert all(map(torch.equal, given["right"], given["wrong"]))
    assert torch.equal(given["right"][0], first_scenes(MAKER, "test", 30)[0])

    sizes = break_by_layout(systems, MAKER, 5)
    assert set(sizes) == {"clutter", "side", "size"}
    assert sizes["side"]["steps"] == [40, 50, 60, 80, 120]
    assert {scenes.shape[-1] for scenes in given["right"]} == {40, 50, 60, 80, 120}
    assert sizes["clutter"]["errors"]["right"] == [0] * 6
    centered = break_by_layout(systems, replace(MAKER, layout="centered"), 5)
    assert set(centered) == {"side", "size"}
    assert centered["side"]["steps"] == [28, 36, 42, 56, 84]
    half, same, double = (given["right"][-6 + step] for step in (0, 2, 5))
    assert centered["size"]["steps"][::2] == [0.5, 1, 1.5]
    assert half.shape == same.shape == double.shape == (5, 1, 28, 28)
    assert not half[..., :7, :].any()
    assert not half[..., 21:].any()
    middle = same[..., 7:21, 7:21].float()
    for large, small in ((same, half[..., 7:21, 7:21].float()), (double, middle)):
        far = F.avg_pool2d(large.float(), 2) - small
        assert float(far.abs().mean()) < float(small.mean()) / 4


def test_networks_of_one_size_see_others_resized():
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 2, bias=False))

    class Scaled(nn.Module):
        def forward(self, scenes):
            return network(scenes.float() / 255)

    with torch.no_grad():
        network[1].weight[:] = torch.tensor([[1.0], [0.0]]).expand(2, 9)
        network[1].weight[1] = 0.5
    system = network_system(Scaled(), 3, 3)
    for side in (3, 6, 9):
        assert system(torch.full((4, 1, side, side), 200, dtype=torch.uint8), None).tolist() == [
            0, 0, 0, 0
        ]  # fmt: skip
