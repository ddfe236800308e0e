import json
from dataclasses import asdict

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import saccade.video
from saccade.agent import save_weights
from saccade.agents import watch as watching
from saccade.agents.watch import Episodes, make_pictures, make_video, prepare_report, watch_episodes
from tests.episodes import CLASSES, episodes, two_episodes
from tests.test_explain import make_agent


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """The codec that takes the least time."""
    monkeypatch.setattr(saccade.video, "CODECS", ("mp4v",))


@pytest.fixture
def seen():
    scenes, scanpath = two_episodes()
    return Episodes(scenes, scanpath, CLASSES, torch.tensor([0, 1]))


@pytest.fixture
def run(tmp_path):
    """A run folder as training leaves it, without training."""
    agent, (scenes, _) = make_agent(), two_episodes()
    config = {"config": {"lr": 0.001}, "agent": asdict(agent.spec)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    summary = {"accuracy": {"learned": [0.1, 0.2, 0.3, 0.4]}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "metrics.jsonl").write_text('{"update": 1, "reward": 0.5}\n')
    save_weights(agent.network, tmp_path)
    agent.look(scenes).save(tmp_path / "scanpath.safetensors")
    saved = {"scenes": scenes, "labels": torch.tensor([0, 1])}
    save_file(saved, tmp_path / "scenes.safetensors")
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_make_pictures(tmp_path, seen):
    assert make_pictures(seen, tmp_path) == [tmp_path / "gaze.png", tmp_path / "gaze.gif"]
    assert names(tmp_path) == ["gaze.gif", "gaze.png"]
    with Image.open(tmp_path / "gaze.png") as picture:
        assert picture.format == "PNG"
        assert picture.height > 600
    assert make_video(seen, tmp_path) == tmp_path / "gaze.mp4"


def test_watch_writes_files_and_names_them(tmp_path, seen):
    said = []
    watch_episodes(seen, tmp_path / "new", False, said.append)
    assert [line.rsplit("/")[-1] for line in said] == ["gaze.png", "gaze.gif", "gaze.mp4"]
    assert names(tmp_path / "new") == ["gaze.gif", "gaze.mp4", "gaze.png"]


def test_many_episodes_become_a_grid_and_as_long_a_gif_as_there_may_be(tmp_path, monkeypatch):
    scenes, scanpath = episodes(17, height=8, width=8, total=2)
    monkeypatch.setattr(saccade.video, "MOST", 60)  # an episode is 2 * 5 + 3 + 14 frames
    said = []
    watch_episodes(Episodes(scenes, scanpath, CLASSES, None), tmp_path, False, said.append)
    assert len(said) == 3
    with Image.open(tmp_path / "gaze.png") as picture:
        assert picture.height < 900
    with Image.open(tmp_path / "gaze.gif") as file:
        times = []
        for t in range(file.n_frames):
            file.seek(t)
            times.append(file.info["duration"])
    assert sum(times) == 2 * 27 * 80
    monkeypatch.setattr(saccade.video, "MOST", 20)
    said.clear()
    watch_episodes(Episodes(scenes, scanpath, CLASSES, None), tmp_path, False, said.append)
    assert said[1] == "a GIF holds at most 20 frames here, got 27; write an MP4"
    assert said[2].endswith("gaze.mp4")


def test_a_missing_codec_is_said_and_the_rest_is_written(tmp_path, seen, monkeypatch):
    monkeypatch.setattr(saccade.video, "CODECS", ("none",))
    said = []
    watch_episodes(seen, tmp_path, False, said.append)
    assert names(tmp_path) == ["gaze.gif", "gaze.png"]
    assert "writes no MP4" in said[-1]


def test_without_a_screen_files_are_written(tmp_path, seen, monkeypatch):
    monkeypatch.setattr(watching, "can_open_window", lambda: False)
    said = []
    watch_episodes(seen, tmp_path, True, said.append)
    assert said[0] == (
        "no window can be opened here: there is no screen, or OpenCV is a headless one"
    )
    assert len(names(tmp_path)) == 3


def test_with_a_screen_nothing_is_written(tmp_path, seen, monkeypatch):
    played = []
    monkeypatch.setattr(watching, "can_open_window", lambda: True)
    monkeypatch.setattr(watching, "play", played.extend)
    watch_episodes(seen, tmp_path / "new", True, lambda _: None)
    assert not names(tmp_path)
    assert [len(make()) for make in played] == [4 * 5 + 3 * 3 + 14, 2 * 5 + 3 + 14]


def test_report_of_a_run(run):
    path = prepare_report(run)()
    assert path == run / "report.html"
    text = path.read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert len(data["episodes"]) == 2
    assert len(data["episodes"][0]["without"]) == 4  # what each glimpse changed


@pytest.mark.parametrize("name", ["summary.json", "scanpath.safetensors", "scenes.safetensors"])
def test_a_run_that_has_not_ended_has_no_report(run, name):
    (run / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        prepare_report(run)
    assert not (run / "report.html").exists()


def test_a_run_in_an_environment_has_no_report(run):
    config = json.loads((run / "config.json").read_text())
    config["config"]["env"] = "saccade/Search-v0"
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="was trained in an environment; see it by saccade watch"):
        prepare_report(run)
