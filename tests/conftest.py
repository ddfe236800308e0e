"""What all tests share: one thread, a fixed course of hypothesis, real data and GPU where any."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from saccade.digits import draw_digits
from saccade.plates import PlateMaker, plate_letters, plate_photos

torch.set_num_threads(1)
settings.register_profile("saccade", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("saccade")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what is marked `gpu` where no CUDA device is."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data that SACCADE_DATA names: any of mnist/, photos/, eyetracking/."""
    name = os.environ.get("SACCADE_DATA")
    if not name:
        pytest.skip("SACCADE_DATA names no folder of real data")
    return Path(name)


@pytest.fixture(scope="module")
def plate_maker() -> Iterator[PlateMaker]:
    """Scenes of plates, on drawn digits and photographs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SACCADE_DATA", raising=False)
        plate_photos.cache_clear()
        photos = plate_photos("validation")
    yield PlateMaker(draw_digits(200, 1), plate_letters("train", 40), photos, 256)
    plate_photos.cache_clear()
