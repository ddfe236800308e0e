import time

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from saccade.figure import RIGHT, WRONG
from saccade.fixations import Fixations
from saccade.gallery import choose_episodes, draw_episodes, draw_gallery, draw_side_by_side
from saccade.pictures import grow, shade, to_picture
from saccade.retina import Retina
from tests.episodes import CLASSES, episodes, look, render, two_episodes


@pytest.fixture
def drawn():
    return two_episodes()


def test_choose_episodes_by_hand():
    _, path = episodes(5, stop=[4, 4, 2, 4, 4])
    path.beliefs[:, 3] = torch.tensor([0.9, 0.05, 0.05])
    path.beliefs[1, 3] = torch.tensor([0.2, 0.5, 0.3])
    path.beliefs[2, 1] = torch.tensor([0.1, 0.3, 0.6])  # its last one
    path.beliefs[3, 3] = torch.tensor([0.4, 0.3, 0.3])
    path.beliefs[4, 3] = torch.tensor([0.1, 0.8, 0.1])
    labels = [0, 1, 2, 2, 0]  # answers are 0, 1, 2, 0, 1; certainties .9, .5, .6, .4, .8
    assert choose_episodes(path, "right", labels) == [0, 2, 1]
    assert choose_episodes(path, "wrong", torch.tensor(labels)) == [4, 3]
    assert choose_episodes(path, "uncertain") == [3, 1, 2, 4, 0]
    assert choose_episodes(path, "uncertain", labels, count=2) == [3, 1]
    with pytest.raises(ValueError, match="right, wrong or uncertain"):
        choose_episodes(path, "blue", labels)
    for none in (None, [1]):
        with pytest.raises(ValueError, match="a label for each of 5"):
            choose_episodes(path, "wrong", none)


def test_draw_gallery_lays_scenes_in_rows(drawn):
    scenes, path = drawn
    path.beliefs[0, 3] = torch.tensor([0.1, 0.7, 0.2])
    path.beliefs[1, 1] = torch.tensor([0.6, 0.3, 0.1])
    ax = Figure().add_subplot()
    assert draw_gallery(scenes, path, CLASSES, [1, 2], [1, 0, 0], columns=2, ax=ax) is ax
    across, down = 36 * 1.08, 24 * 1.3
    corners = [(0, 0), (across, 0), (0, down)]
    for image, n, (x, y) in zip(ax.images, [1, 0, 0], corners, strict=True):
        assert image.get_extent() == pytest.approx([x, x + 36, y + 24, y])
        assert (image.get_array()[::8, ::8] == to_picture(scenes[n])).all()
    words = [(text.get_text(), text.get_color()) for text in ax.texts]
    assert words[0] == ("ant, 60%\nis cat", WRONG)
    assert words[1] == words[2] == ("bee, 70%", RIGHT)
    dots = ax.collections[-1].get_offsets()
    assert len(dots) == 2 + 4 + 4
    spots = (path.locations[0] + 1) / 2 * torch.tensor([36, 24])
    np.testing.assert_allclose(dots[6:], spots + torch.tensor([0, down]), atol=1e-3)
    lines = [line for each in ax.collections[:-1] for line in each.get_segments()]
    assert len(lines) == 2 * (1 + 3 + 3)  # each with its shadow


def test_draw_gallery_without_labels_blames_nobody(drawn):
    ax = draw_gallery(*drawn, CLASSES)
    assert len({text.get_color() for text in ax.texts} & {RIGHT, WRONG}) == 0
    assert render(ax.figure).any()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 300), (1, 300, 20), (3, 2048, 4096)])
def test_any_scene_has_a_gallery(shape):
    scenes = torch.zeros(3, *shape, dtype=torch.uint8)
    path = look(scenes, torch.zeros(3, 1, 2), Retina(8, 2))
    ax = draw_gallery(scenes, path, CLASSES, [0, 1, 2], columns=2)
    assert max(image.get_array().size for image in ax.images) <= 400 * 400 * 3
    picture = render(ax.figure)
    assert picture.size < 40_000_000
    assert (picture == 0).any()


def test_a_gallery_of_64_is_drawn_in_time(tmp_path):
    scenes, path = episodes(64, channels=1, height=60, width=60, total=6, size=8)
    draw_gallery(scenes[:1], path[:1], CLASSES).figure.savefig(tmp_path / "warm.png")
    begun = time.process_time()
    draw_gallery(scenes, path, CLASSES, [0] * 64).figure.savefig(tmp_path / "gallery.png")
    assert time.process_time() - begun < 3


def test_draw_side_by_side(drawn):
    scenes, path = drawn
    person = Fixations.from_scanpath(path[1])
    axes = draw_side_by_side(scenes[0], {"agent": path[0], "person": person})
    assert [ax.get_title(loc="left") for ax in axes] == ["agent", "person"]
    assert [len(ax.patches) for ax in axes] == [3, 0]  # a person has no retina of ours
    assert [sum(bool(text.get_text()) for text in ax.texts) for ax in axes] == [4, 2]
    assert axes[0].figure is axes[1].figure
    render(axes[0].figure)
    boxes = [ax.get_tightbbox() for ax in axes]
    assert boxes[0].x1 < boxes[1].x0
    given = list(Figure().subplots(1, 1, squeeze=False)[0])
    assert draw_side_by_side(scenes[0], {"agent": path[0]}, until=2, axes=given) == given
    with pytest.raises(ValueError, match="agent has 2 episodes"):
        draw_side_by_side(scenes[0], {"agent": path})
    with pytest.raises(ValueError, match="nobody's gaze"):
        draw_side_by_side(scenes[0], {})
    with pytest.raises(ValueError, match="2 gazes, but 1 axes"):
        draw_side_by_side(scenes[0], {"agent": path[0], "person": person}, axes=given)
    with pytest.raises(ValueError, match="made on 24x36 pixels"):
        draw_side_by_side(scenes[0][:, :20], {"person": person})


def test_draw_episodes(drawn):
    scenes, path = drawn
    path.beliefs[:] = torch.tensor([0.1, 0.7, 0.2])
    figure = draw_episodes(scenes, path, CLASSES, torch.tensor([1, 2]), episodes=[1, 0])
    assert isinstance(figure.canvas, FigureCanvasAgg)  # needs no display
    titles = [(ax.get_title(loc="left"), ax._left_title.get_color()) for ax in figure.axes]
    assert [(title, to_rgba(color)) for title, color in titles if title] == [
        ("says bee, wrong: it is cat", to_rgba(WRONG)),
        ("says bee, right", to_rgba(RIGHT)),
    ]
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


@pytest.mark.parametrize("draw", [draw_episodes, draw_gallery])
def test_clear_errors(draw, drawn):
    scenes, path = drawn
    with pytest.raises(ValueError, match="1 scenes for 2 episodes"):
        draw(scenes[:1], path, CLASSES)
    with pytest.raises(ValueError, match="1 labels for 2 episodes"):
        draw(scenes, path, CLASSES, [0])
    with pytest.raises(ValueError, match="scenes are drawn as"):
        draw(scenes[:, :2], path, CLASSES)
    with pytest.raises(ValueError, match="made on 24x36 pixels"):
        draw(scenes[..., :30], path, CLASSES)
    with pytest.raises(ValueError, match="no episodes were chosen"):
        draw(scenes, path, CLASSES, episodes=[])
    with pytest.raises(ValueError, match="no episodes to draw"):
        draw(scenes[:0], path[:0], CLASSES)
    with pytest.raises(IndexError, match="no episode 7 among 2"):
        draw(scenes, path, CLASSES, episodes=[7])
