"""A window in which episodes play, where there is a screen and an OpenCV that has windows."""

import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np

TITLE = "saccade"
KEYS = "space stops and goes on, . and , step, n and p change the episode, q closes"
TRIAL = "import cv2; cv2.namedWindow('saccade'); cv2.waitKey(1); cv2.destroyAllWindows()"


def can_open_window() -> bool:
    """Whether a window can be opened here, tried in a process of its own.

    OpenCV raises an error where it was built without windows, but ends the whole process where
    no screen answers.
    """
    trial = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, check=False)
    return trial.returncode == 0


def play(
    episodes: Sequence[Callable[[], Sequence[np.ndarray]]], fps: float = 12.5, title: str = TITLE
) -> None:
    """Plays episodes one after the other, for ever, until the window is closed.

    Keys: see `KEYS`.

    Args:
        episodes: One or more, each a function that gives its frames, `(h, w, 3)` uint8 RGB; those
            of one episode are in memory at a time.
        fps: Frames a second.
        title: Of the window.
    """
    import cv2

    cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    number, running = 0, True
    try:
        while True:
            frames, at = episodes[number](), 0
            turn = 0
            while not turn:
                cv2.imshow(title, frames[at][..., ::-1])
                key = chr(cv2.waitKey(round(1000 / fps)) & 0xFF).lower()
                if key in ("q", "\x1b") or cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
                    return
                turn = {"n": 1, "p": -1}.get(key, 0)
                running = running != (key == " ")
                if key in ".,":
                    running = False
                    at = min(max(at + (1 if key == "." else -1), 0), len(frames) - 1)
                elif running and not turn:
                    at += 1
                    if at == len(frames):
                        turn = 1
            number = (number + turn) % len(episodes)
    finally:
        cv2.destroyAllWindows()
