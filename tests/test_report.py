import json
import math
import time
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from saccade.agents.charts import LINE, MOST, line_chart
from saccade.agents.report import write_report
from tests.episodes import episodes

CLASSES = ["ant </script><script>alert(1)</script>", "bee & <b>bold</b>", 'ç"at']
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Reads a page: its addresses, scripts and text; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.scripts, self.text, self.tags = [], [], [], "", []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag == "script":
            self.scripts.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif "style" not in self.open:
            self.text += data


SUMMARY = {
    "accuracy": {
        "learned": [0.4, 0.6, 0.9342],
        "random": [0.41, 0.5, 0.55],
        "raster": [0.3, 0.5, 0.822],
    },
    "readers": "trained",
    "seconds": 151.3,
    "images_by_split": {"test": 10000},
}
METRICS = [
    {"update": 10, "accuracy": [0.1, 0.2], "loss_classify": 2.3, "grad_norm_core": 1.0},
    {"update": 20, "accuracy": [0.2, 0.4], "loss_classify": 1.3, "grad_norm_core": 0.1},
    {"update": 20, "validation": {"learned": [0.1, 0.5], "random": [0.1, 0.3]}},
]


def report(folder, **changes):
    scenes, scanpath = changes.pop("played", None) or episodes()
    given = {
        "title": "A <run>",
        "config": {"lr": 0.001},
        "summary": SUMMARY,
        "metrics": METRICS,
        "scenes": scenes,
        "scanpath": scanpath,
        "labels": torch.zeros(len(scenes), dtype=torch.int64),
        "classes": CLASSES,
    }
    write_report(folder / "report.html", **given | changes)
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_page_is_whole_and_needs_no_network(tmp_path):
    page = report(tmp_path)
    assert page.addresses == ["data:,"]
    assert len(page.scripts) == 2  # whatever the class names
    assert "http" not in (tmp_path / "report.html").read_text().replace("http-equiv", "")
    assert "A <run>" in page.text
    assert '"lr": 0.001' in page.text


def test_headline(tmp_path):
    text = report(tmp_path).text
    for piece in ("93.4%", "after 3 glimpses", "11.2points ahead of raster gaze", "2 min 31 s"):
        assert piece in text
    worse = SUMMARY | {"accuracy": {"learned": [0.5], "center": [0.52]}, "seconds": 59.7}
    (tmp_path / "report.html").unlink()
    text = report(tmp_path, summary=worse).text
    for piece in ("50.0%", "after 1 glimpse", "2.0points behind center gaze", "1 min 00 s"):
        assert piece in text


def test_the_viewers_data_stands_in_the_page(tmp_path):
    scenes, scanpath = episodes(stop=[4, 2, 1])
    page = report(tmp_path, played=(scenes, scanpath), without=scanpath.beliefs)
    data = json.loads(page.scripts[0])
    assert data["classes"] == CLASSES
    assert [len(each["spots"]) for each in data["episodes"]] == [4, 2, 1]
    assert [len(each["without"]) for each in data["episodes"]] == [4, 2, 1]
    assert page.scripts[1].startswith('\n"use strict";')


def test_64_episodes_fit_into_a_letter(tmp_path):
    # Noise, which nothing compresses, and more of it than fits as it is.
    noise = episodes(count=70, channels=3, height=240, width=320, total=8, size=24)
    begun = time.process_time()
    page = report(tmp_path, played=noise, without=noise[1].beliefs)
    assert time.process_time() - begun < 10
    assert len(json.loads(page.scripts[0])["episodes"]) == 64
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_confusion_is_that_of_the_summary_or_of_the_episodes(tmp_path):
    scenes, scanpath = episodes(stop=[4, 2, 1])
    scanpath.beliefs[:] = torch.tensor([0.1, 0.2, 0.7])
    labels = torch.tensor([0, 2, 2])
    text = report(tmp_path, played=(scenes, scanpath), labels=labels).text
    assert "on the 3 episodes that were recorded" in text
    whole = SUMMARY | {"confusion": [[7, 1, 0], [0, 8, 0], [0, 0, 9]]}
    page = report(tmp_path, summary=whole)
    assert "Rows are what it was, columns what it said, on 10,000 test scenes" in page.text
    assert '"confusion"' not in page.text  # it has a table; the rest of the summary is in Details
    assert '"readers"' in page.text


def test_unknown_and_broken_metrics_are_passed_over(tmp_path):
    metrics = [
        {"update": 1, "novel_thing": 3, "note": "text", "flag": True, "nil": None},
        {"update": 2, "novel_thing": math.nan, "mixed": [1, "a"], "empty": [], "deep": {"a": {}}},
        {"novel_thing": math.inf, "grad_norm_core": 0.0},
    ]
    page = report(tmp_path, metrics=metrics)
    assert "novel thing" in page.text
    for name in ("note", "flag", "nil", "mixed", "empty", "deep", "gradient norm"):
        assert name not in page.text
    assert page.tags.count("svg") == 2  # with accuracy by glimpse
    assert "No metrics were recorded." in report(tmp_path, metrics=[]).text


def test_curves(tmp_path):
    page = report(tmp_path)
    for title in ("accuracy in training", "validation, last glimpse", "loss classify"):
        assert title in page.text
    assert page.tags.count("svg") == 5  # with accuracy by glimpse and the gradient norm


def test_a_bare_summary_is_enough(tmp_path):
    page = report(tmp_path, summary={}, metrics=[])
    assert "svg" not in page.tags
    assert json.loads(page.scripts[0])["episodes"]


def test_nothing_is_written_where_things_do_not_fit(tmp_path):
    scenes, scanpath = episodes()
    for changes in (
        {"played": (scenes[:2], scanpath)},
        {"played": (scenes[..., :10], scanpath)},
        {"played": (scenes[:0], scanpath[:0])},
        {"labels": torch.zeros(5)},
        {"classes": ["one"]},
        {"without": scanpath.beliefs[:, :2]},
    ):
        with pytest.raises(ValueError, match=r"episodes|pixels|classes"):
            report(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_line_chart_by_hand():
    chart = line_chart("a & b", {"x<y": [(0, 0.0), (10, 1.0)]}, ["red"], percent=True, width=300)
    # 44 left, 34 below, 10 above; the name of 3 letters leaves 14 + 3 * 6.4 to the right.
    assert 'd="M44.0 156.0L266.8 10.0"' in chart
    assert "a &amp; b" in chart
    assert ">x&lt;y</text>" in chart
    assert all(f">{tick}%</text>" in chart for tick in (0, 25, 50, 75, 100))
    assert Page(chart).tags.count("text") == 5 + 3 + 1 + 1  # at 0, 5, 10; what x is; the name


def test_line_chart_leaves_gaps_and_takes_logarithms():
    chart = line_chart("t", {"": [(0, 1), (1, math.nan), (2, 10), (3, 100)]}, ["red"], log=True)
    assert chart.count('class="line"') == 2
    assert all(f">{tick}</text>" in chart for tick in (1, 10, 100))
    assert line_chart("t", {"": [(0, -1), (1, 0)]}, ["red"], log=True) == ""
    assert line_chart("t", {}, []) == ""


def test_line_chart_averages_long_lines():
    line = [(x, x % 2) for x in range(4 * MOST)]
    chart = line_chart("t", {"": line}, ["red"], marks=True)
    assert chart.count("<circle") == MOST
    assert len({spot.split('"')[0] for spot in chart.split('cy="')[1:]}) == 1  # all 0.5


def test_line_chart_keeps_names_apart():
    lines = {name: [(0, 0.0), (1, 0.001 * i)] for i, name in enumerate("abcd")}
    lines["top"] = [(0, 0.0), (1, 1.0)]
    chart = line_chart("t", lines, ["red"] * 5)
    names = [piece for piece in chart.split("<text ") if 'class="name"' in piece]
    heights = sorted(float(piece.split('y="')[1].split('"')[0]) for piece in names)
    assert min(np.diff(heights)) >= LINE - 0.11
    assert heights[-1] <= 190 - 34 + 4
