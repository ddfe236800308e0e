"""The vector face: N rows that live as N singles do, however they end and are reset."""

import copy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from saccade.testing import check_vector_env
from tests.rows import MODES, assert_as_singles, live, singles, vector
from tests.test_single import IDS, OPTIONS

ANSWERS = IDS[:3]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", IDS)
def test_row_i_lives_as_a_single_with_seed_s_plus_i(name, mode):
    options = {"first": "random", "price": 0.1}
    env, reference = (
        vector(name, autoreset_mode=mode, **options),
        singles(name, mode=mode, **options),
    )
    ends = live(env, reference, seed=7)
    assert ends.any(0).all()


@pytest.mark.parametrize("options", [
    {"action_mode": "multidiscrete", "gaze_mode": "relative"},
    {"action_mode": "discrete"},
    {"action_mode": "dict", "gaze_mode": "relative", "reach": 1.5},
])  # fmt: skip
@pytest.mark.parametrize("name", IDS)
def test_so_it_does_however_one_acts(name, options):
    ends = live(vector(name, **options), singles(name, **options), seed=1)
    assert ends.any(0).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stop", ["decide", "correct"])
@pytest.mark.parametrize("name", [*ANSWERS[:2], "saccade/Search-v0"])
def test_so_it_does_where_rows_end_when_they_like(name, stop, mode):
    if name == "saccade/Search-v0":
        stop = "correct"
    options = {"stop": stop, "glimpses": 9, "size": 16}
    env, reference = (
        vector(name, autoreset_mode=mode, **options),
        singles(name, mode=mode, **options),
    )
    ends = live(env, reference, seed=2, steps=40)
    assert (ends.any(1) & ~ends.all(1)).sum() > 5, "the ends are staggered"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", IDS)
def test_so_it_does_where_rows_are_reset_in_mid_episode(name, mode):
    env, reference = vector(name, autoreset_mode=mode), singles(name, mode=mode)
    ends = live(env, reference, seed=3, steps=24, resets=(1, 2, 6, 7, 8, 15))
    assert (ends.any(1) & ~ends.all(1)).any(), "the ends are staggered"


def test_the_seed_of_a_row_does_not_depend_on_the_others():
    name = "saccade/ClutteredDigits-v0"
    many, few = vector(name, 7), vector(name, 2)
    seen, told = many.reset(seed=10)
    other, also = few.reset(seed=13)
    assert np.array_equal(seen["glimpse"][3:5], other["glimpse"])
    assert np.array_equal(told["label"][3:5], also["label"])


def say(env, decisions, gaze=0.0):
    """A batch of actions of the dict face."""
    gazes = np.full((env.num_envs, 2), gaze, np.float32)
    return {"gaze": gazes, "decision": np.asarray(decisions)}


def test_next_step_begins_anew_in_a_step_of_its_own():
    env = vector("saccade/Digits-v0", 2, stop="decide", price=0.5, action_mode="dict")
    assert env.autoreset_mode is env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    _, info = env.reset(seed=0)
    label, look_on = info["label"], 10
    _, reward, terminated, _, info = env.step(say(env, [label[0], look_on]))
    assert reward.tolist() == [1, -0.5]
    assert terminated.tolist() == [True, False]
    assert info["_is_success"].tolist() == [True, False]
    assert info["is_success"][0]
    seen, reward, terminated, truncated, info = env.step(say(env, [label[0], label[1]], 0.5))
    assert reward.tolist() == [0, 1], "a reset step pays nothing, whatever the action"
    assert terminated.tolist() == [False, True]
    assert truncated.tolist() == [False, False]
    assert seen["gaze"][0].tolist() == [0, 0], "its action is ignored"
    assert seen["t"][0] == pytest.approx(1 / 3)
    assert info["_reward_decision"].tolist() == [False, True]
    assert info["_label"].tolist() == [True, True]
    single = gymnasium.make("saccade/Digits-v0", **OPTIONS["saccade/Digits-v0"])
    single.reset(seed=0)
    again, told = single.reset()
    assert np.array_equal(seen["glimpse"][0], again["glimpse"])
    assert info["label"][0] == told["label"]


def test_all_rows_may_begin_anew_at_once():
    env = vector("saccade/Digits-v0", 2, glimpses=1, action_mode="dict")
    _, info = env.reset(seed=0)
    for _ in range(3):
        _, reward, terminated, _, _ = env.step(say(env, info["label"]))
        assert reward.tolist() == [1, 1]
        assert terminated.all()
        seen, reward, terminated, _, info = env.step(say(env, info["label"], 1.0))
        assert reward.tolist() == [0, 0]
        assert not terminated.any()
        assert not seen["gaze"].any()
        assert sorted(info) == ["_label", "label"]


def test_same_step_gives_the_last_observation_beside_the_first():
    env = vector("saccade/Search-v0", 2, action_mode="dict", autoreset_mode="SameStep", glimpses=5)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    _, info = env.reset(seed=0)
    target = info["target"].copy()
    there = {"gaze": np.stack([target[0], -np.sign(target[1])])}
    seen, reward, terminated, _, info = env.step(there)
    assert reward.tolist() == [1, 0]
    assert terminated.tolist() == [True, False]
    for name in ("final_obs", "final_info"):
        assert info[f"_{name}"].tolist() == [True, False]
    assert np.array_equal(info["final_obs"]["gaze"][0], target[0])
    assert info["final_obs"]["t"][0] == pytest.approx(2 / 5)
    assert seen["gaze"][0].tolist() == [0, 0]
    assert seen["t"].ravel().tolist() == pytest.approx([1 / 5, 2 / 5])
    final = info["final_info"]
    assert np.array_equal(final["target"][0], target[0])
    assert final["_target"].tolist() == final["_is_success"].tolist() == [True, False]
    assert final["is_success"][0]
    assert final["reward_fixation"][0] == 1
    # Beside it, what is true of the new episode, and what the other row came to.
    assert not np.array_equal(info["target"][0], target[0])
    assert np.array_equal(info["target"][1], target[1])
    assert info["_reward_fixation"].tolist() == [False, True]
    assert "is_success" not in info
    _, _, terminated, _, info = env.step({"gaze": np.zeros((2, 2), np.float32)})
    assert not terminated.any()
    assert "final_obs" not in info


def test_disabled_leaves_it_to_reset_mask():
    env = vector(
        "saccade/Digits-v0", 3, stop="decide", action_mode="dict", autoreset_mode="Disabled"
    )
    twin = copy.deepcopy(env)
    env.reset(seed=0), twin.reset(seed=0)
    look_on = say(env, [10, 10, 10], 0.25)
    env.step(say(env, [0, 10, 3], 0.25)), twin.step(look_on)
    with pytest.raises(RuntimeError, match=r"rows \[0, 2\] have ended.*reset_mask"):
        env.step(look_on)
    with pytest.raises(RuntimeError, match="have ended"):
        env.step(look_on)  # nothing has happened
    seen, info = env.reset(options={"reset_mask": np.array([True, False, False])})
    assert info["_label"].tolist() == [True, False, False]
    assert seen["t"].ravel().tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    with pytest.raises(RuntimeError, match=r"rows \[2\] have ended"):
        env.step(look_on)
    env.reset(options={"reset_mask": torch.tensor([False, False, True])})
    goes_on, undisturbed = env.step(look_on)[0], twin.step(look_on)[0]
    for name in goes_on:
        assert np.array_equal(goes_on[name][1], undisturbed[name][1])


def test_a_mask_that_does_not_fit_is_refused():
    env = vector("saccade/Digits-v0", 3)
    with pytest.raises(ValueError, match="the first reset is of all rows"):
        env.reset(options={"reset_mask": np.array([True, False, False])})
    env.reset(seed=0, options={"reset_mask": np.ones(3, bool)})
    for mask, error, message in (
        ([True, False, False], TypeError, "reset_mask is a bool array, got list"),
        (np.array([1, 0, 0]), TypeError, "reset_mask is a bool array"),
        (torch.tensor([1, 0, 0]), TypeError, "reset_mask is a bool array"),
        (np.array([True, False]), ValueError, r"reset_mask has shape \(3,\), got \(2,\)"),
        (np.zeros(3, bool), ValueError, "False for every row"),
    ):
        with pytest.raises(error, match=message):
            env.reset(options={"reset_mask": mask})


def labels(env, **reset):
    return env.reset(**reset)[1]["label"].tolist()


def test_seeds():
    name = "saccade/Digits-v0"
    single = [labels(vector(name, 1), seed=seed)[0] for seed in range(40)]
    env = vector(name, 3)
    assert labels(env, seed=4) == single[4:7]
    second = labels(env)
    assert labels(env, seed=[20, 3, 11]) == [single[20], single[3], single[11]]
    # None keeps the row's series: it goes on where the others begin anew.
    labels(env, seed=4)
    assert labels(env, seed=[9, None, 30]) == [single[9], second[1], single[30]]
    labels(env, seed=4)
    masked = env.reset(seed=30, options={"reset_mask": np.array([False, True, True])})[1]
    assert masked["label"].tolist() == [single[4], single[31], single[32]]
    assert labels(env, seed=np.int64(4)) == single[4:7]


def test_without_a_seed_rows_are_new():
    draws = [
        labels(vector("saccade/Digits-v0", 8), seed=seed)
        for seed in (None, None, [None] * 8, [None] * 8)
    ]
    assert len({tuple(each) for each in draws}) > 1
    assert tuple(draws[2]) != tuple(draws[3])


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        ([1, 2], ValueError, "there are 3 rows, but 2 seeds"),
        (1.5, TypeError, "float"),
        ([1, 2.5, 3], TypeError, "float"),
        ("7", TypeError, "str"),
    ],
)
def test_bad_seeds_are_refused(seed, error, message):
    with pytest.raises(error, match=message):
        vector("saccade/Digits-v0", 3).reset(seed=seed)


@pytest.mark.parametrize("options", [{}, {"stop": "decide"}, {"stop": "correct"}])
def test_rollouts_live_the_same_scenes(options):
    name = "saccade/ClutteredDigits-v0"
    env, reference = vector(name, 6, rollouts=3, **options), singles(name, 6, **options)
    seeds = [5, 5, 5, 6, 6, 6]
    assert_as_singles(env, reference, env.reset(seed=5), reference.reset(seed=seeds))
    assert len(env.core.scene.images) == (6 if options else 2)
    reference.action_space.seed(0)
    for _ in range(20):
        action = reference.action_space.sample()
        assert_as_singles(env, reference, env.step(action), reference.step(action))
    assert_as_singles(env, reference, env.reset(seed=seeds), reference.reset(seed=seeds))


def test_rollouts_that_share_a_scene_stay_together():
    env = vector("saccade/Digits-v0", 4, rollouts=2)
    with pytest.raises(ValueError, match=r"rows of a scene \(rollouts\) have one seed"):
        env.reset(seed=[1, 2, 3, 3])
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"rows that share a scene .* are reset together"):
        env.reset(options={"reset_mask": np.array([True, False, True, True])})
    seen, info = env.reset(options={"reset_mask": np.array([True, True, False, False])})
    assert info["_label"].tolist() == [True, True, False, False]
    assert np.array_equal(seen["glimpse"][0], seen["glimpse"][1])


def test_rollouts_begin_at_places_of_their_own():
    env = vector("saccade/ClutteredDigits-v0", 6, rollouts=3, first="random")
    gaze = env.reset(seed=0)[0]["gaze"]
    assert len({tuple(each) for each in gaze.tolist()}) == 6


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", IDS)
def test_passes_the_judge_that_strangers_are_given(name, mode):
    check_vector_env(vector(name, autoreset_mode=mode, first="random"), steps=20)
