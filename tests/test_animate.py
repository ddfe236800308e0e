import numpy as np
import pytest
import torch

from saccade.animate import FLY, HEAD, HOLD, LINGER, PAD, animate, draw_frame
from saccade.geometry import window_starts
from saccade.pictures import grow, resize, shade, to_picture
from saccade.retina import Retina
from tests.episodes import CLASSES, look, two_episodes


@pytest.fixture
def drawn():
    return two_episodes()


def test_animate_plays_every_glimpse_that_was_taken(drawn):
    scenes, path = drawn
    animation = animate(scenes, path, CLASSES, [0, 1], side=180)
    frames = np.stack(list(animation))
    assert frames.dtype == np.uint8
    assert len(frames) == len(animation)
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


def test_an_animation_plays_again_to_the_same_frames(drawn):
    animation = animate(*drawn, CLASSES, episodes=[1])
    one, again = list(animation), list(animation)
    assert all((a == b).all() for a, b in zip(one, again, strict=True))


def test_an_animation_is_drawn_as_it_is_asked_for():
    # A thousand episodes of it would take gigabytes.
    scenes = torch.zeros(1000, 1, 8, 8, dtype=torch.uint8)
    path = look(scenes, torch.zeros(1000, 3, 2), Retina(2, 1))
    animation = animate(scenes, path, CLASSES, episodes=range(1000))
    assert len(animation) == 1000 * (3 * HOLD + 2 * FLY + LINGER)
    assert next(iter(animation)).dtype == np.uint8


def test_draw_frame_is_the_last_moment_of_the_animation(drawn):
    scenes, path = drawn
    frame = draw_frame(scenes[1], path, 1, side=180)
    assert frame.shape == (120, 2 * 180 + PAD, 3)
    *_, last = animate(scenes, path, CLASSES, episodes=[1], side=180)
    left = (last.shape[1] - frame.shape[1]) // 2
    assert (frame == last[HEAD : HEAD + 120, left : left + frame.shape[1]]).all()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 1, 90), (1, 300, 20), (3, 3000, 4096)])
def test_any_scene_can_be_animated(shape):
    scenes = torch.zeros(1, *shape, dtype=torch.uint8)
    path = look(scenes, torch.tensor([[[0.0, 0.0], [1.0, -1.0]]]), Retina(8, 2))
    frames = np.stack(list(animate(scenes, path, CLASSES)))
    assert len(frames) == 2 * HOLD + FLY + LINGER
    assert max(frames.shape[1:3]) < 800
    assert frames.min() < 50


def test_clear_errors_before_anything_is_drawn(drawn):
    scenes, path = drawn
    with pytest.raises(ValueError, match="1 labels for 2 episodes"):
        animate(scenes, path, CLASSES, [0])
    with pytest.raises(ValueError, match="scenes are drawn as"):
        animate(scenes[:, :2], path, CLASSES)
    with pytest.raises(ValueError, match="no episodes to draw"):
        animate(scenes[:0], path[:0], CLASSES)
    with pytest.raises(ValueError, match="no episodes were chosen"):
        animate(scenes, path, CLASSES, episodes=[])
    with pytest.raises(ValueError, match="beliefs in 3 classes, 2 are named"):
        animate(scenes, path, CLASSES[:2])
    with pytest.raises(IndexError, match="no episode 2 among 2"):
        animate(scenes, path, CLASSES, episodes=[0, 2])
    with pytest.raises(ValueError, match="draw it on the scene that was seen"):
        draw_frame(scenes[0, :, :10], path, 0)
