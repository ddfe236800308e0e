"""The classification worlds: digits as they are, digits in clutter, and your own images."""

from functools import lru_cache
from typing import Any, Literal

from numpy.typing import NDArray

from saccade.data import Splits, load
from saccade.envs.classify import Classify
from saccade.envs.options import GazeOptions
from saccade.envs.single import GazeEnv
from saccade.envs.vector import GazeVectorEnv
from saccade.imageset import ImageSet
from saccade.npz import from_arrays
from saccade.scenes import Layout, SceneMaker, default_side

Split = Literal["train", "validation", "test"]


@lru_cache(maxsize=4)
def _data(name: str) -> Splits:
    """Data is read once in a process, not once for each environment."""
    return load(name, seed=0)


def _split(data: str, split: Split) -> ImageSet:
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split is train, validation or test, got {split!r}")
    return getattr(_data(data), split)


def _classify(
    pool: ImageSet, device: Any, layout: Layout, side: int, clutter: int, clutter_size: int
) -> Classify:
    if layout not in ("centered", "translated", "cluttered"):
        raise ValueError(f"layout is centered, translated or cluttered, got {layout!r}")
    side = side or default_side(layout, *pool.images.shape[-2:])
    return Classify(SceneMaker(pool.to(device), layout, side, clutter, clutter_size))


def make_digits(
    options: GazeOptions,
    device: Any,
    *,
    data: str = "digits",
    split: Split = "train",
    layout: Literal["centered", "translated"] = "centered",
    side: int = 0,
) -> Classify:
    """The task of `saccade/Digits-v0`."""
    if layout not in ("centered", "translated"):
        raise ValueError(f"layout is centered or translated, got {layout!r}")
    return _classify(_split(data, split), device, layout, side, 0, 1)


def make_cluttered_digits(
    options: GazeOptions,
    device: Any,
    *,
    data: str = "digits",
    split: Split = "train",
    side: int = 0,
    clutter: int = 4,
    clutter_size: int = 8,
) -> Classify:
    """The task of `saccade/ClutteredDigits-v0`."""
    return _classify(_split(data, split), device, "cluttered", side, clutter, clutter_size)


def make_image_classify(
    options: GazeOptions,
    device: Any,
    *,
    images: NDArray | None = None,
    labels: NDArray | None = None,
    data: str | None = None,
    split: Split = "train",
    layout: Layout = "centered",
    side: int = 0,
    clutter: int = 4,
    clutter_size: int = 8,
) -> Classify:
    """The task of `saccade/ImageClassify-v0`."""
    if data is not None and images is None and labels is None:
        pool = _split(data, split)
    elif data is None and images is not None and labels is not None:
        pool = from_arrays(images, labels)
    else:
        raise ValueError("give images and labels, two arrays, or data, a path; one of the two ways")
    return _classify(pool, device, layout, side, clutter, clutter_size)


class DigitsEnv(GazeEnv):
    """Read a digit by moving your gaze over it.

    ## Description
    The glimpse tasks of Mnih et al. 2014 ("Recurrent Models of Visual Attention", section 4)
    without clutter: a digit fills the scene (`layout="centered"`) or lies at a random place of a
    black scene ("translated"). The scene is never seen as a whole, only through a retina: a few
    concentric windows around the gaze, the smallest sharp, the wider ones coarse.

    ## Action Space
    With `action_mode="box"`: `Box(-1, 1, (2 + K,), float32)`, K = 10 classes.

    | index | meaning                                             |
    |-------|-----------------------------------------------------|
    | 0     | x of the next gaze, -1 the left edge, +1 the right  |
    | 1     | y of the next gaze, -1 the upper edge, +1 the lower |
    | 2...  | score of each class; the highest is the decision    |

    | action_mode   | space                       | meaning                                    |
    |---------------|-----------------------------|--------------------------------------------|
    | multidiscrete | MultiDiscrete([G, G, K])    | column and row of a grid of places, class  |
    | discrete      | Discrete(G * G + K)         | a place to look at, or an answer           |
    | dict          | Dict(gaze=Box, decision=Discrete) | gaze as in box, class                |

    With `gaze_mode="relative"` a gaze of ±1 moves by `reach`. With `stop="decide"` there is one
    more choice, the last: look on (in discrete, every place says so). The gaze of a step that ends
    the episode is ignored. A gaze outside is clipped to the edge, and `info["gaze_clipped"]` says
    so; numbers that are not finite or not in the space are refused.

    ## Observation Space
    `Dict`:

    | key     | shape                                   | range   | meaning                    |
    |---------|-----------------------------------------|---------|----------------------------|
    | glimpse | (scales, channels, size, size) float32  | [0, 1]  | what the retina sees       |
    | gaze    | (2,) float32                            | [-1, 1] | where it was seen, (x, y)  |
    | t       | (1,) float32                            | [0, 1]  | share of glimpses taken    |

    ## Rewards
    1 for the right class when the decision counts, otherwise 0 (`info["reward_decision"]`), and
    -`price` for each glimpse after the first (`info["reward_price"]`).

    ## Starting State
    A new scene; the first glimpse is at the center, or uniformly random (`first`).

    ## Episode End
    Terminates after `glimpses` steps: the reset gives the first glimpse, every step but the
    last another one, the last step only carries the decision. With `stop="decide"` a decision
    ends it at once, with "correct" the right one does. It is never truncated.
    `info["is_success"]` says in the last step whether the decision was right;
    `info["label"]` holds the answer at all times, for analysis, not for agents.

    ## Arguments
    | name         | default    | meaning                                                       |
    |--------------|------------|---------------------------------------------------------------|
    | data         | "digits"   | what to show: see `saccade.data.load`                         |
    | split        | "train"    | which part of it: "train", "validation" or "test"             |
    | layout       | "centered" | "centered" or "translated"                                    |
    | side         | 0          | side of the scene in pixels; 0 takes 60 for 28x28 images     |
    | size         | 8          | side of a glimpse in cells                                    |
    | scales       | 1          | windows of the retina                                         |
    | factor       | 2          | by how much each window is wider than the last                |
    | glimpses     | 6          | glimpses in an episode                                        |
    | first        | "center"   | where the first glimpse goes: "center" or "random"            |
    | stop         | "budget"   | what ends an episode: "budget", "decide" or "correct"         |
    | price        | 0.0        | what a glimpse costs                                          |
    | action_mode  | "box"      | "box", "multidiscrete", "discrete" or "dict"                  |
    | gaze_mode    | "absolute" | "absolute" or "relative"                                      |
    | grid         | 8          | G, places on each axis of the discrete action spaces          |
    | reach        | 0.5        | longest relative movement on an axis; the scene is 2 wide     |
    | render_mode  | None       | None or "rgb_array"                                           |

    ## Version History
    * v0: first version.
    """

    make_task = staticmethod(make_digits)
    defaults = GazeOptions(size=8, scales=1, glimpses=6)


class ClutteredDigitsEnv(GazeEnv):
    """Find a digit among clutter by moving your gaze, then say which digit it is.

    ## Description
    The cluttered glimpse task of Mnih et al. 2014 ("Recurrent Models of Visual Attention",
    section 4): a digit lies at a random place of a black scene with pieces of other digits
    around it. The scene is never seen as a whole, only through a retina: a few concentric
    windows around the gaze, the smallest sharp, the wider ones coarse.

    ## Action Space
    As `DigitsEnv`: `Box(-1, 1, (2 + K,), float32)`, gaze (x, y), then a score for each of K = 10
    classes; other spaces by `action_mode`.

    ## Observation Space
    As `DigitsEnv`: a Dict of `glimpse` (scales, channels, size, size), `gaze` (2,) and `t` (1,).

    ## Rewards
    1 for the right class when the decision counts, otherwise 0 (`info["reward_decision"]`), and
    -`price` for each glimpse after the first (`info["reward_price"]`).

    ## Starting State
    A new scene; the first glimpse is at the center, or uniformly random (`first`).

    ## Episode End
    As `DigitsEnv`: after `glimpses` steps, or earlier by `stop`.

    ## Arguments
    Those of `DigitsEnv` without `layout`; these are new or begin from other values:

    | name         | default   | meaning                                                     |
    |--------------|-----------|-------------------------------------------------------------|
    | side         | 0         | side of the scene in pixels; 0 takes 60 for 28x28 images   |
    | clutter      | 4         | pieces of other images                                      |
    | clutter_size | 8         | side of a piece in pixels                                   |
    | size         | 12        | side of a glimpse in cells                                  |
    | scales       | 3         | windows of the retina                                       |
    | glimpses     | 8         | glimpses in an episode                                      |

    ## Version History
    * v0: first version.
    """

    make_task = staticmethod(make_cluttered_digits)
    defaults = GazeOptions(size=12, scales=3, glimpses=8)


class ImageClassifyEnv(GazeEnv):
    """Say what your own images show, by moving your gaze over them.

    ## Description
    The classification task on images of any height and width, grey or RGB: as they are
    (`layout="centered"`), at a random place of a black scene ("translated"), or there among
    pieces of other images ("cluttered").

    ## Action Space
    As `DigitsEnv`, K being the number of classes.

    ## Observation Space
    As `DigitsEnv`: a Dict of `glimpse` (scales, channels, size, size), `gaze` (2,) and `t` (1,).

    ## Rewards
    As `DigitsEnv`: 1 for the right class when the decision counts, less `price` a glimpse.

    ## Starting State
    A new scene; the first glimpse is at the center, or uniformly random (`first`).

    ## Episode End
    As `DigitsEnv`: after `glimpses` steps, or earlier by `stop`.

    ## Arguments
    Those of `DigitsEnv`; these are new or begin from other values:

    | name         | default    | meaning                                                      |
    |--------------|------------|--------------------------------------------------------------|
    | images       | None       | (N, H, W), (N, H, W, C) or (N, C, H, W) array, uint8 or [0, 1] |
    | labels       | None       | (N,) integers or text                                        |
    | data         | None       | or, instead of both: a path, see `saccade.data.load`         |
    | layout       | "centered" | "centered", "translated" or "cluttered"                      |
    | clutter      | 4          | pieces of other images, for "cluttered"                      |
    | clutter_size | 8          | side of a piece in pixels                                    |
    | size         | 12         | side of a glimpse in cells                                   |
    | scales       | 3          | windows of the retina                                        |
    | glimpses     | 6          | glimpses in an episode                                       |

    ## Version History
    * v0: first version.
    """

    make_task = staticmethod(make_image_classify)
    defaults = GazeOptions(size=12, scales=3, glimpses=6)


class DigitsVectorEnv(GazeVectorEnv):
    """`DigitsEnv`, many rows at once."""

    face = DigitsEnv


class ClutteredDigitsVectorEnv(GazeVectorEnv):
    """`ClutteredDigitsEnv`, many rows at once."""

    face = ClutteredDigitsEnv


class ImageClassifyVectorEnv(GazeVectorEnv):
    """`ImageClassifyEnv`, many rows at once."""

    face = ImageClassifyEnv
