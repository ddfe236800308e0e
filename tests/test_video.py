import cv2
import numpy as np
import pytest
from PIL import Image

import saccade.video
from saccade.video import MOST, write_gif, write_mp4


@pytest.fixture
def frames():
    """A red bar that wanders over white, on 20 x 30 pixels."""
    frames = np.full((7, 20, 30, 3), 255, np.uint8)
    for t, frame in enumerate(frames):
        frame[:, 4 * t : 4 * t + 4] = (200, 30 * t, 0)
    return frames


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_write_gif_can_be_read_back(tmp_path, frames):
    write_gif(tmp_path / "gaze.gif", frames, fps=10)
    assert names(tmp_path) == ["gaze.gif"]
    with Image.open(tmp_path / "gaze.gif") as file:
        assert file.n_frames == 7
        assert file.info["loop"] == 0  # for ever
        for t in range(7):
            file.seek(t)
            assert file.info["duration"] == 100
            error = np.abs(np.asarray(file.convert("RGB")).astype(int) - frames[t])
            assert error.max() <= 8


def test_write_gif_stores_still_frames_once_with_their_time(tmp_path):
    frames = np.zeros((5, 8, 8, 3), np.uint8)
    frames[3:] = 200
    write_gif(tmp_path / "still.gif", list(frames))
    with Image.open(tmp_path / "still.gif") as file:
        times = []
        for t in range(file.n_frames):
            file.seek(t)
            times.append(file.info["duration"])
    assert times == [240, 160]


def test_write_gif_refuses(tmp_path, frames):
    path = tmp_path / "no.gif"
    with pytest.raises(ValueError, match="50 frames a second"):
        write_gif(path, frames, fps=60)
    with pytest.raises(ValueError, match="gone through twice"):
        write_gif(path, iter(frames))
    with pytest.raises(ValueError, match="write an MP4"):
        write_gif(path, np.zeros((MOST + 1, 1, 1, 3), np.uint8))
    assert not names(tmp_path)


@pytest.mark.parametrize("size", [(20, 30), (21, 31)])
def test_write_mp4_can_be_read_back(tmp_path, frames, size):
    frames = np.pad(frames, ((0, 0), (0, size[0] - 20), (0, size[1] - 30), (0, 0)), mode="edge")
    frames = frames.repeat(8, 1).repeat(8, 2)[:, : 8 * size[0] - size[0] % 2]
    write_mp4(tmp_path / "gaze.mp4", (frame for frame in frames), fps=10)
    assert names(tmp_path) == ["gaze.mp4"]
    file = cv2.VideoCapture(str(tmp_path / "gaze.mp4"))
    assert file.get(cv2.CAP_PROP_FPS) == 10
    height, width = frames.shape[1:3]
    for frame in frames:
        read, picture = file.read()
        assert read
        assert picture.shape == (height + height % 2, width + width % 2, 3)
        error = np.abs(picture[:height, :width, ::-1].astype(int) - frame)
        assert error.mean() < 6  # chroma is stored at half the size
    assert not file.read()[0]


@pytest.mark.parametrize("write", [write_gif, write_mp4])
@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (np.zeros((0, 4, 4, 3), np.uint8), "nothing to play"),
        (np.zeros((2, 4, 4), np.uint8), "frames are"),
        (np.zeros((2, 4, 4, 3)), "got .4, 4, 3. float64"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)], "of one size"),
    ],
)
def test_what_are_no_frames_is_refused(tmp_path, write, frames, sentence):
    with pytest.raises(ValueError, match=sentence):
        write(tmp_path / "no", frames)
    assert not names(tmp_path)
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "gaze", np.zeros((1, 4, 4, 3), np.uint8))


def test_write_mp4_refuses(tmp_path, frames, monkeypatch, capfd):
    with pytest.raises(ValueError, match="120 frames a second"):
        write_mp4(tmp_path / "no.mp4", frames, fps=0)
    monkeypatch.setattr(saccade.video, "CODECS", ("none",))
    with pytest.raises(ValueError, match="writes no MP4: it has none of the codecs none"):
        write_mp4(tmp_path / "no.mp4", frames)
    assert not names(tmp_path)
    assert "ERROR" not in capfd.readouterr().err
