"""Vector environments side by side: making them, comparing them, playing them alike."""

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

from tests.test_single import OPTIONS

MODES = ("NextStep", "SameStep", "Disabled")
ROWS = 4


def vector(name, rows=ROWS, **options):
    return gymnasium.make_vec(name, num_envs=rows, **{**OPTIONS[name], **options})


def singles(name, rows=ROWS, *, mode="NextStep", **options):
    def make():
        return gymnasium.make(name, disable_env_checker=True, **{**OPTIONS[name], **options})

    return SyncVectorEnv([make] * rows, autoreset_mode=AutoresetMode(mode))


def lists(value):
    """Arrays and tensors, in dicts and tuples, as NumPy."""
    if isinstance(value, dict):
        return {name: lists(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(lists(each) for each in value)
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value


def assert_equal(one, other, where="result"):
    """Equal to the bit, in all depth."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_equal(one[name], other[name], f"{where}[{name!r}]")
    elif isinstance(one, tuple):
        for i, (mine, yours) in enumerate(zip(one, other, strict=True)):
            assert_equal(mine, yours, f"{where}[{i}]")
    else:
        assert one.shape == other.shape, where
        assert np.array_equal(one, other), where


def info_of_row(infos, row):
    """What infos say of one row."""
    told = {}
    for name, value in infos.items():
        if name[0] != "_" and name != "final_obs" and infos[f"_{name}"][row]:
            told[name] = info_of_row(value, row) if name == "final_info" else value[row]
    return told


def rows_of_final(env, infos):
    """The last observations of the rows that ended, in our form or in that of Gymnasium."""
    final, ended = infos["final_obs"], np.flatnonzero(infos["_final_obs"])
    if isinstance(final, dict):
        final = list(iterate(env.observation_space, final))
    return {int(row): final[row] for row in ended}


def assert_as_singles(env, reference, ours, theirs):
    """That a step or a reset came to the same in both, infos included."""
    *one, infos = ours
    *other, told = theirs
    assert_equal(tuple(one), tuple(other))
    assert ("final_obs" in infos) == ("final_obs" in told)
    if "final_obs" in told:
        last, wanted = rows_of_final(env, infos), rows_of_final(reference, told)
        assert last.keys() == wanted.keys()
        for row in wanted:
            assert_equal(last[row], wanted[row])
    for row in range(env.num_envs):
        mine, yours = (info_of_row(each, row) for each in (infos, told))
        assert mine.keys() == yours.keys()
        ends = [each.pop("final_info", {}) for each in (mine, yours)]
        assert ends[0].keys() == ends[1].keys()
        for name in yours:
            assert np.array_equal(mine[name], yours[name]), name
        for name in ends[1]:
            assert np.array_equal(ends[0][name], ends[1][name]), f"final_info[{name!r}]"


def live(env, reference, *, seed, steps=14, resets=()):
    """Plays both by the same actions; `resets` names steps before which some rows begin anew."""
    rng = np.random.default_rng(0)
    mode = env.autoreset_mode
    assert_as_singles(env, reference, env.reset(seed=seed), reference.reset(seed=seed))
    reference.action_space.seed(3)
    ended, ends = np.zeros(env.num_envs, bool), []
    for step in range(steps):
        mask = ended if mode == AutoresetMode.DISABLED else np.zeros_like(ended)
        if step in resets:
            mask = mask | (rng.random(env.num_envs) < 0.5)
        if mask.any():
            both = [each.reset(options={"reset_mask": mask.copy()}) for each in (env, reference)]
            assert_as_singles(env, reference, *both)
        action = reference.action_space.sample()
        both = [each.step(action) for each in (env, reference)]
        assert_as_singles(env, reference, *both)
        ended = both[0][2]
        ends.append(ended)
    return np.array(ends)


def on(env, action):
    """An action as tensors, where the environment lives."""
    if isinstance(action, dict):
        return {name: on(env, value) for name, value in action.items()}
    return torch.from_numpy(action).to(env.device)


def leaves(value):
    """Every array or tensor in it."""
    if isinstance(value, (dict, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from leaves(each)
    else:
        yield value
