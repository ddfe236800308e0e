"""The command, as it is typed."""

import json
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest

from saccade.agents.cli import COMMANDS, main
from saccade.agents.options import Preset
from saccade.agents.presets import PRESETS

SMALL = shlex.split(
    "--scene translated --side 24 --size 4 --glimpses 3 --what 16 --where 8 --hidden 24 "
    "--policy-hidden 8 --batch 32 --updates 12 --log-every 4 --eval-every 6 --threads 1 "
    "--device cpu"
)


@pytest.fixture
def folder(tmp_path):
    """A folder of RGB pictures of various sizes, two classes."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            size = (int(rng.integers(12, 17)), int(rng.integers(12, 17)), 3)
            picture = rng.integers(0, 256, size, dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "pictures" / name / f"{number}.png"), picture)
    return tmp_path


@pytest.fixture
def run(folder):
    """The folder of a finished run on those pictures."""
    out = folder / "run"
    assert main(["train", "--data", str(folder / "pictures"), "--out", str(out), *SMALL]) == 0
    return out


def test_trains_on_a_folder_of_pictures_and_shows_what_came_of_it(run, folder, capsys):
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary["accuracy"]) == ["learned", "random", "center", "raster"]
    assert main(["evaluate", str(run), "--json", str(folder / "again.json")]) == 0
    assert "learned" in capsys.readouterr().out
    again = json.loads((folder / "again.json").read_text())
    assert again["accuracy"]["learned"] == pytest.approx(summary["accuracy"]["learned"], abs=1e-6)

    assert main(["report", str(run)]) == 0
    assert "</html>" in (run / "report.html").read_text()
    assert main(["watch", str(run), "--count", "2"]) == 0
    assert (run / "gaze.png").stat().st_size > 1000
    assert (run / "gaze.gif").read_bytes()[:6] == b"GIF89a"

    picture = next((folder / "pictures" / "cat").iterdir())
    assert main(["watch", str(run), str(picture), "--out", str(folder / "one")]) == 0
    assert main(["watch", str(run), str(picture.parent), "--out", str(folder / "many")]) == 0
    names = sorted(path.name for path in (folder / "many").iterdir())
    assert names == ["gaze.gif", "gaze.mp4", "gaze.png"]


def test_a_runs_own_configuration_repeats_it(run, folder):
    other = folder / "other"
    assert main(["train", "--config", str(run / "config.json"), "--out", str(other)]) == 0
    one, again = ((each / "model.safetensors").read_bytes() for each in (run, other))
    assert one == again


def test_a_finished_run_resumes_to_itself(run, folder, capsys):
    before = (run / "model.safetensors").read_bytes()
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert (run / "model.safetensors").read_bytes() == before
    assert main(["train", "--out", str(run), "--resume", "--lr", "0.5"]) == 2
    assert "another --lr" in capsys.readouterr().err


def say(arguments, capsys):
    """The exit code, and what was said on standard error."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["learn"], "there is no command 'learn'; choose from train, evaluate"),
        (["train", "--preset", "mnist"], "there is no preset 'mnist'; choose from default"),
        (["train", "--core", "transformer"], "transformer"),
        (["train", "--glimses", "3"], "--glimses"),
        (["train", "--glimpses", "0"], "--glimpses must be 1 or more"),
        (["train", "--scene", "translated", "--side", "20"], "do not fit"),
        (["train", "--data", "/no/such/folder"], "/no/such/folder"),
        (["train", "--config", "/no/config.json"], "no configuration file"),
        (["train", "--preset", "demo", "--config", "x.json"], "give one of them"),
        (["train", "--device", "quantum"], "cannot be used here"),
        (["train", "--resume", "--out", "/no/run"], "no run to resume"),
        (["evaluate", "/no/run"], "no configuration file /no/run/config.json"),
        (["watch", "/no/run"], "holds no config.json"),
        (["report", "/no/run"], "holds no config.json"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments, sentence, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    code, said = say(arguments, capsys)
    assert code == 2
    assert sentence in said.replace("\n", " ")
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_are_none_are_refused(run, folder, capsys):
    broken = folder / "broken.png"
    broken.write_bytes(b"not a picture")
    code, said = say(["watch", str(run), str(broken)], capsys)
    assert code == 2
    assert "broken.png cannot be read as an image" in said
    code, said = say(["watch", str(run), str(folder / "none.png")], capsys)
    assert code == 2
    assert "none.png" in said


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_every_option(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for field in COMMANDS[name][0].__dataclass_fields__:
        assert field.replace("_", "-").upper() in text.upper()


def test_the_list_of_commands(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_presets_are_those_of_the_command():
    assert set(Preset.__args__) == set(PRESETS)


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "saccade", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("saccade: there is no command 'nothing'")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(40, 20), (40, 20, 3)])
def test_pictures_are_fitted_to_the_agents_scenes(tmp_path, channels, shape):
    from saccade.agents.watch import fit_picture

    picture = np.zeros(shape, np.uint8)
    picture[...] = 90 if len(shape) == 2 else (10, 20, 200)  # OpenCV writes blue first
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    fitted = fit_picture(tmp_path / "a.png", channels, 20, 30)
    assert fitted.shape == (channels, 20, 30)
    # Scaled by a half to 20 x 10, ten black columns on either side.
    assert not fitted[:, :, :10].any()
    assert not fitted[:, :, 20:].any()
    if len(shape) == 2:
        assert (fitted[:, :, 10:20] == 90).all()
    elif channels == 3:
        assert fitted[:, 7, 15].tolist() == [200, 20, 10]
    else:  # 0.299 R + 0.587 G + 0.114 B
        assert fitted[0, 7, 15] == round(0.299 * 200 + 0.587 * 20 + 0.114 * 10)
