"""An agent's gaze for other tools: what the files hold, and that the tools take them."""

import csv
import gzip
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from saccade.agents.export import WRITERS, load_gaze, prepare_export, write_bids, write_pymovements
from saccade.fixation_tables import read_fixations
from saccade.retina import Retina
from saccade.scanpath import Scanpath
from tests.test_fixations import make


@pytest.fixture
def source(tmp_path):
    """A saved scanpath: two episodes of two and one glimpses on images of 60 x 80 pixels."""
    scanpath = Scanpath(
        locations=torch.tensor([[[0, 0], [0.5, -1]], [[1, 1], [0.3, 0.3]]]),
        glimpses=torch.zeros(2, 2, 1, 1, 4, 4),
        beliefs=torch.zeros(2, 2, 3),
        values=torch.zeros(2, 2),
        rewards=torch.zeros(2, 2),
        stop=torch.tensor([2, 1]),
        retina=Retina(4, 1),
        height=60,
        width=80,
    )
    (tmp_path / "run").mkdir()
    scanpath.save(tmp_path / "run/scanpath.safetensors")
    return tmp_path / "run"


def unzip(path):
    return [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()]


def test_loads_a_run_or_a_file(source):
    for path in (source, source / "scanpath.safetensors"):
        gaze = load_gaze(path)
        assert gaze.counts.tolist() == [2, 1]
        assert_allclose(gaze.pixels[0], [[40, 30], [60, 0]])
        assert gaze.durations[0].tolist() == [250, 250]


def test_plain_table(source, tmp_path):
    out = tmp_path / "gaze.csv"
    assert prepare_export(source, out, "csv", subject="eve")() == out
    text = "image,subject,index,x,y,duration_ms\n"
    assert out.read_text() == text + "0,eve,0,40,30,250\n0,eve,1,60,0,250\n1,eve,0,80,60,250\n"
    prepare_export(source, out, "csv", duration_ms=0)()
    assert read_fixations(out, height=60, width=80).counts.tolist() == [2, 1]
    assert out.read_text().endswith("1,agent,0,80,60,\n")


def test_pymovements_table(source, tmp_path):
    prepare_export(source, tmp_path / "events.csv", "pymovements", duration_ms=100)()
    rows = list(csv.reader((tmp_path / "events.csv").read_text().splitlines()))
    head = ["subject", "image", "name", "onset", "offset", "duration", "location_x", "location_y"]
    assert rows == [
        head,
        ["agent", "0", "fixation", "0", "100", "100", "40.000", "30.000"],
        ["agent", "0", "fixation", "100", "200", "100", "60.000", "0.000"],
        ["agent", "1", "fixation", "0", "100", "100", "80.000", "60.000"],
    ]


def test_bids_dataset(source, tmp_path):
    out = tmp_path / "bids"
    prepare_export(source, out, "bids", duration_ms=100)()
    place = out / "sub-agent/beh"
    stem = "sub-agent_task-look"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {
        "README", "dataset_description.json", "participants.json", "participants.tsv",
        *(f"sub-agent/beh/{stem}_events.{kind}" for kind in ("tsv", "json")),
        *(f"sub-agent/beh/{stem}_recording-eye1_physio{part}.{kind}"
          for part in ("", "events") for kind in ("tsv.gz", "json")),
    }  # fmt: skip
    samples = unzip(place / f"{stem}_recording-eye1_physio.tsv.gz")
    assert len(samples) == 300
    assert samples[99] == ["99", "40.000", "30.000"]
    assert samples[100] == ["100", "60.000", "0.000"]
    assert samples[299] == ["299", "80.000", "60.000"]
    events = unzip(place / f"{stem}_recording-eye1_physioevents.tsv.gz")
    assert events == [
        ["0", "0.100", "fixation", "40.000", "30.000", "0"],
        ["100", "0.100", "fixation", "60.000", "0.000", "0"],
        ["200", "0.100", "fixation", "80.000", "60.000", "1"],
    ]
    trials = (place / f"{stem}_events.tsv").read_text().splitlines()
    assert trials == [
        "onset\tduration\ttrial_type\timage", "0.000\t0.200\timage\t0", "0.200\t0.100\timage\t1",
    ]  # fmt: skip
    physio = json.loads((place / f"{stem}_recording-eye1_physio.json").read_text())
    assert physio["PhysioType"] == "eyetrack"
    assert len(physio["Columns"]) == 3
    assert physio["SampleCoordinateSystem"] == "custom"  # no screen is made up
    told = json.loads((place / f"{stem}_recording-eye1_physioevents.json").read_text())
    assert len(told["Columns"]) == 6
    assert told["OnsetSource"] in physio["Columns"]
    for path in out.rglob("*_physio*.json"):
        assert "Simulated" in json.loads(path.read_text())["Description"]
    for name in ("README", "dataset_description.json", "participants.json"):
        assert "Simulated" in (out / name).read_text()
    assert not list(tmp_path.glob("*.part"))


def test_bids_has_one_recording_a_subject_and_the_same_bytes_twice(tmp_path):
    record = make([(1, 1)], [(2, 2), (3, 3)], durations=[[5], [6, 7]])
    record = replace(record, subjects=np.array(["ann", "bob"]))
    for name in ("one", "other"):
        write_bids(tmp_path / name, record)
    stem = "sub-bob/beh/sub-bob_task-look_recording-eye1_physio.tsv.gz"
    assert len(unzip(tmp_path / "one" / stem)) == 13
    assert (tmp_path / "one" / stem).read_bytes() == (tmp_path / "other" / stem).read_bytes()
    lines = (tmp_path / "one/participants.tsv").read_text().split()
    assert lines == ["participant_id", "species", "sub-ann", "n/a", "sub-bob", "n/a"]


@pytest.mark.parametrize("kind", WRITERS)
def test_what_cannot_be_done_is_said_before_anything_is_written(kind, source, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "broken.safetensors").write_bytes(b"not a scanpath")
    with pytest.raises(ValueError, match="is not a scanpath"):
        prepare_export(tmp_path / "broken.safetensors", out, kind)
    with pytest.raises(FileNotFoundError, match="name a run that has ended"):
        prepare_export(tmp_path, out, kind)
    with pytest.raises(FileNotFoundError, match="no folder"):
        prepare_export(source, tmp_path / "none/out", kind)
    with pytest.raises(FileExistsError, match="name a f"):
        prepare_export(source, source, kind)
    with pytest.raises(ValueError, match="letters and digits"):
        prepare_export(source, out, kind, subject="sub-1")
    with pytest.raises(ValueError, match="0 ms or more"):
        prepare_export(source, out, kind, duration_ms=-1)
    if kind != "csv":
        with pytest.raises(ValueError, match="whole ms, 1 or more"):
            prepare_export(source, out, kind, duration_ms=0)
    assert not out.exists()


def test_bids_does_not_write_over_a_folder(tmp_path):
    record = make([(1, 1)], durations=[[5]])
    write_bids(tmp_path / "bids", record)
    with pytest.raises(FileExistsError, match="new or empty"):
        write_bids(tmp_path / "bids", record)
    (tmp_path / "empty").mkdir()
    write_bids(tmp_path / "empty", record)
    assert (tmp_path / "empty/README").is_file()
    half = make([(1, 1)], durations=[[0.5]])
    with pytest.raises(ValueError, match="whole ms"):
        write_bids(tmp_path / "half", half)
    record = replace(record, subjects=np.array(["a b"]))
    with pytest.raises(ValueError, match="letters and digits"):
        write_bids(tmp_path / "half", record)
    assert not list(tmp_path.glob("half*"))


def test_the_command(source, tmp_path, capsys):
    from saccade.agents.cli import main

    out = tmp_path / "gaze"
    assert main(["export-gaze", str(source), "--format", "bids", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert main(["export-gaze", str(source), "--format", "bids", "--out", str(out)]) == 2
    assert "new or empty" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")  # of its imports
def test_pymovements_reads_it(source, tmp_path):
    polars = pytest.importorskip("polars")
    theirs = pytest.importorskip("pymovements")
    gaze = load_gaze(source, duration_ms=100)
    write_pymovements(tmp_path / "events.csv", gaze)
    frame = polars.read_csv(tmp_path / "events.csv")
    events = theirs.Events(frame, trial_columns=["subject", "image"])
    assert len(events.fixations) == 3
    assert events.fixations["duration"].to_list() == [100] * 3
    assert len(events.split(by="image")) == 2
    assert_allclose(events.frame["location_x"].to_list(), [40, 60, 80])

    write_bids(tmp_path / "bids", gaze)
    samples = theirs.gaze.from_csv(
        next((tmp_path / "bids").rglob("*_physio.tsv.gz")),
        time_column="time",
        time_unit="ms",
        pixel_columns=["x", "y"],
        read_csv_kwargs={
            "separator": "\t",
            "has_header": False,
            "new_columns": ["time", "x", "y"],
        },
    ).samples
    assert samples["time"].to_list() == list(range(300))
    assert samples["pixel"].to_list()[150] == [60, 0]


def test_the_bids_validator_finds_no_error(source, tmp_path):
    beside = Path(sys.executable).parent / "bids-validator-deno"
    validator = shutil.which("bids-validator-deno") or (beside if beside.is_file() else None)
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    write_bids(tmp_path / "bids", load_gaze(source))
    call = [str(validator), str(tmp_path / "bids"), "--format", "json"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert issues  # some recommended fields are for people: it has looked
    assert [issue for issue in issues if issue["severity"] == "error"] == []
