import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from saccade.animate import FLY, HEAD, HOLD, LINGER, PAD, animate, draw_frame, write_gif
from saccade.draw import draw_beliefs, draw_episodes, draw_scanpath, draw_seen
from saccade.geometry import to_pixels, window_starts
from saccade.pictures import (
    UNSEEN,
    grow,
    reconstruct,
    resize,
    shade,
    shorten,
    time_colors,
    to_picture,
    top_classes,
    verdict,
)
from saccade.retina import Retina
from saccade.scanpath import Scanpath

CLASSES = ["ant", "bee", "cat"]


def look(scenes, locations, retina, stop=None, classes=3):
    """A scanpath of the real retina at these `(N, T, 2)` locations, with random beliefs."""
    n, total = locations.shape[:2]
    glimpses = torch.stack([retina.look(scenes, locations[:, t]) for t in range(total)], 1)
    beliefs = torch.randn(n, total, classes, generator=torch.Generator().manual_seed(3))
    return Scanpath(
        locations=locations,
        glimpses=glimpses,
        beliefs=beliefs.softmax(-1),
        values=torch.full((n, total), float("nan")),
        rewards=torch.zeros(n, total),
        stop=torch.full((n,), total) if stop is None else torch.tensor(stop),
        retina=retina,
        height=scenes.shape[-2],
        width=scenes.shape[-1],
    )


@pytest.fixture
def drawn():
    """Two episodes of four glimpses, the second stopped after two, on 24x36 RGB scenes."""
    generator = torch.Generator().manual_seed(1)
    scenes = torch.randint(0, 256, (2, 3, 24, 36), dtype=torch.uint8, generator=generator)
    locations = torch.rand(2, 4, 2, generator=generator) * 2 - 1
    return scenes, look(scenes, locations, Retina(4, 3), stop=[4, 2])


def render(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def test_reconstruct_by_hand():
    scene = (torch.arange(16, dtype=torch.uint8) * 16).view(1, 1, 4, 4)
    path = look(scene, torch.tensor([[[-0.5, -0.5], [0.5, 0.5]]]), Retina(2, 2))
    first, second = (reconstruct(path, 0)[..., 0] * 255).round()
    # Sharp: rows and columns 0-1. Coarse cells begin at -1 and are 2 wide; what lies outside
    # the scene counts as zero: (16 + 32)/4, (5 + 6 + 9 + 10) * 16/4, (4 + 8) * 16/4.
    assert first.tolist() == [[0, 16, 12, 0], [64, 80, 120, 0], [48, 120, 120, 0], [0, 0, 0, 0]]
    # Sharp: rows and columns 2-3. Coarse cells begin at 1: they leave pixel (1, 1) sharp.
    assert second.tolist() == [
        [0, 16, 12, 0],
        [64, 80, 120, 72],
        [48, 120, 160, 176],
        [0, 108, 224, 240],
    ]
    _, finest = list(grow(path, 0))[-1]
    assert finest.tolist() == [[0, 0, 1, 2], [0, 0, 1, 1], [1, 1, 0, 0], [2, 1, 0, 0]]


def test_what_was_fixated_is_seen_as_it_is_ever_after(drawn):
    scenes, path = drawn
    pictures = reconstruct(path, 0)
    assert pictures.shape == (4, 24, 36, 3)
    truth = to_picture(scenes[0]) / np.float32(255)
    starts = window_starts(path.locations[0], 4, 3, 2, 24, 36)[:, 0].tolist()
    for t, (x, y) in enumerate(starts):
        here = (slice(max(y, 0), y + 4), slice(max(x, 0), x + 4))
        assert truth[here].size
        for later in pictures[t:]:
            np.testing.assert_allclose(later[here], truth[here], atol=1e-6)


def test_reconstruct_needs_no_scene_and_lays_newer_over_equally_sharp():
    path = look(torch.zeros(1, 1, 5, 7), torch.zeros(1, 2, 2), Retina(3, 1))
    path.glimpses[0, 0], path.glimpses[0, 1] = 0.25, 0.75
    pictures = reconstruct(path, 0)
    assert pictures[0].sum() == 9 * 0.25
    assert pictures[1].sum() == 9 * 0.75


def test_reconstruct_skips_windows_beyond_the_scene():
    path = look(torch.ones(1, 1, 6, 6), torch.tensor([[[9.0, 0.0], [float("nan"), 0.0]]]), Retina())
    assert not reconstruct(path, 0).any()


def test_reconstruct_ignores_glimpses_that_were_not_taken(drawn):
    _, path = drawn
    path.glimpses[1, 2:] = float("nan")
    pictures = reconstruct(path, 1)
    assert np.isfinite(pictures).all()
    assert (pictures[1] != pictures[0]).any()
    assert (pictures[1:] == pictures[1]).all()
    assert len(list(grow(path, 1))) == 2


def test_to_picture_takes_grey_and_rgb():
    assert to_picture(torch.tensor([[[0.5, 2.0, float("nan")]]])).tolist() == [
        [[128] * 3, [255] * 3, [0] * 3]
    ]
    rgb = np.arange(6, dtype=np.uint8).reshape(3, 1, 2)
    assert to_picture(rgb).tolist() == [[[0, 2, 4], [1, 3, 5]]]
    with pytest.raises(ValueError, match="a picture is drawn of"):
        to_picture(torch.zeros(2, 4, 4))


def test_resize_keeps_small_pixels_square_and_reduces_large_pictures():
    small = np.random.default_rng(0).integers(0, 256, (28, 14, 3), dtype=np.uint8)
    large = resize(small, 280)
    assert large.shape == (280, 140, 3)
    assert (large[::10, ::10] == small).all()
    assert (large[9::10, 9::10] == small).all()
    assert resize(np.full((3000, 4096, 3), 7, np.uint8), 280).shape == (205, 280, 3)
    assert resize(np.zeros((1, 4096, 3), np.uint8), 280).shape == (1, 280, 3)


def test_top_classes():
    beliefs = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.65, 0.05]])
    assert top_classes(beliefs, 2) == [2, 0]  # the answer, and what was once believed
    assert top_classes(beliefs, 2, label=3) == [2, 3]  # the truth is always shown
    assert top_classes(beliefs, 9) == [2, 1, 0, 3]


def test_verdict(drawn):
    _, path = drawn
    path.beliefs[0, 3] = torch.tensor([0.1, 0.7, 0.2])
    path.beliefs[1, 1] = torch.tensor([float("nan"), 0.3, 0.4])  # the last one taken
    assert verdict(path, 0, CLASSES) == ("says bee", None)
    assert verdict(path, 0, CLASSES, 1) == ("says bee, right", True)
    assert verdict(path, 1, CLASSES, 0) == ("says cat, wrong: it is ant", False)
    assert shorten("Labrador retriever") == "Labrador retrie…"


def test_draw_scanpath_on_given_axes(drawn):
    scenes, path = drawn
    ax = Figure().add_subplot()
    assert draw_scanpath(scenes[0], path, 0, until=3, ax=ax) is ax
    numbers = [text for text in ax.texts if text.get_text()]  # arrows are empty annotations
    assert [text.get_text() for text in numbers] == ["1", "2", "3"]
    assert len(ax.texts) == 3 + 2
    spots = to_pixels(path.locations[0, :3], 24, 36)
    np.testing.assert_allclose([text.get_position() for text in numbers], spots)
    squares = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in ax.patches]
    starts = window_starts(path.locations[0, 2:3], 4, 3, 2, 24, 36)[0].tolist()
    assert squares == [(*start, side, side) for start, side in zip(starts, [4, 8, 16], strict=True)]
    assert ax.images[0].get_extent() == [0, 36, 24, 0]
    assert ax.get_xlim() == (0, 36)
    assert ax.get_ylim() == (24, 0)


def test_draw_scanpath_draws_only_what_was_taken(drawn):
    scenes, path = drawn
    for until in (None, 2, 9):
        ax = draw_scanpath(scenes[1].float() / 255, path, 1, until)
        assert [text.get_text() for text in ax.texts if text.get_text()] == ["1", "2"]


def test_draw_scanpath_reduces_large_scenes():
    scene = torch.zeros(1, 1, 40, 4096, dtype=torch.uint8)
    ax = draw_scanpath(scene[0], look(scene, torch.zeros(1, 1, 2), Retina(8, 2)), 0)
    assert ax.images[0].get_array().shape == (10, 1024, 3)
    assert ax.images[0].get_extent() == [0, 4096, 40, 0]
    assert render(ax.figure).any()


def test_draw_seen_paints_the_unseen_dark():
    scene = torch.full((1, 1, 9, 9), 255, dtype=torch.uint8)
    path = look(scene, torch.tensor([[[0.0, 0.0], [0.9, 0.9]]]), Retina(3, 1))
    picture = render(draw_seen(path, 0, until=1).figure)
    height, width = picture.shape[:2]
    assert picture[height // 2, width // 2].tolist() == [255] * 3
    assert picture[10, 10].tolist() == picture[-10, -10].tolist() == list(UNSEEN)
    assert render(draw_seen(path, 0).figure)[-10, -10].tolist() == [255] * 3


def test_draw_beliefs(drawn):
    _, path = drawn
    path.beliefs[1, :2] = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.0, 0.9]])
    ax = Figure().add_subplot()
    assert draw_beliefs(path, 1, CLASSES, ax=ax, label=0) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["cat", "ant", "bee"]
    assert [text.get_text() for text in ax.texts] == ["90%", "10% ✓", "0%"]
    bars = np.array([[bar.get_y(), bar.get_height()] for bar in ax.patches])
    expected = [[0, 0.16], [0, 0.72], [-1, 0.4], [-1, 0.08], [-2, 0.24], [-2, 0]]
    np.testing.assert_allclose(bars, expected, atol=1e-6)
    colors = [bar.get_facecolor()[:3] for bar in ax.patches[:2]]
    np.testing.assert_allclose(colors, time_colors(4)[:2])
    assert len(draw_beliefs(path, 0, CLASSES, until=1, top=2).patches) == 2


def test_draw_episodes(drawn):
    scenes, path = drawn
    path.beliefs[:] = torch.tensor([0.1, 0.7, 0.2])
    figure = draw_episodes(scenes, path, CLASSES, torch.tensor([1, 2]), episodes=[1, 0])
    assert isinstance(figure.canvas, FigureCanvasAgg)  # needs no display
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title for title in titles if title] == ["says bee, wrong: it is cat", "says bee, right"]
    seen = [image.get_array() for image in figure.axes[1].images]  # of the first row: episode 1
    shades = [shade(image, finest, 3) for image, finest in grow(path, 1)]
    for picture, truth in zip(seen, [shades[0], shades[0], shades[1]], strict=True):
        assert (picture == truth).all()
    picture = render(figure)
    assert picture.shape[0] > 300
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_draw_episodes_shows_the_beginning_the_middle_and_the_end():
    scene = torch.full((1, 1, 8, 8), 255, dtype=torch.uint8)
    corners = torch.tensor([[[-0.9, -0.9], [0.9, -0.9], [-0.9, 0.9], [0.9, 0.9]]])
    figure = draw_episodes(scene, look(scene, corners, Retina(2, 1)), CLASSES)
    seen = [(image.get_array() == 255).all(-1).sum() for image in figure.axes[1].images]
    assert seen == [1, 2, 4]  # only one pixel of each window lies inside the scene


def test_animate_plays_every_glimpse_that_was_taken(drawn):
    scenes, path = drawn
    frames = animate(scenes, path, CLASSES, [0, 1], side=180)
    assert frames.dtype == np.uint8
    assert len(frames) == sum(taken * HOLD + (taken - 1) * FLY + LINGER for taken in (4, 2))
    height, width = 24 * 5, 36 * 5
    left = (frames.shape[2] - 2 * width - PAD) // 2
    panels = frames[:, HEAD : HEAD + height]
    seen = panels[:, :, left + width + PAD :][:, :, :width]
    for start, episode in ((0, 0), (4 * HOLD + 3 * FLY + LINGER, 1)):
        for t, (image, finest) in enumerate(grow(path, episode)):
            at = start + t * (HOLD + FLY)
            assert (seen[at] == resize(shade(image, finest, 3), 180)).all()
    gaze = panels[0, :, left:][:, :width]
    x, y = window_starts(path.locations[0, :1], 4, 3, 2, 24, 36)[0, 2].tolist()
    away = np.ones((height, width), bool)
    away[max(5 * y - 3, 0) : 5 * (y + 16) + 3, max(5 * x - 3, 0) : 5 * (x + 16) + 3] = False
    assert away.sum() > 100
    assert (gaze[away] == resize(to_picture(scenes[0]), 180)[away]).all()
    assert (gaze[~away] != resize(to_picture(scenes[0]), 180)[~away]).any()


def test_draw_frame_is_the_last_moment_of_the_animation(drawn):
    scenes, path = drawn
    frame = draw_frame(scenes[1], path, 1, side=180)
    assert frame.shape == (120, 2 * 180 + PAD, 3)
    last = animate(scenes, path, CLASSES, episodes=[1], side=180)[-1]
    left = (last.shape[1] - frame.shape[1]) // 2
    assert (frame == last[HEAD : HEAD + 120, left : left + frame.shape[1]]).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 1, 90), (1, 300, 20), (3, 700, 1100)])
def test_any_scene_can_be_animated(shape):
    scenes = torch.zeros(1, *shape, dtype=torch.uint8)
    path = look(scenes, torch.tensor([[[0.0, 0.0], [1.0, -1.0]]]), Retina(8, 2))
    frames = animate(scenes, path, CLASSES)
    assert len(frames) == 2 * HOLD + FLY + LINGER
    assert max(frames.shape[1:3]) < 800
    assert frames.min() < 50


def test_write_gif_can_be_read_back(tmp_path):
    frames = np.full((7, 20, 30, 3), 255, np.uint8)
    for t, frame in enumerate(frames):
        frame[:, 4 * t : 4 * t + 4] = (200, 30 * t, 0)
    write_gif(tmp_path / "gaze.gif", frames, fps=10)
    assert [path.name for path in tmp_path.iterdir()] == ["gaze.gif"]
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
    write_gif(tmp_path / "still.gif", frames)
    with Image.open(tmp_path / "still.gif") as file:
        times = []
        for t in range(file.n_frames):
            file.seek(t)
            times.append(file.info["duration"])
    assert times == [240, 160]


def test_write_gif_refuses(tmp_path):
    for frames in (np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="frames are"):
            write_gif(tmp_path / "no.gif", frames)
    with pytest.raises(ValueError, match="50 frames a second"):
        write_gif(tmp_path / "no.gif", np.zeros((1, 4, 4, 3), np.uint8), fps=60)
    assert not list(tmp_path.iterdir())


def test_clear_errors(drawn):
    scenes, path = drawn
    with pytest.raises(IndexError, match="no episode 2 among 2"):
        reconstruct(path, 2)
    with pytest.raises(IndexError, match="no episode -1"):
        draw_beliefs(path, -1, CLASSES)
    with pytest.raises(ValueError, match="counted from 1"):
        draw_seen(path, 0, until=0)
    with pytest.raises(ValueError, match="beliefs in 3 classes, 2 are named"):
        draw_beliefs(path, 0, CLASSES[:2])
    with pytest.raises(ValueError, match="made on 24x36 pixels, the scene has 36x24"):
        draw_scanpath(scenes[0].transpose(1, 2), path, 0)
    with pytest.raises(ValueError, match="1 scenes for 2 episodes"):
        draw_episodes(scenes[:1], path, CLASSES)
    with pytest.raises(ValueError, match="1 labels for 2 episodes"):
        animate(scenes, path, CLASSES, [0])
    with pytest.raises(ValueError, match="scenes are drawn as"):
        animate(scenes[:, :2], path, CLASSES)
    with pytest.raises(ValueError, match="no episodes were chosen"):
        draw_episodes(scenes, path, CLASSES, episodes=[])
    with pytest.raises(ValueError, match="no episodes to draw"):
        animate(scenes[:0], path[:0], CLASSES)


def test_drawing_loads_its_libraries_late_and_never_pyplot():
    code = """
import sys
import torch
import saccade.draw, saccade.animate
from saccade import Retina, Scanpath
assert not {"matplotlib", "cv2", "PIL"} & set(sys.modules), "loaded at import"
zeros, retina = torch.zeros, Retina(2, 1)
path = Scanpath(zeros(1, 1, 2), zeros(1, 1, 1, 1, 2, 2), zeros(1, 1, 1), zeros(1, 1), zeros(1, 1),
                torch.ones(1).long(), retina, 4, 4)
figure = saccade.draw.draw_episodes(zeros(1, 1, 4, 4), path, ["a"])
figure.canvas.draw()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
