"""The record of fixations, and tables of them in files."""

import csv

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from saccade.fixation_tables import read_fixations, table_rows, write_fixations
from saccade.fixations import Fixations
from saccade.retina import Retina
from saccade.scanpath import Scanpath

PLAIN = """image,subject,index,x,y,duration_ms
cat,1,0,100,50,200
cat,1,1,0,0,
dog,1,0,200,100,99.5
cat,2,0,150,75,300
"""


def put(tmp_path, text, name="table.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def read(tmp_path, text, name="table.csv", **options):
    return read_fixations(put(tmp_path, text, name), height=100, width=200, **options)


def make(*paths, durations=None, height=100, width=200):
    """A record from lists of pixels."""
    count, most = len(paths), max(len(path) for path in paths)
    locations, times = np.full((count, most, 2), np.nan), np.full((count, most), np.nan)
    for n, path in enumerate(paths):
        locations[n, : len(path)] = np.array(path, float) / (width, height) * 2 - 1
        if durations is not None:
            times[n, : len(path)] = durations[n]
    return Fixations(
        images=np.array([str(n) for n in range(count)]),
        subjects=np.full(count, "1"),
        locations=locations,
        durations=times,
        counts=np.array([len(path) for path in paths]),
        height=height,
        width=width,
    )


def test_reads_the_plain_table(tmp_path):
    table = read(tmp_path, PLAIN)
    assert len(table) == 3
    assert table.images.tolist() == ["cat", "dog", "cat"]
    assert table.subjects.tolist() == ["1", "1", "2"]
    assert table.counts.tolist() == [2, 1, 1]
    assert_allclose(table.locations[0], [[0, 0], [-1, -1]])
    assert_allclose(table.locations[1, 0], [1, 1])
    assert_allclose(table.locations[2, 0], [0.5, 0.5])
    assert np.isnan(table.locations[1:, 1]).all()
    assert_array_equal(table.durations, [[200, np.nan], [99.5, np.nan], [300, np.nan]])
    assert (table.height, table.width, table.dropped) == (100, 200, 0)


def test_writes_what_it_reads(tmp_path):
    table = read(tmp_path, PLAIN)
    write_fixations(tmp_path / "out.csv", table)
    again = read_fixations(tmp_path / "out.csv", height=100, width=200)
    for name in ("images", "subjects", "locations", "durations", "counts"):
        assert_array_equal(getattr(table, name), getattr(again, name), name)
    rows = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0] == ["image", "subject", "index", "x", "y", "duration_ms"]
    assert sorted(rows[1:]) == sorted(line.split(",") for line in PLAIN.splitlines()[1:])
    assert {each.name for each in tmp_path.iterdir()} == {"table.csv", "out.csv"}


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 200_000), st.integers(0, 100_000), st.integers(1, 999_999)),
            min_size=1, max_size=5,
        ),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_any_gaze_survives_the_file(tmp_path_factory, gaze):
    paths = [[(x / 1000, y / 1000) for x, y, _ in path] for path in gaze]
    times = [[time / 1000 for *_, time in path] for path in gaze]
    record = make(*paths, durations=times)
    path = tmp_path_factory.mktemp("gaze") / "a.csv"
    write_fixations(path, record)
    again = read_fixations(path, height=100, width=200)
    assert_array_equal(again.counts, record.counts)
    assert_allclose(again.pixels, record.pixels, atol=6e-4)
    assert_allclose(again.durations, record.durations, atol=6e-4)


def test_columns_go_by_their_names(tmp_path):
    text = "trial\tFPOGX\tFPOGY\tpicture\twho\tsecs\n"
    text += "9\t50\t25\tcat\tann\t0.2\n3\t100\t50\tcat\tann\t0.5\n"
    columns = {"image": "picture", "subject": "who", "index": "trial", "x": "FPOGX", "y": "FPOGY"}
    table = read(tmp_path, text, "a.tsv", duration="secs", seconds=True, **columns)
    assert_allclose(table.pixels[0], [[100, 50], [50, 25]])  # in the order of the index
    assert_allclose(table.durations[0], [500, 200])
    columns |= {"index": None, "subject": None}
    table = read(tmp_path, text, "a.tsv", duration=None, **columns)
    assert_allclose(table.pixels[0], [[50, 25], [100, 50]])  # in the order of the rows
    assert np.isnan(table.durations).all()
    assert table.subjects.tolist() == ["1"]


@pytest.mark.parametrize(
    ("x", "y", "options", "pixel"),
    [
        (30, 20, {}, (30, 20)),
        (0.25, 0.5, {"units": "normalized"}, (50, 50)),
        (30, 20, {"origin": "bottom-left"}, (30, 80)),
        (30, 20, {"origin": "bottom-left", "y_axis": "down", "outside": "keep"}, (30, 120)),
        (-30, 20, {"origin": "center", "y_axis": "down"}, (70, 70)),
        (-30, 20, {"origin": "center", "y_axis": "up"}, (70, 30)),
        (0.25, -0.5, {"origin": "center", "y_axis": "down", "units": "normalized"}, (150, 0)),
        (
            2, 1,
            {"units": "degrees", "pixels_per_degree": 30, "origin": "center", "y_axis": "up"},
            (160, 20),
        ),
    ],
)  # fmt: skip
def test_units_and_origins(tmp_path, x, y, options, pixel):
    table = read(tmp_path, f"image,subject,index,x,y,duration_ms\na,1,0,{x},{y},1\n", **options)
    assert_allclose(table.pixels[0, 0], pixel)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"x": "gaze_x"}, "no column 'gaze_x'; it has image, subject, index, x, y, duration_ms"),
        ({"origin": "center"}, "give y_axis"),
        ({"origin": "middle"}, "origin is top-left, center or bottom-left"),
        ({"y_axis": "left"}, "y_axis is down or up"),
        ({"units": "inches"}, "units are pixels, normalized or degrees"),
        ({"units": "degrees"}, "pixels_per_degree goes with units='degrees'"),
        ({"pixels_per_degree": 30}, "pixels_per_degree goes with units='degrees'"),
        ({"units": "degrees", "pixels_per_degree": 0}, "must be over 0"),
        ({"images": ["bird"]}, "has no fixations on these"),
        ({"index": "subject"}, "line 3: viewer 1 has two fixations of subject 1 on image cat"),
        ({"index": "duration_ms"}, "line 3: duration_ms is missing"),
        ({"x": "image"}, "line 2: image is 'cat', not a number"),
        ({"units": "normalized"}, "3 of 4 fixations lie outside the image of 200 x 100 pixels"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        read(tmp_path, PLAIN, **options)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_fixations(tmp_path / "none.csv", height=1, width=1)
    with pytest.raises(ValueError, match="no column 'image'; it has none"):
        read(tmp_path, "")
    with pytest.raises(ValueError, match=r"has no fixations$"):
        read(tmp_path, PLAIN.splitlines()[0])
    with pytest.raises(ValueError, match="line 3: fewer cells"):
        read(tmp_path, PLAIN.splitlines()[0] + "\na,1,0,1,1,1\na,1,1\n")


def test_missing_and_outside_fixations_are_refused_or_dropped_or_kept(tmp_path):
    text = PLAIN + "cat,2,1,nan,75,300\ncat,2,2,-20,75,300\ncat,2,3,10,n/a,\ncat,2,4,20,30,\n"
    with pytest.raises(ValueError, match="2 of 8 fixations have no x or y, the first in line 6"):
        read(tmp_path, text)
    with pytest.raises(ValueError, match=r"1 of 8 fixations lie outside .* line 7; outside='keep'"):
        read(tmp_path, text, missing="drop")
    kept = read(tmp_path, text, missing="drop", outside="keep")
    assert kept.dropped == 2
    assert kept.counts.tolist() == [2, 1, 3]
    assert_allclose(kept.pixels[2], [[150, 75], [-20, 75], [20, 30]])
    assert kept.inside.tolist() == [[True, True, False], [True, False, False], [True, False, True]]
    dropped = read(tmp_path, text, missing="drop", outside="drop")
    assert dropped.dropped == 3
    assert_allclose(dropped.pixels[2, :2], [[150, 75], [20, 30]])
    with pytest.raises(ValueError, match="no fixation can be used"):
        read(tmp_path, "image,subject,index,x,y,duration_ms\na,1,0,,,\n", missing="drop")


def test_reads_some_images_only(tmp_path):
    text = PLAIN + "huge,1,0,5000,5000,1\n"
    table = read(tmp_path, text, images=["dog", "cat"])
    assert table.images.tolist() == ["cat", "dog", "cat"]


def test_byte_order_mark_and_spaces(tmp_path):
    table = read(tmp_path, "\ufeff" + PLAIN.replace(",", ", "))
    assert table.images.tolist() == ["cat", "dog", "cat"]


def test_picks_scanpaths_and_their_beginnings():
    record = make([(1, 1), (2, 2), (3, 3)], [(4, 4)], [(5, 5), (6, 6)])
    assert record[-1].images.tolist() == ["2"]
    assert record[[2, 0, 0]].counts.tolist() == [2, 3, 3]
    assert record[record.counts > 1].images.tolist() == ["0", "2"]
    start = record.first(2)
    assert start.counts.tolist() == [2, 1, 2]
    assert_allclose(start.pixels[0], [[1, 1], [2, 2]])
    assert record.first(9).counts.tolist() == [3, 1, 2]
    with pytest.raises(ValueError, match="1 fixation or more"):
        record.first(0)


def test_an_agents_gaze():
    scanpath = Scanpath(
        locations=torch.tensor([[[0, 0], [0.5, -1]], [[1, 1], [0.3, 0.3]]]),
        glimpses=torch.zeros(2, 2, 1, 1, 4, 4),
        beliefs=torch.zeros(2, 2, 3),
        values=torch.zeros(2, 2),
        rewards=torch.zeros(2, 2),
        stop=torch.tensor([2, 1]),
        retina=Retina(4, 1),
        height=10,
        width=20,
    )
    record = Fixations.from_scanpath(scanpath)
    assert record.images.tolist() == ["0", "1"]
    assert record.subjects.tolist() == ["agent", "agent"]
    assert_array_equal(record.counts, scanpath.stop)
    assert_allclose(record.locations[0], [[0, 0], [0.5, -1]])
    assert_allclose(record.pixels[0], [[10, 5], [15, 0]])
    assert np.isnan(record.locations[1, 1]).all()
    assert np.isnan(record.durations).all()
    timed = Fixations.from_scanpath(scanpath, ["a", "b"], "eve", 250)
    assert_array_equal(timed.durations, [[250, 250], [250, np.nan]])
    assert [row[:3] for row in table_rows(timed)] == [
        ("a", "eve", 0), ("a", "eve", 1), ("b", "eve", 0),
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"images is \(2,\)"):
        Fixations.from_scanpath(scanpath, ["a"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"locations": np.zeros((1, 2))}, "locations are"),
        ({"durations": np.zeros((1, 3))}, "durations are"),
        ({"counts": np.array([3])}, "counts are from 1 to 2"),
        ({"counts": np.array([0])}, "counts are from 1 to 2"),
        ({"locations": np.full((1, 2, 2), np.nan)}, "not a number"),
        ({"height": 0}, "have none"),
    ],
)
def test_records_check_themselves(change, sentence):
    fields = vars(make([(1, 1), (2, 2)])) | change
    with pytest.raises(ValueError, match=sentence):
        Fixations(**fields)


def test_human_fixations(data_dir):
    table = read_fixations(data_dir / "eyetracking/fixations.csv", height=600, width=800)
    assert len(table) == 10_500
    assert table.counts.sum() == 98_321
    assert table.inside[table.taken].all()
    assert table.durations.sum(where=table.taken, axis=1).max() == 2657
    assert_allclose(table.pixels[0, :2], [[395.5, 265.7], [390.6, 326.4]])
