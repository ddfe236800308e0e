"""Vector environments with one planted fault each, and the clause that it breaks."""

from functools import partial

import gymnasium
import numpy as np
import torch

from tests.counting import (
    DISABLED,
    NEXT,
    SAME,
    CountEnv,
    Faulty,
    ForgetsNoEnd,
    ForgetsNoEndByMask,
    LockStep,
    OneStream,
    counts,
)

cart_pole = partial(gymnasium.make, "CartPole-v1")

# What is done to the results of a step, a list, or before a reset.


def set_item(index, change):
    """A step whose result `index` is changed."""

    def step(self, result, action):
        result[index] = change(result[index])

    return step


def set_info(**entries):
    def step(self, result, action):
        result[4].update(entries)

    return step


def set_observation(key, change):
    def both(self, result, _):
        result[0] = {**result[0], key: change(result[0][key])}

    return both


def on_pending(index, value):
    def step(self, result, action):
        result[index][self.pending] = value

    return step


def drops_image(self, result, action):
    del result[0]["image"]


def writes_action(self, result, action):
    action[...] = 0


def hears_pending(self, result, action):
    result[0]["count"][self.pending, 0] = action[self.pending]


def stays_when_pending(self, result, action):
    for key, value in result[0].items():
        if self.pending.any():
            value[self.pending] = self.shown[key][self.pending]
    self.shown = {key: value.copy() for key, value in result[0].items()}


def final_is_shown(self, result, action):
    """The observation of the reset as `final_obs`."""
    for i in np.flatnonzero(self.ended):
        result[4]["final_obs"][i] = {key: value[i] for key, value in result[0].items()}


def shows_final(self, result, action):
    """The last observation in the place of the reset's."""
    for i in np.flatnonzero(self.ended):
        for key, value in result[4]["final_obs"][i].items():
            result[0][key][i] = value


def shows_nothing(self, result, action):
    result[0]["count"][self.ended] = 0


def drops_final(self, result, action):
    result[4].pop("final_obs", None)
    result[4].pop("_final_obs", None)


def wrong_final_mask(self, result, action):
    if self.ended.any():
        result[4]["_final_obs"] = ~self.ended


def wrong_final_type(self, result, action):
    for i in np.flatnonzero(self.ended):
        result[4]["final_obs"][i]["count"] = np.zeros(1)


def ignores_mask(self, kwargs):
    return {"seed": kwargs.get("seed")}


def refuses_mask(self, kwargs):
    if kwargs.get("options"):
        raise NotImplementedError("no partial reset")


def takes_any(kind):
    """Accepts a mask that is wrong in one way."""

    def before(self, kwargs):
        mask = (kwargs.get("options") or {}).get("reset_mask")
        if mask is None:
            return None
        if kind == "shape" and len(mask) > 3:
            return {"options": {"reset_mask": mask[:3]}}
        if kind == "dtype" and mask.dtype != bool:
            return {"options": {"reset_mask": mask.astype(bool)}}
        if kind == "empty" and not mask.any():
            return {"options": {"reset_mask": np.array([True, False, False])}}
        return None

    return before


def mask_drops_seed(self, kwargs):
    if kwargs.get("options"):
        return {**kwargs, "seed": None}
    return None


def no_seed(self, kwargs):
    return {**kwargs, "seed": None}


def no_list(self, kwargs):
    if isinstance(kwargs.get("seed"), list):
        raise TypeError("an int is wanted")


def first_of_list(self, kwargs):
    if isinstance(kwargs.get("seed"), list):
        return {**kwargs, "seed": kwargs["seed"][0]}
    return None


def any_list(self, kwargs):
    if isinstance(kwargs.get("seed"), list):
        return {**kwargs, "seed": kwargs["seed"][:3]}
    return None


def no_options(self, kwargs):
    if kwargs.get("options") == {}:
        raise ValueError("no options")


def chance_after_first(self, kwargs):
    if kwargs.get("seed") is None and "options" not in kwargs:
        return {**kwargs, "seed": int(np.random.default_rng().integers(2**31))}
    return None


def other_seeds(self, kwargs):
    seed = kwargs.get("seed")
    if isinstance(seed, int):
        seed = [seed + i for i in range(3)]
    return {**kwargs, "seed": seed and [2 * each for each in seed]}


def uses_what_it_gave(self, result, action):
    heard = self.last["count"].sum() if self.last else 0
    result[1] += np.where(self.pending, 0, heard)


def reads_old_action(self, result, action):
    result[1] += np.where(self.pending, 0, 0 if self.old is None else self.old.sum())
    self.old = action


def forgets_action(self, result, kwargs):
    self.old = None


def reuses(self, result, action):
    if not hasattr(self, "buffer"):
        self.buffer = np.zeros(3)
    self.buffer[:] = result[1]
    result[1] = self.buffer


def declares(name, value):
    """An environment of which one attribute says something else."""

    def make():
        env = Faulty(counts())
        setattr(env.unwrapped if name == "autoreset_mode" else env, name, value)
        return env

    return make


def stepping(step, mode=NEXT, **options):
    return lambda: Faulty(counts(mode, **options), step)


def resetting(before, mode=NEXT):
    return lambda: Faulty(counts(mode), before=before)


def rendering(change, **options):
    """An environment whose frames `change(self, frames)` has changed."""

    class Render(Faulty):
        def render(self):
            return change(self, super().render())

    return lambda: Render(counts(make=partial(CountEnv, "rgb_array")), **options)


def walks(self, frames):
    self.env.step(np.zeros(3, np.int64))
    return frames


def same_frame(self, frames):
    if not hasattr(self, "frame"):
        self.frame = np.zeros((4, 6, 3), np.uint8)
    self.frame += 1
    return (self.frame,) * 3


def no_fps():
    env = counts(make=partial(CountEnv, "rgb_array"))
    env.metadata = {"autoreset_mode": NEXT}
    return env


class Endless(CountEnv):
    def step(self, action):
        observation, reward, _, _, info = super().step(0)
        return observation, reward, False, False, info


class Growing(CountEnv):
    def step(self, action):
        result = super().step(action)
        result[0]["count"] += 200
        return result


FAULTS = {
    "no mode": ("autoreset-mode", declares("metadata", {})),
    "mode as text": ("autoreset-mode", declares("metadata", {"autoreset_mode": "NextStep"})),
    "two modes": ("autoreset-mode", declares("autoreset_mode", SAME)),
    "no attribute": ("autoreset-mode", declares("autoreset_mode", None)),
    "observation space": ("spaces", declares("observation_space", gymnasium.spaces.Discrete(2))),
    "action space": ("spaces", declares("action_space", gymnasium.spaces.Discrete(2))),
    "reset gives one": ("reset", lambda: Faulty(counts(), reset=lambda s, r, k: r[:1])),
    "step gives four": ("step", stepping(lambda s, r, a: r[:4])),
    "step fails": ("step", stepping(lambda s, r, a: 1 / 0)),
    "end outlives reset": ("reset", lambda: ForgetsNoEnd([CountEnv] * 3)),
    "end outlives mask": ("reset-mask", lambda: ForgetsNoEndByMask([CountEnv] * 3)),
    "wide floats": ("observation", stepping(set_observation("count", np.float64))),
    "shape": ("observation", stepping(set_observation("count", lambda x: x[:, 0]))),
    "list": ("observation", stepping(set_observation("count", np.ndarray.tolist))),
    "out of bounds": ("observation", lambda: counts(make=Growing)),
    "missing key": ("observation", stepping(drops_image)),
    "bad reset": (
        "observation",
        lambda: Faulty(counts(), reset=set_observation("count", np.float64)),
    ),
    "mixed kinds": ("observation", stepping(set_observation("count", torch.from_numpy))),
    "tensor reward": ("reward", stepping(set_item(1, torch.from_numpy))),
    "reward shape": ("reward", stepping(set_item(1, lambda x: x[:, None]))),
    "whole reward": ("reward", stepping(set_item(1, np.int64))),
    "NaN reward": ("reward", stepping(set_item(1, lambda x: x * np.nan))),
    "flags as numbers": ("flags", stepping(set_item(2, np.float32))),
    "flag list": ("flags", stepping(set_item(3, list))),
    "flag shape": ("flags", stepping(set_item(3, lambda x: x[:2]))),
    "scalar info": ("info", stepping(set_info(x=1.0, _x=np.ones(3, bool)))),
    "no mask": ("info", stepping(set_info(x=np.ones(3)))),
    "short info": ("info", stepping(set_info(x=np.ones(2), _x=np.ones(3, bool)))),
    "whole mask": ("info", stepping(set_info(x=np.ones(3), _x=np.ones(3, int)))),
    "lone mask": ("info", stepping(set_info(_x=np.ones(3, bool)))),
    "nested info": ("info", stepping(set_info(x={"y": 1}, _x=np.ones(3, bool)))),
    "text": ("info", stepping(set_info(x=np.array(["a", "b", None]), _x=np.ones(3, bool)))),
    "tensor info": ("info", stepping(set_info(x=torch.ones(3), _x=np.ones(3, bool)))),
    "writes action": ("action", stepping(writes_action)),
    "never ends": ("ends", lambda: counts(make=Endless)),
    "lock-step": ("staggered", LockStep),
    "reward of reset": ("next-step", stepping(on_pending(1, 1.0))),
    "flag of reset": ("next-step", stepping(on_pending(3, True))),
    "hears pending": ("next-step", stepping(hears_pending)),
    "no reset shown": ("next-step", stepping(stays_when_pending)),
    "no final_obs": ("same-step", stepping(drops_final, SAME)),
    "final mask": ("same-step", stepping(wrong_final_mask, SAME)),
    "final type": ("same-step", stepping(wrong_final_type, SAME)),
    "final is shown": ("same-step", stepping(final_is_shown, SAME)),
    "shows final": ("same-step", stepping(shows_final, SAME)),
    "ignores mask": ("reset-mask", resetting(ignores_mask)),
    "refuses mask": ("reset-mask", resetting(refuses_mask, DISABLED)),
    "any shape": ("reset-mask", resetting(takes_any("shape"))),
    "any dtype": ("reset-mask", resetting(takes_any("dtype"), SAME)),
    "empty mask": ("reset-mask", resetting(takes_any("empty"), DISABLED)),
    "mask drops seed": ("reset-mask", resetting(mask_drops_seed)),
    "one stream": ("reset-mask", lambda: OneStream([CountEnv] * 3)),
    "no seed": ("seed", resetting(no_seed)),
    "no list": ("seed", resetting(no_list)),
    "first of list": ("seed", resetting(first_of_list)),
    "any list": ("seed", resetting(any_list)),
    "no options": ("seed", resetting(no_options)),
    "chance": ("seed", resetting(chance_after_first)),
    "reuses": ("alias", stepping(reuses)),
    "no copy": ("alias", lambda: counts(copy=False)),
    "uses what it gave": ("alias", stepping(uses_what_it_gave)),
    "reads old action": ("alias", lambda: Faulty(counts(), reads_old_action, forgets_action)),
    "one frame": ("alias", rendering(same_frame)),
    "array of frames": ("render", rendering(lambda self, frames: np.stack(frames))),
    "too few frames": ("render", rendering(lambda self, frames: frames[:2])),
    "float frames": ("render", rendering(lambda self, frames: tuple(x / 255 for x in frames))),
    "walks": ("render", rendering(walks)),
    "no fps": ("render", no_fps),
    "closes once": ("close", lambda: gymnasium.make_vec("tests/ClosesOnce-v0", num_envs=2)),
}

AGAINST_SINGLES = {
    "other seeds": ("single", resetting(other_seeds)),
    "other reward": ("single", lambda: counts(make=partial(CountEnv, scale=2.0))),
    "other space": ("single", lambda: counts(make=cart_pole)),
    "other info": ("single", stepping(lambda s, r, a: r[4].update(t=np.ones(3, int)))),
    "other inner info": (
        "single",
        stepping(lambda s, r, a: r[4].get("inner", {}).update(count=np.ones(3))),
    ),
    "no reset shown": ("next-step", stepping(stays_when_pending)),
    "final is shown": ("same-step", stepping(final_is_shown, SAME)),
    "shows final": ("same-step", stepping(shows_final, SAME)),
    "shows nothing": ("disabled", stepping(shows_nothing, DISABLED)),
    "shows nothing at an end": ("next-step", stepping(shows_nothing)),
}
