"""Tables of fixations in files: any that name their columns in, the plain one out.

The plain table is

    image,subject,index,x,y,duration_ms

with x and y in pixels from the image's top left corner, and a `duration_ms` that is empty where
it is unknown. Tables that count pixels from 0 or 1 at their centers are read half a pixel off,
far below what an eye tracker can tell.
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from saccade.fixations import Fixations

Units = Literal["pixels", "normalized", "degrees"]
Origin = Literal["top-left", "center", "bottom-left"]

COLUMNS = ("image", "subject", "index", "x", "y", "duration_ms")
MISSING = {"", "nan", "na", "n/a", "none", "null", "."}  # in lower case


def read_fixations(
    path: str | Path,
    *,
    height: int,
    width: int,
    image: str = "image",
    subject: str | None = "subject",
    index: str | None = "index",
    x: str = "x",
    y: str = "y",
    duration: str | None = "duration_ms",
    seconds: bool = False,
    units: Units = "pixels",
    origin: Origin = "top-left",
    y_axis: Literal["down", "up"] | None = None,
    pixels_per_degree: float | None = None,
    outside: Literal["refuse", "keep", "drop"] = "refuse",
    missing: Literal["refuse", "drop"] = "refuse",
    images: Collection[str] | None = None,
) -> Fixations:
    """Reads a table of fixations with a head line, separated by commas or tabs.

    Args:
        path: The file; it is tab-separated if its head line has a tab.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        image: Column that names the image.
        subject: Column that names the viewer; None if there was only one.
        index: Column of numbers by which a scanpath's fixations are put in order; None takes the
            order of the rows.
        x: Column of the horizontal position.
        y: Column of the vertical position.
        duration: Column of durations; None if there are none. Single ones may be missing.
        seconds: Whether durations are in seconds, rather than in milliseconds.
        units: Of x and y: "pixels" of the image, "normalized" (shares of its width and height),
            or "degrees" of visual angle.
        origin: Where x and y are 0 in the image. x always runs to the right.
        y_axis: Which way y runs; without it down from "top-left" and up from "bottom-left".
        pixels_per_degree: Of the screen, for degrees (taken as small angles).
        outside: What becomes of fixations outside the image.
        missing: What becomes of rows in which x or y is missing or not finite.
        images: Read only these, such as those of one size.

    Returns:
        The record, scanpaths in the order in which they begin in the file; `dropped` tells how
        many of the rows that were asked for are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If options contradict each other, a column is missing, a cell is not a
            number, a fixation is outside or missing and that is refused, or nothing is left.
    """
    down = _runs_down(origin, y_axis)
    scale = _pixels_in_a_unit(units, pixels_per_degree, height, width)
    names = {"image": image, "subject": subject, "index": index, "x": x, "y": y}
    table = _Table(Path(path), names | {"duration": duration}, images)
    places = np.stack([table.numbers("x"), table.numbers("y")], -1)  # (R, 2)
    usable = np.asarray(np.isfinite(places).all(-1))
    if missing == "refuse":
        table.refuse(~usable, "have no x or y", "missing='drop' leaves them out")
    places[:, 1] *= 1 if down else -1
    start = {"top-left": (0.0, 0.0), "center": (width / 2, height / 2), "bottom-left": (0, height)}
    locations = (places * scale + start[origin]) / (width, height) * 2 - 1
    with np.errstate(invalid="ignore"):
        beyond = usable & np.asarray((np.abs(locations) > 1).any(-1))
    if outside == "refuse":
        option = "outside='keep' or 'drop' says what to do with them"
        table.refuse(beyond, f"lie outside the image of {width} x {height} pixels", option)
    elif outside == "drop":
        usable &= ~beyond
    durations = table.numbers("duration") * (1000 if seconds else 1)
    return _group(table, locations, durations, usable, height, width)


def write_fixations(path: str | Path, fixations: Fixations) -> None:
    """Writes the plain table, to a thousandth of a pixel and of a millisecond."""
    beside = Path(f"{path}.part")
    with beside.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(table_rows(fixations))
    beside.replace(path)


def table_rows(fixations: Fixations) -> Iterator[tuple[str, str, int, str, str, str]]:
    """The rows of the plain table, without its head line."""
    pixels, durations = fixations.pixels, fixations.durations
    for n, (image, subject) in enumerate(zip(fixations.images, fixations.subjects, strict=True)):
        for t in range(fixations.counts[n]):
            x, y = pixels[n, t]
            yield str(image), str(subject), t, _short(x), _short(y), _short(durations[n, t])


class _Table:
    """The wanted columns of a file, as text, with the line of each row for complaints."""

    def __init__(
        self, path: Path, names: dict[str, str | None], images: Collection[str] | None
    ) -> None:
        self.path, self.names = path, names
        wanted = None if images is None else {str(name) for name in images}
        with path.open(newline="", encoding="utf-8-sig") as file:
            separator = "\t" if "\t" in file.readline() else ","
            file.seek(0)
            reader = csv.reader(file, delimiter=separator)
            head = [name.strip() for name in next(reader, [])]
            lost = [name for name in names.values() if name is not None and name not in head]
            if lost:
                raise ValueError(
                    f"{path} has no column {lost[0]!r}; it has {', '.join(head) or 'none'}: say "
                    "by the arguments which of them is which"
                )
            places = {key: head.index(name) for key, name in names.items() if name is not None}
            at = places["image"]
            kept = [
                (reader.line_num, row)
                for row in reader
                if row and (wanted is None or "".join(row[at : at + 1]).strip() in wanted)
            ]
        short = [line for line, row in kept if len(row) < len(head)]
        if short:
            raise ValueError(f"{path}, line {short[0]}: fewer cells than the head line has")
        if not kept:
            raise ValueError(f"{path} has no fixations" + ("" if wanted is None else " on these"))
        self.lines = [line for line, _ in kept]
        self.cells = {key: [row[at].strip() for _, row in kept] for key, at in places.items()}

    def texts(self, key: str) -> NDArray[np.str_]:
        """A column as text; one value for all where the table has none."""
        return np.array(self.cells.get(key, ["1"] * len(self.lines)), np.str_)

    def numbers(self, key: str) -> NDArray[np.float64]:
        """A column as numbers, NaN where missing or where there is no such column."""
        cells = self.cells.get(key)
        if cells is None:
            return np.full(len(self.lines), np.nan)
        try:
            return np.array([np.nan if c.lower() in MISSING else float(c) for c in cells])
        except ValueError:
            line, cell = next(
                (line, cell) for line, cell in zip(self.lines, cells, strict=True) if _is_odd(cell)
            )
            raise ValueError(
                f"{self.path}, line {line}: {self.names[key]} is {cell!r}, not a number"
            ) from None

    def refuse(self, bad: NDArray[np.bool_], fault: str, mend: str) -> None:
        """Complains about rows, if there are any."""
        if bad.any():
            line = self.lines[int(bad.argmax())]
            raise ValueError(
                f"{self.path}: {int(bad.sum())} of {len(bad)} fixations {fault}, the first in "
                f"line {line}; {mend}"
            )


def _group(
    table: _Table,
    locations: NDArray[np.float64],
    durations: NDArray[np.float64],
    usable: NDArray[np.bool_],
    height: int,
    width: int,
) -> Fixations:
    """Puts rows `(R, ...)` together to scanpaths."""
    if not usable.any():
        raise ValueError(f"{table.path}: no fixation can be used, all {len(usable)} were dropped")
    kept = np.flatnonzero(usable)
    images, subjects = table.texts("image")[kept], table.texts("subject")[kept]
    keys = np.stack([np.unique(each, return_inverse=True)[1] for each in (images, subjects)], -1)
    _, first, scanpath = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # scanpaths in the order of their first rows
    scanpath = rank[scanpath.reshape(-1)]
    index = np.arange(len(kept), dtype=float)
    if "index" in table.cells:
        index = table.numbers("index")[kept]
        if np.isnan(index).any():
            line = table.lines[kept[int(np.isnan(index).argmax())]]
            raise ValueError(f"{table.path}, line {line}: {table.names['index']} is missing")
    order = np.lexsort((index, scanpath))
    scanpath, index = scanpath[order], index[order]
    twice = (np.diff(scanpath) == 0) & (np.diff(index) == 0)
    if twice.any():
        second = int(twice.argmax()) + 1
        row = order[second]
        raise ValueError(
            f"{table.path}, line {table.lines[kept[row]]}: viewer {subjects[row]} has two "
            f"fixations of {table.names['index']} {index[second]:g} on image {images[row]}; if "
            "they are of two trials, name a column that tells these apart as the subject's"
        )
    counts = np.bincount(scanpath)
    begin = np.concatenate([[0], np.cumsum(counts)[:-1]])
    t = np.arange(len(order)) - begin[scanpath]
    shape = (len(counts), counts.max())
    padded, lengths = np.full((*shape, 2), np.nan), np.full(shape, np.nan)
    padded[scanpath, t] = locations[kept][order]
    lengths[scanpath, t] = durations[kept][order]
    return Fixations(
        images=images[order][begin],
        subjects=subjects[order][begin],
        locations=padded,
        durations=lengths,
        counts=counts.astype(np.int64),
        height=height,
        width=width,
        dropped=int((~usable).sum()),
    )


def _runs_down(origin: Origin, y_axis: Literal["down", "up"] | None) -> bool:
    """Whether y runs down."""
    if origin not in ("top-left", "center", "bottom-left"):
        raise ValueError(f"origin is top-left, center or bottom-left, got {origin!r}")
    if y_axis is None:
        if origin == "center":
            raise ValueError(
                "origin='center' leaves open which way y runs: give y_axis, down or up"
            )
        return origin == "top-left"
    if y_axis not in ("down", "up"):
        raise ValueError(f"y_axis is down or up, got {y_axis!r}")
    return y_axis == "down"


def _pixels_in_a_unit(
    units: Units, pixels_per_degree: float | None, height: int, width: int
) -> tuple[float, float]:
    """How many pixels a unit of x and of y is."""
    if (units == "degrees") != (pixels_per_degree is not None):
        raise ValueError("pixels_per_degree goes with units='degrees', and these need it")
    if pixels_per_degree is not None:
        if not 0 < pixels_per_degree < np.inf:
            raise ValueError(f"pixels_per_degree must be over 0, got {pixels_per_degree}")
        return pixels_per_degree, pixels_per_degree
    sides: dict[str, tuple[float, float]] = {"pixels": (1, 1), "normalized": (width, height)}
    if units not in sides:
        raise ValueError(f"units are pixels, normalized or degrees, got {units!r}")
    return sides[units]


def _is_odd(cell: str) -> bool:
    """Whether a cell is neither missing nor a number."""
    try:
        return cell.lower() not in MISSING and float(cell) is None
    except ValueError:
        return True


def _short(number: float) -> str:
    """A number to three decimals without trailing zeros; nothing for NaN."""
    return "" if np.isnan(number) else f"{number:.3f}".rstrip("0").rstrip(".")
