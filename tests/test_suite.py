"""What is in the benchmark suite: tasks, rows, recipes."""

from dataclasses import replace

import pytest

from saccade.agents.gaze import SCRIPTS
from saccade.agents.presets import PRESETS
from saccade.agents.references import REFERENCES
from saccade.agents.suite import ROWS, TASKS, Row, find_row, find_task, row_config


def test_the_suite_is_the_papers():
    budgets = {task: {row.glimpses for row in ROWS.values() if row.task == task} for task in TASKS}
    assert budgets == {
        "centered-28": {0, 2, 3, 4, 5, 6, 7},
        "translated-60": {0, 4, 6, 8},
        "cluttered-60": {0, 4, 6, 8},
        "cluttered-100": {0, 4, 6, 8},
    }
    assert {row.method for row in ROWS.values()} == {"saccade", *SCRIPTS, *REFERENCES}
    for name, row in ROWS.items():
        assert find_row(name) is row
        assert (row.gaze is None) == (row.glimpses == 0)
    with pytest.raises(ValueError, match="no row 'cluttered-60-5g'"):
        find_row("cluttered-60-5g")


def test_five_seeds_for_headline_rows_three_for_others():
    five = {name for name, row in ROWS.items() if row.seeds == 5}
    assert five == {"centered-28-6g", "translated-60-8g", "cluttered-60-8g", "cluttered-100-8g"}
    assert {row.seeds for name, row in ROWS.items() if name not in five} == {3}


def test_recipes_have_the_tasks_scenes_and_retina():
    worlds = {
        "centered-28": ("centered", 8, 1),
        "translated-60": ("translated", 12, 3),
        "cluttered-60": ("cluttered", 12, 3),
        "cluttered-100": ("cluttered", 12, 4),
    }
    for row in ROWS.values():
        config = row_config(row).check()
        scene, size, scales = worlds[row.task]
        assert config.scene == scene
        if scene == "cluttered":
            assert config.clutter == {"cluttered-60": 4, "cluttered-100": 8}[row.task]
            assert config.clutter_size == 8
        if scene != "centered":
            assert config.side == int(row.task.rpartition("-")[2])
        if row.gaze:
            assert (config.size, config.scales, config.factor) == (size, scales, 2)
            assert find_task(config, config.side or 28) == row.task
            # Gazes are compared at the same budget, by the same recipe.
            learned = row_config(Row(row.task, row.glimpses, "saccade"))
            assert config == replace(learned, gaze=row.gaze)
            assert (config.glimpses, config.gaze) == (row.glimpses, row.gaze)
        else:
            agent = row_config(Row(row.task, TASKS[row.task].headline, "saccade"))
            # What it is compared with has learned from no fewer scenes.
            assert config.batch * config.updates >= agent.batch * agent.updates
            assert (config.augment, config.data) == (agent.augment, agent.data)


@pytest.mark.parametrize("option", ["size", "scales", "side", "clutter", "factor", "scene"])
def test_a_recipe_of_another_world_is_refused(option, monkeypatch):
    other = {"scene": "translated"}.get(option, 5)
    wrong = replace(PRESETS["cluttered-60"], **{option: other})
    monkeypatch.setitem(PRESETS, "cluttered-60", wrong)
    with pytest.raises(ValueError, match=f"has {option} {other}, but cluttered-60 is"):
        row_config(find_row("cluttered-60-8g"))


def test_recipes_can_be_chosen_and_augmentation_switched(monkeypatch):
    monkeypatch.setitem(PRESETS, "demo", replace(PRESETS["cluttered-60"], batch=77))
    row = find_row("cluttered-60-4g")
    assert row_config(row, "demo").batch == 77
    both = [row_config(row, augment=each) for each in (True, False)]
    assert [each.augment for each in both] == [True, False]
    whole = row_config(find_row("cluttered-60/fc-64"))
    assert (whole.augment, whole.bend) == (True, both[0].bend)  # as the agent beside it
    monkeypatch.setitem(PRESETS, "demo", replace(PRESETS["cluttered-60"], bend=0.2, refine=0.3))
    made = [row_config(row, "demo", each) for each in (True, False)]
    assert [(each.bend, each.refine) for each in made] == [(0.2, 0.3), (0.0, 0.3)], "a slip eases"
    with pytest.raises(ValueError, match="no preset 'demi'"):
        row_config(row, "demi")
