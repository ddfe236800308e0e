"""An agent's gaze for other tools: a plain table, BIDS eye tracking, a pymovements events table.

BIDS is that of version 1.11 (Brain Imaging Data Structure, "Physiological recordings", eye
tracking); pymovements is at https://pymovements.readthedocs.io. A glimpse takes no time, so where
a format wants time, every fixation is given the same length. Nothing here was recorded from an
eye, and the BIDS files say so.
"""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

import saccade
from saccade.fixation_tables import write_fixations
from saccade.fixations import Fixations
from saccade.scanpath import Scanpath

Format = Literal["csv", "bids", "pymovements"]

SIMULATED = "Simulated: the gaze of a trained agent, not recorded from an eye."
TASK = "look"
EVENTS = (
    "subject", "image", "name", "onset", "offset", "duration", "location_x", "location_y",
)  # fmt: skip


def load_gaze(source: Path, *, subject: str = "agent", duration_ms: int = 250) -> Fixations:
    """The gaze a run was judged by, or of a saved scanpath; images are named by number.

    Args:
        source: A run folder, or a file that `Scanpath.save` wrote.
        subject: Name for the agent, of letters and digits.
        duration_ms: How long a fixation is said to last; 0 leaves it unknown.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no scanpath, or the name or the duration cannot be used.
    """
    _check_name(subject)
    if duration_ms < 0:
        raise ValueError(f"a fixation lasts 0 ms or more, got {duration_ms}")
    path = source / "scanpath.safetensors" if source.is_dir() else source
    if not path.is_file():
        raise FileNotFoundError(f"there is no scanpath {path}; name a run that has ended")
    try:
        scanpath = Scanpath.load(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a scanpath: {error}") from error
    return Fixations.from_scanpath(scanpath, subject=subject, duration_ms=duration_ms or np.nan)


def write_pymovements(path: Path, fixations: Fixations) -> None:
    """Writes fixations as events that pymovements reads.

    Columns: subject, image, name ("fixation"), onset, offset and duration in ms from the image's
    onset, location_x and location_y in pixels from its top left corner. In Python:

        frame = polars.read_csv(path)
        events = pymovements.Events(frame, trial_columns=["subject", "image"])

    Raises:
        ValueError: If a duration is unknown or no whole number of ms.
    """
    ends = np.cumsum(_whole_ms(fixations), 1)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(EVENTS)
    for n, t in np.argwhere(fixations.taken):
        onset, offset = int(ends[n, t - 1]) if t else 0, int(ends[n, t])
        who, where = (str(each[n]) for each in (fixations.subjects, fixations.images))
        place = (f"{each:.3f}" for each in fixations.pixels[n, t])
        writer.writerow((who, where, "fixation", onset, offset, offset - onset, *place))
    beside = Path(f"{path}.part")
    beside.write_text(table.getvalue())
    beside.replace(path)


def write_bids(folder: Path, fixations: Fixations) -> None:
    """Writes a BIDS dataset of simulated eye tracking.

    For each subject one recording at 1000 Hz in `sub-NAME/beh/`, image after image without a
    pause, saccades taking no time: samples (`_physio.tsv.gz`: timestamp in ms, x and y in pixels
    from the image's top left corner), fixations (`_physioevents.tsv.gz`) and when which image was
    shown (`_events.tsv`). An agent has no screen, so the coordinate system is "custom": neither
    distance nor size of a screen is made up.

    Raises:
        ValueError: If a duration is unknown or no whole number of ms, or a subject's name is
            not of letters and digits.
        FileExistsError: If the folder is there and holds something.
    """
    _check_empty(folder)
    times, names = _whole_ms(fixations), np.unique(fixations.subjects)
    for name in names:
        _check_name(str(name))
    beside = folder.with_name(folder.name + ".part")
    if beside.exists():
        shutil.rmtree(beside)
    beside.mkdir(parents=True)
    (beside / "README").write_text(f"{SIMULATED}\n\nWritten by saccade {saccade.__version__}.\n")
    _write_json(beside / "dataset_description.json", _description())
    people = "".join(f"sub-{name}\tn/a\n" for name in names)
    (beside / "participants.tsv").write_text("participant_id\tspecies\n" + people)
    species = {"Description": f"Not applicable. {SIMULATED}"}
    _write_json(beside / "participants.json", {"species": species})
    for name in names:
        rows = fixations.subjects == name
        place = beside / f"sub-{name}" / "beh"
        place.mkdir(parents=True)
        _write_recording(place / f"sub-{name}_task-{TASK}", fixations[rows], times[rows])
    if folder.is_dir():
        folder.rmdir()
    beside.replace(folder)


WRITERS: dict[Format, Callable[[Path, Fixations], None]] = {
    "csv": write_fixations,
    "bids": write_bids,
    "pymovements": write_pymovements,
}


def prepare_export(
    source: Path, out: Path, kind: Format, *, subject: str = "agent", duration_ms: int = 250
) -> Callable[[], Path]:
    """Reads a gaze and looks at where it is to go; what it returns writes it and gives the path.

    Args:
        source: As in `load_gaze`.
        out: The file to write, for BIDS the folder.
        kind: The format.
        subject: As in `load_gaze`.
        duration_ms: As in `load_gaze`; only the plain table can do without.

    Raises:
        FileNotFoundError: If there is no scanpath, or no folder to write to.
        FileExistsError: If a folder would be written over.
        ValueError: If the scanpath is broken or an option cannot be used.
    """
    fixations = load_gaze(source, subject=subject, duration_ms=duration_ms)
    if kind != "csv":
        _whole_ms(fixations)
    if not out.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {out.absolute().parent} to write to")
    if kind == "bids":
        _check_empty(out)
    elif out.is_dir():
        raise FileExistsError(f"{out} is a folder; name a file")

    def write() -> Path:
        WRITERS[kind](out, fixations)
        return out

    return write


def _check_name(subject: str) -> None:
    """Refuses names that BIDS does not take."""
    if not (subject.isascii() and subject.isalnum()):
        raise ValueError(f"a subject's name is of letters and digits only, got {subject!r}")


def _check_empty(folder: Path) -> None:
    """Refuses to write over something."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already; name a folder that is new or empty")


def _whole_ms(fixations: Fixations) -> NDArray[np.int64]:
    """`(N, T)` durations as whole ms, 0 after a scanpath's end."""
    times = np.where(fixations.taken, fixations.durations, 0)
    if not (times[fixations.taken] >= 1).all() or (times != np.round(times)).any():
        raise ValueError("this format needs for each fixation a duration in whole ms, 1 or more")
    return times.astype(np.int64)


def _write_recording(stem: Path, fixations: Fixations, times: NDArray[np.int64]) -> None:
    """Writes the files of one subject, `stem` being their common beginning."""
    taken = fixations.taken
    lasting = times[taken]  # (F,) ms, fixation after fixation, image after image
    onsets = np.cumsum(lasting) - lasting
    pixels = fixations.pixels[taken]
    shown = np.repeat(fixations.images, fixations.counts)
    samples = np.repeat(pixels, lasting, 0)  # one a ms
    physio = "".join(f"{ms}\t{x:.3f}\t{y:.3f}\n" for ms, (x, y) in enumerate(samples))
    happened = "".join(
        f"{onset}\t{last / 1000:.3f}\tfixation\t{x:.3f}\t{y:.3f}\t{image}\n"
        for onset, last, (x, y), image in zip(onsets, lasting, pixels, shown, strict=True)
    )
    begin, total = onsets[np.cumsum(fixations.counts) - fixations.counts], times.sum(1)
    trials = "".join(
        f"{onset / 1000:.3f}\t{last / 1000:.3f}\timage\t{image}\n"
        for onset, last, image in zip(begin, total, fixations.images, strict=True)
    )
    _write_gzip(Path(f"{stem}_recording-eye1_physio.tsv.gz"), physio)
    _write_json(Path(f"{stem}_recording-eye1_physio.json"), _physio())
    _write_gzip(Path(f"{stem}_recording-eye1_physioevents.tsv.gz"), happened)
    _write_json(Path(f"{stem}_recording-eye1_physioevents.json"), _physioevents())
    Path(f"{stem}_events.tsv").write_text("onset\tduration\ttrial_type\timage\n" + trials)
    _write_json(Path(f"{stem}_events.json"), _events(fixations))


def _description() -> dict[str, Any]:
    """What dataset_description.json holds."""
    maker = {"Name": "saccade", "Version": saccade.__version__, "Description": SIMULATED}
    return {
        "Name": "Simulated gaze of a saccadic agent",
        "BIDSVersion": "1.11.1",
        "DatasetType": "raw",
        "Authors": ["saccade (simulation)"],
        "GeneratedBy": [maker],
    }


def _coordinate(side: str) -> dict[str, str]:
    return {"Description": f"Of the gaze, from the {side} edge of the image.", "Units": "pixel"}


def _physio() -> dict[str, Any]:
    """What describes the samples."""
    return {
        "TaskName": TASK,
        "Description": SIMULATED,
        "PhysioType": "eyetrack",
        "Columns": ["timestamp", "x_coordinate", "y_coordinate"],
        "SamplingFrequency": 1000,
        "StartTime": 0,
        "RecordedEye": "cyclopean",
        "EyeTrackingMethod": "none, simulated",
        "SampleCoordinateSystem": "custom",
        "SampleCoordinateSystemDescription": (
            "Pixels of the image that is looked at, x to the right and y down from its top left "
            "corner; the center of the first pixel is at 0.5. There is no screen."
        ),
        "Manufacturer": "none, simulated",
        "ManufacturersModelName": "saccade",
        "SoftwareVersions": saccade.__version__,
        "timestamp": {"Description": "Time since the first image.", "Units": "ms"},
        "x_coordinate": _coordinate("left"),
        "y_coordinate": _coordinate("top"),
    }


def _physioevents() -> dict[str, Any]:
    """What describes the fixations."""
    return {
        "TaskName": TASK,
        "Description": f"Fixations. {SIMULATED} Their durations are nominal.",
        "Columns": ["onset", "duration", "trial_type", "x_coordinate", "y_coordinate", "image"],
        "OnsetSource": "timestamp",
        "onset": {"Description": "Timestamp at which it begins.", "Units": "ms"},
        "duration": {"Description": "How long it lasts; nominal.", "Units": "s"},
        "trial_type": {"Levels": {"fixation": "The gaze rests."}},
        "x_coordinate": _coordinate("left"),
        "y_coordinate": _coordinate("top"),
        "image": {"Description": "Name of the image that is looked at."},
    }


def _events(fixations: Fixations) -> dict[str, Any]:
    """What describes when which image was shown, and what on."""
    return {
        "TaskName": TASK,
        "TaskDescription": f"An agent looks at images, one after the other. {SIMULATED}",
        "StimulusPresentation": {
            "ScreenDistance": "n/a",
            "ScreenOrigin": ["top", "left"],
            "ScreenResolution": [fixations.width, fixations.height],
            "ScreenSize": "n/a",
            "SoftwareName": "saccade",
            "SoftwareVersion": saccade.__version__,
        },
        "trial_type": {"Levels": {"image": "An image is shown."}},
        "image": {"Description": "Name of the image."},
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n")


def _write_gzip(path: Path, text: str) -> None:
    """Writes the same bytes for the same text: no name and no time in them."""
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
