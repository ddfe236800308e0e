"""What pictures of the gaze are made of: scenes, glimpses and beliefs as arrays to be drawn.

Still pictures are drawn from these by `saccade.draw`, `saccade.gallery`, `saccade.distributions`
and `saccade.explain`, moving ones by `saccade.animate`.

Convention:
    Pictures are `(height, width, 3)` uint8 RGB. Color tells time, from the first glimpse
    (violet) to the last (yellow).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from saccade.fixations import Fixations
from saccade.geometry import window_starts
from saccade.scanpath import Scanpath

UNSEEN = (38, 43, 57)  # RGB of what nothing has looked at: dark, and not the black of a scene
LONGEST = 1024  # pixels; larger scenes are reduced before they are drawn

Gaze = Scanpath | Fixations  # an agent's or a person's


def reconstruct(scanpath: Scanpath, episode: int, longest: int | None = None) -> np.ndarray:
    """What the agent had seen after each glimpse, made from its glimpses alone.

    Every cell of every glimpse lies at its true place. Sharper lies over coarser, whichever
    came first; of two cells equally sharp the newer one is on top.

    Args:
        scanpath: N episodes.
        episode: Which of them, 0..N-1.
        longest: Longer side in pixels to which larger pictures are reduced; without it they
            have the scene's size.

    Returns:
        `(T, H, W, C)` float32 in [0, 1], 0 where nothing has looked yet. After the last
        glimpse that was taken the picture stays as it is.

    Raises:
        IndexError: If there is no such episode.
    """
    pictures = [np.clip(image, 0, 1) for image, _ in grow(scanpath, episode, longest)]
    pictures += [pictures[-1]] * (scanpath.num_glimpses - len(pictures))
    return np.stack(pictures)


def grow(
    scanpath: Scanpath, episode: int, longest: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `reconstruct` gives, one glimpse after the other, and how sharply it was seen.

    Args:
        scanpath: N episodes.
        episode: Which of them, 0..N-1.
        longest: Longer side in pixels to which a larger picture is reduced while it is made, so
            that the memory it takes does not grow with the scene; without it the scene's size.

    Yields:
        For each glimpse taken: `(H, W, C)` float32, the cells as the retina gave them, and
        `(H, W)` int16, the finest scale at which each pixel was seen, S where it was not.
        Each time the same two arrays, changed in place.

    Raises:
        IndexError: If there is no such episode.
    """
    taken = count_taken(scanpath, episode)
    one, retina = scanpath[episode].cpu(), scanpath.retina
    height, width = size = scanpath.height, scanpath.width
    starts = window_starts(
        one.locations[0], retina.size, retina.scales, retina.factor, height, width
    ).tolist()  # (T, S, 2)
    glimpses = one.glimpses[0].float().numpy()  # (T, S, C, g, g)
    height, width = size if longest is None else reduced_size(*size, longest)
    # The scene's pixel in the middle of each row and column of the picture.
    ys = ((np.arange(height) + 0.5) * (size[0] / height)).astype(int)
    xs = ((np.arange(width) + 0.5) * (size[1] / width)).astype(int)
    step = max(size[0] / height, size[1] / width)
    image = np.zeros((height, width, glimpses.shape[2]), np.float32)
    finest = np.full((height, width), retina.scales, np.int16)
    for t in range(taken):
        for s in range(retina.scales):
            (left, top), side, cell = starts[t][s], retina.sides[s], retina.factor**s
            rows = np.flatnonzero((ys >= top) & (ys < top + side))
            columns = np.flatnonzero((xs >= left) & (xs < left + side))
            if not len(rows) or not len(columns):
                continue  # the window misses the scene
            here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            glimpse = _average(glimpses[t, s].transpose(1, 2, 0), round(step / cell))
            cells = glimpse[(ys[rows] - top) // cell][:, (xs[columns] - left) // cell]
            open_to = finest[here] >= s  # not to be laid over anything sharper
            image[here][open_to] = cells[open_to]
            finest[here][open_to] = s
        yield image, finest


def _average(glimpse: np.ndarray, count: int) -> np.ndarray:
    """`(g, g, C)` with each cell the mean of `count` x `count` around it."""
    if count < 2:
        return glimpse
    import cv2

    blurred = cv2.blur(np.ascontiguousarray(glimpse), (count, count), borderType=cv2.BORDER_REFLECT)
    return blurred.reshape(glimpse.shape)


def to_picture(scene: Tensor | np.ndarray) -> np.ndarray:
    """Makes a scene fit to be drawn.

    Args:
        scene: `(C, H, W)`, C of 1 or 3; uint8, or float in [0, 1] (clipped to it).

    Returns:
        `(H, W, 3)` uint8, RGB.

    Raises:
        ValueError: If the scene is neither grey nor RGB.
    """
    array = scene.detach().cpu().numpy() if isinstance(scene, Tensor) else np.asarray(scene)
    if array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ValueError(
            f"a picture is drawn of (1, height, width) or (3, height, width), got {array.shape}"
        )
    picture = np.empty((*array.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(np.broadcast_to(array, (3, *array.shape[1:]))):
        if array.dtype != np.uint8:  # a plane at a time: scenes may be large
            plane = (np.clip(np.nan_to_num(plane), 0, 1) * 255).round()
        picture[..., channel] = plane
    return picture


def shade(image: np.ndarray, finest: np.ndarray, scales: int) -> np.ndarray:
    """Makes a picture of what `grow` yields: what was seen, the unseen in dark slate.

    Args:
        image: `(H, W, C)` float in [0, 1], C of 1 or 3.
        finest: `(H, W)` finest scale seen at each pixel.
        scales: S, which in `finest` means unseen.

    Returns:
        `(H, W, 3)` uint8, RGB.

    Raises:
        ValueError: If the glimpses are neither grey nor RGB.
    """
    picture = to_picture(image.transpose(2, 0, 1))
    picture[finest == scales] = UNSEEN
    return picture


def resize(picture: np.ndarray, longest: int) -> np.ndarray:
    """Brings a picture near a size without blurring pixels that can be seen one by one.

    Args:
        picture: `(H, W, 3)` uint8.
        longest: Wanted length of the longer side in pixels.

    Returns:
        `(h, w, 3)` uint8: larger pictures reduced by averaging to exactly that length,
        smaller ones enlarged by the whole factor that comes nearest to it.
    """
    import cv2

    height, width = picture.shape[:2]
    if max(height, width) > longest:
        size = reduced_size(height, width, longest)[::-1]
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    times = max(round(longest / max(height, width)), 1)
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def reduced_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width in pixels, reduced where the longer exceeds `longest`, aspect kept."""
    scale = min(longest / max(height, width), 1)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def time_colors(count: int) -> np.ndarray:
    """Colors of glimpses 1 to `count`: `(count, 3)` float RGB in [0, 1], evenly far apart."""
    from matplotlib import colormaps

    return colormaps["plasma"](np.linspace(0.3, 0.92, count))[:, :3]


def count_taken(gaze: Gaze, episode: int, until: int | None = None) -> int:
    """How many fixations of an episode there are to draw: those taken, at most `until`.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If `until` is less than 1.
    """
    if not 0 <= episode < len(gaze):
        raise IndexError(f"there is no episode {episode} among {len(gaze)} (from 0)")
    if until is not None and until < 1:
        raise ValueError(f"glimpses are counted from 1; nothing can be drawn until {until}")
    taken = int((gaze.stop if isinstance(gaze, Scanpath) else gaze.counts)[episode])
    return taken if until is None else min(taken, until)


def get_beliefs(scanpath: Scanpath, episode: int, classes: Sequence[str]) -> np.ndarray:
    """Beliefs after each glimpse taken, `(stop, K)` float32; what is not a number becomes 0.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If there are not as many names as classes.
    """
    taken, known = count_taken(scanpath, episode), scanpath.beliefs.shape[-1]
    if len(classes) != known:
        raise ValueError(f"the scanpath has beliefs in {known} classes, {len(classes)} are named")
    return np.nan_to_num(scanpath.beliefs[episode, :taken].detach().cpu().float().numpy())


def top_classes(beliefs: np.ndarray, count: int, label: int | None = None) -> list[int]:
    """The classes worth showing, by falling belief after the last glimpse.

    Args:
        beliefs: `(t, K)`.
        count: How many classes, at most.
        label: The true class, if it is known.

    Returns:
        Class indices: the answer and the label first of all, then those that were once most
        believed in.
    """
    answer = int(beliefs[-1].argmax())
    wanted = [answer] if label is None else [answer, label]
    wanted += np.argsort(-beliefs.max(0), kind="stable").tolist()
    chosen = list(dict.fromkeys(wanted))[: max(count, 1)]
    return sorted(chosen, key=lambda k: -beliefs[-1, k])


def last_beliefs(scanpath: Scanpath) -> np.ndarray:
    """Beliefs after each episode's last glimpse, `(N, K)` float32; no numbers become 0."""
    last = scanpath.stop.to(scanpath.beliefs.device)[:, None, None] - 1
    beliefs = scanpath.beliefs.take_along_dim(last, 1)[:, 0]
    return np.nan_to_num(beliefs.detach().cpu().float().numpy())


def verdict(
    scanpath: Scanpath, episode: int, classes: Sequence[str], label: int | None = None
) -> tuple[str, bool | None]:
    """The answer after the last glimpse, in words, and whether it is right, where that is known.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If there are not as many names as classes.
    """
    answer = int(get_beliefs(scanpath, episode, classes)[-1].argmax())
    said = f"says {shorten(classes[answer], 24)}"
    if label is None:
        return said, None
    ending = "right" if answer == label else f"wrong: it is {shorten(classes[label], 24)}"
    return f"{said}, {ending}", answer == label


def check_scenes(
    scenes: Tensor | np.ndarray, scanpath: Scanpath, labels: Tensor | Sequence[int] | None
) -> None:
    """Checks that these are the scenes of a scanpath, and its labels, one for each episode.

    Raises:
        ValueError: If they differ in number or size, or are neither grey nor RGB.
    """
    if len(scenes) != len(scanpath):
        raise ValueError(f"{len(scenes)} scenes for {len(scanpath)} episodes; give one for each")
    if labels is not None and len(labels) != len(scanpath):
        raise ValueError(f"{len(labels)} labels for {len(scanpath)} episodes; give one for each")
    if not len(scanpath):
        raise ValueError("there are no episodes to draw")
    if scenes.ndim != 4 or scenes.shape[1] not in (1, 3):
        raise ValueError(
            "scenes are drawn as (N, 1, height, width) or (N, 3, height, width), got "
            f"{tuple(scenes.shape)}"
        )
    check_size(tuple(scenes.shape[2:]), scanpath)


def check_size(size: tuple[int, ...], gaze: Gaze) -> None:
    """Checks a scene's `(height, width)` against the scanpath's.

    Raises:
        ValueError: If they differ.
    """
    if size != (gaze.height, gaze.width):
        raise ValueError(
            f"the scanpath was made on {gaze.height}x{gaze.width} pixels, the scene has "
            f"{'x'.join(map(str, size))}; draw it on the scene that was seen"
        )


def shorten(name: str, most: int = 16) -> str:
    """A class name that fits beside a bar."""
    return name if len(name) <= most else name[: most - 1] + "…"
