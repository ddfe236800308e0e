"""The systems of the scaling benchmark on a GPU: the CPU's answers, and times waited for."""

from pathlib import Path

import pytest
import torch

from saccade.agents import scaling
from saccade.agents.dense import shrink
from saccade.agents.scaling_cost import count_cost, time_systems

pytestmark = pytest.mark.gpu
WEIGHTS = Path(__file__).parent.parent / "docs/results/scaling"
GPU = torch.device("cuda")


@pytest.mark.parametrize("sides", [(640, 128), (512, 128), (256, 100), (100, 128)])
def test_pictures_are_made_smaller_alike(sides):
    generator = torch.Generator().manual_seed(sides[0])
    images = torch.randint(0, 256, (2, 1, sides[0], sides[0]), generator=generator).byte()
    there = shrink(images.to(GPU), sides[1]).cpu()
    assert int((there.int() - shrink(images, sides[1]).int()).abs().max()) <= 1


@pytest.mark.parametrize("series", ["detail", "proportional"])
def test_answers_are_those_of_the_cpu(series, plate_maker):
    names = {"saccade", "crop-cnn", "fcn-16/2", "fcn-16@100"}
    here, there = (
        scaling.load_systems(series, WEIGHTS, names, device) for device in (scaling.CPU, GPU)
    )
    scenes = plate_maker.at(side=512, series=series)(*scaling.part_rows("test", 40, 200))
    moved = scenes.to(GPU)
    with torch.inference_mode():
        for one, other in zip(here, there, strict=True):
            mine = one.answer(scenes.images, one.prepare(scenes))
            theirs = other.answer(moved.images, other.prepare(moved))
            same = mine.logits.argmax(1) == theirs.logits.argmax(1).cpu()
            assert int(same.sum()) >= 38, one.name
    assert count_cost(there[0], [moved])["flops"] == pytest.approx(
        count_cost(here[0], [scenes])["flops"], rel=0.2
    )


def test_times_end_when_the_work_is_done(plate_maker):
    systems = scaling.load_systems("detail", WEIGHTS, {"saccade", "fcn-16/1"}, GPU)
    makers = (plate_maker.at(side=side) for side in (256, 4096))
    small, large = (
        time_systems(systems, [maker(*scaling.part_rows("test", 1, 200)).to(GPU)] * 3, 0.5)
        for maker in makers
    )
    assert large["fcn-16/1"][1] > 1.5 * small["fcn-16/1"][1] > 0  # 256 times the pixels
    assert min(small["saccade"]) > 0
