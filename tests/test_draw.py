import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from saccade.draw import (
    draw_beliefs,
    draw_fixations,
    draw_growth,
    draw_scanpath,
    draw_seen,
    draw_windows,
)
from saccade.fixations import Fixations
from saccade.geometry import to_pixels, window_starts
from saccade.pictures import UNSEEN, grow, shade, time_colors
from saccade.retina import Retina
from tests.episodes import CLASSES, look, render, two_episodes


@pytest.fixture
def drawn():
    return two_episodes()


def numbers(ax):
    """The numbers on fixations; arrows are empty annotations."""
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_draw_scanpath_on_given_axes(drawn):
    scenes, path = drawn
    ax = Figure().add_subplot()
    assert draw_scanpath(scenes[0], path, 0, until=3, ax=ax) is ax
    assert numbers(ax) == ["1", "2", "3"]
    assert len(ax.texts) == 3 + 2
    spots = to_pixels(path.locations[0, :3], 24, 36)
    where = [text.get_position() for text in ax.texts if text.get_text()]
    np.testing.assert_allclose(where, spots)
    squares = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in ax.patches]
    starts = window_starts(path.locations[0, 2:3], 4, 3, 2, 24, 36)[0].tolist()
    assert squares == [(*start, side, side) for start, side in zip(starts, [4, 8, 16], strict=True)]
    assert ax.images[0].get_extent() == [0, 36, 24, 0]
    assert ax.get_xlim() == (0, 36)
    assert ax.get_ylim() == (24, 0)


def test_draw_scanpath_draws_only_what_was_taken(drawn):
    scenes, path = drawn
    for until in (None, 2, 9):
        assert numbers(draw_scanpath(scenes[1].float() / 255, path, 1, until)) == ["1", "2"]


def test_draw_scanpath_reduces_large_scenes():
    scene = torch.zeros(1, 1, 40, 4096, dtype=torch.uint8)
    ax = draw_scanpath(scene[0], look(scene, torch.zeros(1, 1, 2), Retina(8, 2)), 0)
    assert ax.images[0].get_array().shape == (10, 1024, 3)
    assert ax.images[0].get_extent() == [0, 4096, 40, 0]
    assert render(ax.figure).any()


def test_draw_windows_draws_them_at_each_fixation(drawn):
    scenes, path = drawn
    ax = draw_windows(scenes[0], path, 0, until=3)
    squares = [(*patch.get_xy(), patch.get_width()) for patch in ax.patches]
    starts = window_starts(path.locations[0, :3], 4, 3, 2, 24, 36).tolist()
    assert squares == [
        (*start, side) for each in starts for start, side in zip(each, [4, 8, 16], strict=True)
    ]
    colors = [patch.get_edgecolor()[:3] for patch in ax.patches[::3]]
    np.testing.assert_allclose(colors, time_colors(4)[:3])
    assert len(ax.collections[0].get_offsets()) == 3
    assert len(draw_windows(scenes[1], path, 1).patches) == 2 * 3


def test_people_are_drawn_as_agents_are_but_without_a_retina(drawn):
    scenes, path = drawn
    person = Fixations.from_scanpath(path)
    for gaze in (person, path):
        ax = draw_fixations(scenes[1], gaze, 1)
        assert numbers(ax) == ["1", "2"]
        assert not ax.patches
        spots = to_pixels(path.locations[1, :2], 24, 36)
        np.testing.assert_allclose([line.get_xydata()[0] for line in ax.lines], spots, atol=1e-5)
    with pytest.raises(ValueError, match="draw it on the scene that was seen"):
        draw_fixations(scenes[0].transpose(1, 2), person, 0)


def test_draw_seen_paints_the_unseen_dark():
    scene = torch.full((1, 1, 9, 9), 255, dtype=torch.uint8)
    path = look(scene, torch.tensor([[[0.0, 0.0], [0.9, 0.9]]]), Retina(3, 1))
    picture = render(draw_seen(path, 0, until=1).figure)
    height, width = picture.shape[:2]
    assert picture[height // 2, width // 2].tolist() == [255] * 3
    assert picture[10, 10].tolist() == picture[-10, -10].tolist() == list(UNSEEN)
    assert render(draw_seen(path, 0).figure)[-10, -10].tolist() == [255] * 3


def test_draw_growth_lays_what_was_seen_side_by_side(drawn):
    _, path = drawn
    shades = [shade(image, finest, 3) for image, finest in grow(path, 0)]
    ax = draw_growth(path, 0)
    assert [image.get_extent()[:2] for image in ax.images] == [
        pytest.approx([36 * 1.06 * t, 36 * 1.06 * t + 36]) for t in range(4)
    ]
    for image, truth in zip(ax.images, shades, strict=True):
        assert (image.get_array() == truth).all()
    other = Figure().add_subplot()
    assert draw_growth(path, 0, [3, 1, 3], other, gap=0.5) is other
    assert other.get_xlim() == (0, 36 * 4)
    pictures = {image.get_extent()[0]: image.get_array() for image in other.images}
    for left, t in ((0, 3), (54, 1), (108, 3)):
        assert (pictures[left] == shades[t - 1]).all()
    for wrong in ([0], [5], []):
        with pytest.raises(ValueError, match="moments are from 1 to the 4 glimpses taken"):
            draw_growth(path, 0, wrong)


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


def test_a_figure_of_its_own_has_room_for_all_words(drawn):
    _, path = drawn
    ax = draw_beliefs(path, 0, ["a rather long name", "bee", "cat"])
    render(ax.figure)
    box = ax.get_tightbbox()
    width, height = ax.figure.canvas.get_width_height()
    assert 0 <= box.x0 < box.x1 <= width
    assert 0 <= box.y0 < box.y1 <= height


def test_clear_errors(drawn):
    scenes, path = drawn
    with pytest.raises(IndexError, match="no episode -1"):
        draw_beliefs(path, -1, CLASSES)
    with pytest.raises(ValueError, match="counted from 1"):
        draw_seen(path, 0, until=0)
    with pytest.raises(ValueError, match="beliefs in 3 classes, 2 are named"):
        draw_beliefs(path, 0, CLASSES[:2])
    with pytest.raises(ValueError, match="made on 24x36 pixels, the scene has 36x24"):
        draw_scanpath(scenes[0].transpose(1, 2), path, 0)


def test_drawing_loads_its_libraries_late_and_never_pyplot():
    code = """
import sys
import torch
import saccade.draw, saccade.gallery, saccade.distributions, saccade.explain
import saccade.animate, saccade.video
from saccade import Retina, Scanpath
assert not {"matplotlib", "cv2", "PIL"} & set(sys.modules), "loaded at import"
zeros, retina = torch.zeros, Retina(2, 1)
path = Scanpath(zeros(1, 2, 2), zeros(1, 2, 1, 1, 2, 2), zeros(1, 2, 1), zeros(1, 2), zeros(1, 2),
                torch.full((1,), 2), retina, 4, 4)
path.locations[0, 1] = 0.5
figure = saccade.gallery.draw_episodes(zeros(1, 1, 4, 4), path, ["a"])
figure.canvas.draw()
saccade.gallery.draw_gallery(zeros(1, 1, 4, 4), path, ["a"]).figure.canvas.draw()
saccade.distributions.draw_heatmap(path).figure.canvas.draw()
saccade.distributions.draw_directions(path).figure.canvas.draw()
saccade.distributions.draw_amplitudes(path).figure.canvas.draw()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
