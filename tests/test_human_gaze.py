"""scripts/human_gaze.py, on made-up people and on real ones."""

import json
import sys

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose

from saccade.data import Splits
from saccade.digits import draw_digits
from scripts import human_gaze

ROWS = ["agent", "random", "center", "saliency", "center bias", "other people"]


@pytest.fixture
def few_updates(monkeypatch):
    """Data, training and photographs for a test's patience."""
    digits = draw_digits(200, seed=0)
    few = Splits(digits, digits, digits, "digits")
    monkeypatch.setattr(human_gaze, "load_data", lambda name, seed: few)
    monkeypatch.setattr(human_gaze, "QUICK_UPDATES", 1)
    monkeypatch.setattr(human_gaze, "QUICK_IMAGES", 3)


@pytest.fixture
def data(tmp_path):
    """Three photographs, each with one place that three people look at; and others without."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data/eyetracking"
    (folder / "stimuli").mkdir(parents=True)
    lines = ["image,subject,index,x,y,duration_ms"]
    for image in range(9):
        if image < 3:
            photo = rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / f"stimuli/{image}.jpg"), photo)
        place = rng.random(2) * (700, 500) + 50
        for subject in range(3):
            for index, (x, y) in enumerate(place + rng.normal(0, 8, (5, 2))):
                lines.append(f"{image},{subject},{index},{x:.1f},{y:.1f},200")
    (folder / "fixations.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def run(monkeypatch, out, *arguments):
    """What the script says of itself in its JSON file."""
    out.mkdir(exist_ok=True)
    call = ["human_gaze.py", "--quick", "--out", str(out), "--json", str(out / "a.json")]
    monkeypatch.setattr(sys, "argv", [*call, *arguments])
    human_gaze.main()
    return json.loads((out / "a.json").read_text())


def test_tables_and_picture_of_people_who_agree(data, tmp_path, monkeypatch, few_updates, capsys):
    told = run(monkeypatch, tmp_path / "one", "--data", str(data))
    said = capsys.readouterr().out
    assert list(told["rows"]) == ROWS
    assert "never saw a photograph" in told["agent"]
    for name in (*ROWS, *human_gaze.SCANPATHS, *human_gaze.MAPS, *human_gaze.MOVES):
        assert name in said
    assert "9 gazes, 3 photographs" in said
    means = {name: row["mean"] for name, row in told["rows"].items()}
    assert means["other people"]["AUC"] > 0.99
    assert means["other people"]["gain, bits"] > 1
    assert means["center bias"]["gain, bits"] == 0
    assert means["other people"]["DTW px"] < 40
    assert means["center"]["amplitude px"] == 0
    assert means["center"]["direction"] is None
    assert means["agent"]["duration"] is None
    assert means["other people"]["duration"] == 1  # all are of 200 ms
    assert all(mean["gain, bits"] >= -1 for mean in means.values())
    picture = cv2.imread(str(tmp_path / "one/gaze.png"))
    assert picture.std() > 20

    again = run(monkeypatch, tmp_path / "other", "--data", str(data))
    assert again["rows"] == told["rows"]


def test_the_agent_of_a_run(data, tmp_path, monkeypatch, few_updates):
    from saccade.agent import save_weights
    from saccade.agents.checkpoint import write_json

    agent = human_gaze.train_on_digits(1)
    (tmp_path / "run").mkdir()
    save_weights(agent.network, tmp_path / "run")
    spec = vars(agent.spec) | {"retina": vars(agent.spec.retina), "glimpses": 3}
    write_json(tmp_path / "run/config.json", {"agent": spec})
    told = run(monkeypatch, tmp_path / "out", "--data", str(data), "--run", str(tmp_path / "run"))
    assert told["agent"] == f"agent of {tmp_path / 'run'}"
    assert told["rows"]["agent"]["saccades"]["saccades"] == 9 * 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "by --data or SACCADE_DATA"),
        (["--data", "/no/such"], "no folder /no/such/eyetracking"),
        (["--run", "/no/such"], "holds no config.json"),
        (["--json", "/no/such/a.json"], "no folder /no/such"),
    ],
)
def test_what_is_missing_is_said(arguments, sentence, data, tmp_path, monkeypatch):
    monkeypatch.delenv("SACCADE_DATA", raising=False)
    if arguments and arguments[0] != "--data":
        arguments = [*arguments, "--data", str(data)]
    monkeypatch.setattr(sys, "argv", ["human_gaze.py", "--out", str(tmp_path / "o"), *arguments])
    with pytest.raises(SystemExit, match=sentence):
        human_gaze.main()
    assert not (tmp_path / "o").exists()


def test_means_for_each_viewer():
    values = np.array([1.0, 3.0, np.nan, np.nan, 5.0])
    viewers = np.array([0, 0, 0, 1, 2])
    assert_allclose(human_gaze.per_viewer(values, viewers), [2, np.nan, 5])


def test_people_foretell_people_better_than_the_center_does(
    data_dir, tmp_path, monkeypatch, few_updates
):
    told = run(monkeypatch, tmp_path, "--data", str(data_dir))
    means = {name: row["mean"] for name, row in told["rows"].items()}
    for measure in ("NSS", "AUC", "gain, bits", "ScanMatch"):
        best = max(mean[measure] for mean in means.values() if mean[measure] is not None)
        assert means["other people"][measure] == best, measure
    assert means["center"]["ScanMatch"] > means["random"]["ScanMatch"]  # it fools
