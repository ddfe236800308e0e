"""Fixations: gaze on images, whoever looked, in NumPy: what metrics compare.

Human gaze comes in by `saccade.fixation_tables.read_fixations`, an agent's by
`Fixations.from_scanpath`.

Convention:
    Locations are (x, y) in [-1, 1] as everywhere (`saccade.geometry`); pixel coordinates are
    continuous, 0 and `width` are the image's edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saccade.scanpath import Scanpath


@dataclass(frozen=True, eq=False)
class Fixations:
    """N scanpaths of up to T fixations on images of one size.

    Attributes:
        images: `(N,)` str, which image was looked at.
        subjects: `(N,)` str, who looked.
        locations: `(N, T, 2)` float64, (x, y) in [-1, 1]; NaN after the last fixation.
        durations: `(N, T)` float64, in ms; NaN where unknown and after the last fixation.
        counts: `(N,)` int64, how many fixations a scanpath has, 1..T.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        dropped: How many rows of a table were left out when it was read.

    Raises:
        ValueError: If shapes, counts or numbers do not fit together.
    """

    images: NDArray[np.str_]
    subjects: NDArray[np.str_]
    locations: NDArray[np.float64]
    durations: NDArray[np.float64]
    counts: NDArray[np.int64]
    height: int
    width: int
    dropped: int = 0

    def __post_init__(self) -> None:
        shape = self.locations.shape
        if len(shape) != 3 or shape[2] != 2:
            raise ValueError(f"locations are (scanpaths, fixations, 2), got {shape}")
        if self.durations.shape != shape[:2]:
            raise ValueError(
                f"durations are {shape[:2]} like locations, got {self.durations.shape}"
            )
        for name in ("images", "subjects", "counts"):
            if getattr(self, name).shape != shape[:1]:
                got = getattr(self, name).shape
                raise ValueError(f"{name} is ({shape[0]},), one a scanpath; got {got}")
        if shape[0] and not 1 <= self.counts.min() <= self.counts.max() <= shape[1]:
            raise ValueError(f"counts are from 1 to {shape[1]}, the fixations there is room for")
        if not np.isfinite(self.locations[self.taken]).all():
            raise ValueError("a location is not a number; leave such fixations out")
        if min(self.height, self.width) < 1:
            raise ValueError(f"images of {self.height} x {self.width} pixels have none")

    def __len__(self) -> int:
        return len(self.locations)

    def __getitem__(self, index: int | slice | Sequence[int] | NDArray[Any]) -> "Fixations":
        """Some of the scanpaths, in the order of `index`; an integer gives a record of one."""
        if isinstance(index, int | np.integer):
            index = slice(int(index), int(index) + 1 or None)
        parts = ("images", "subjects", "locations", "durations", "counts")
        picked: dict[str, Any] = {name: getattr(self, name)[index] for name in parts}
        return replace(self, **picked)

    @property
    def taken(self) -> NDArray[np.bool_]:
        """`(N, T)` bool, true where there is a fixation."""
        return np.arange(self.locations.shape[1]) < self.counts[:, None]

    @property
    def pixels(self) -> NDArray[np.float64]:
        """`(N, T, 2)`, (x, y) in pixels from the top left corner; NaN after the last fixation."""
        return (self.locations + 1) / 2 * (self.width, self.height)

    @property
    def inside(self) -> NDArray[np.bool_]:
        """`(N, T)` bool, true where there is a fixation that lies in the image or on its edge."""
        with np.errstate(invalid="ignore"):
            return (np.abs(self.locations) <= 1).all(-1) & self.taken

    def first(self, count: int) -> "Fixations":
        """Every scanpath's first fixations, `count` at most.

        Raises:
            ValueError: If count is less than 1.
        """
        if count < 1:
            raise ValueError(f"a scanpath keeps 1 fixation or more, got {count}")
        counts = np.minimum(self.counts, count)
        locations, durations = self.locations[:, :count], self.durations[:, :count]
        return replace(self, locations=locations, durations=durations, counts=counts)

    @staticmethod
    def from_scanpath(
        scanpath: Scanpath,
        images: Sequence[str] | None = None,
        subject: str = "agent",
        duration_ms: float = float("nan"),
    ) -> "Fixations":
        """An agent's gaze.

        Args:
            scanpath: N episodes; glimpses after an episode's stop do not count.
            images: N names; without them the episodes' numbers, from 0.
            subject: Who looked.
            duration_ms: A length for every fixation. An agent has none of its own: glimpses have
                no time, so it is unknown unless given.

        Raises:
            ValueError: If there are not as many names as episodes.
        """
        count = len(scanpath)
        names = np.array([str(n) for n in range(count)] if images is None else images, np.str_)
        stop: NDArray[np.int64] = scanpath.stop.detach().cpu().numpy()
        locations = scanpath.locations.detach().cpu().double().numpy().copy()
        after = np.arange(locations.shape[1]) >= stop[:, None]
        locations[after] = np.nan
        return Fixations(
            images=names,
            subjects=np.full(count, subject),
            locations=locations,
            durations=np.where(after, np.nan, duration_ms),
            counts=stop,
            height=scanpath.height,
            width=scanpath.width,
        )
