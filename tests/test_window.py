"""The window, with a screen played by the tests: what is shown, and the keys that are pressed."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from saccade.agents.window import can_open_window, play


class Screen:
    """Takes what is shown and presses keys, the last of which closes."""

    def __init__(self, monkeypatch, keys):
        self.keys, self.shown, self.closed, self.visible = list(keys), [], 0, 1.0
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, frame: self.shown.append(frame[0, 0].tolist()))
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.press())
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.visible)
        monkeypatch.setattr(cv2, "destroyAllWindows", self.close)

    def press(self):
        key = self.keys.pop(0)
        return -1 if key == "" else ord(key)

    def close(self):
        self.closed += 1


def frames(number, count=3):
    """Frames that tell their episode in red and themselves in blue."""
    made = np.zeros((count, 4, 4, 3), np.uint8)
    made[..., 0], made[..., 2] = number, np.arange(count)[:, None, None]
    return made


EPISODES = [lambda: frames(10), lambda: frames(20)]


def seen(screen):
    """(episode, frame), as OpenCV has it: blue first."""
    assert all(blue in (0, 1, 2) and red in (10, 20) for blue, _, red in screen.shown)
    return [(red // 10, blue) for blue, _, red in screen.shown]


def test_plays_one_episode_after_the_other_for_ever(monkeypatch):
    screen = Screen(monkeypatch, [""] * 7 + ["q"])
    play(EPISODES)
    assert seen(screen) == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2), (1, 0), (1, 1)]
    assert screen.closed == 1


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("\x1b", [(1, 0)]),
        ("nnq", [(1, 0), (2, 0), (1, 0)]),
        ("Pq", [(1, 0), (2, 0)]),
        ("  q", [(1, 0), (1, 0), (1, 1)]),  # stops, and goes on
        ("...,q", [(1, 0), (1, 1), (1, 2), (1, 2), (1, 1)]),
        (",.q", [(1, 0), (1, 0), (1, 1)]),
    ],
)
def test_keys(monkeypatch, keys, wanted):
    screen = Screen(monkeypatch, keys)
    play(EPISODES)
    assert seen(screen) == wanted


def test_a_window_that_is_closed_ends_it(monkeypatch):
    screen = Screen(monkeypatch, [""])
    screen.visible = 0.0
    play(EPISODES)
    assert len(screen.shown) == screen.closed == 1


def test_where_there_is_no_screen_no_window_is_opened(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform != "linux":
        pytest.skip("a screen can only be taken away on Linux")
    assert not can_open_window()
    monkeypatch.setenv("DISPLAY", ":no-such-screen")
    assert not can_open_window()


def test_trying_does_not_end_this_process():
    """OpenCV's windows abort a process that has no screen: the trial is another process."""
    env = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    code = "from saccade.agents.window import can_open_window as can; can(); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "alive\n"
