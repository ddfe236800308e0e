"""The judge of foveating wrappers: it passes ours and a stranger's, and names planted faults."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from saccade.envs.foveate import FoveatedObservation
from saccade.envs.foveate_vector import VectorFoveatedObservation
from saccade.testing import ContractError, check_foveation
from tests.counting import DISABLED, NEXT, SAME, Torch
from tests.peeking import Peek
from tests.pixels import PixelEnv

SHAPES = [((9, 12, 3), "HWC"), ((2, 9, 12), "CHW"), ((9, 12), "HW")]
MOTORS = [("discrete", "flat"), ("multidiscrete", "flat"), ("box", "flat"), ("dict", "dict")]


def pixels(**options):
    return PixelEnv(**{"shape": (9, 12, 3), "motor": "unit", **options})


def vector(mode=NEXT, rows=3, **options):
    return SyncVectorEnv([lambda: pixels(**options)] * rows, autoreset_mode=mode)


@pytest.mark.parametrize("view", ["crop", "retina", "fovea", "mask"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("shape", "layout"), SHAPES)
def test_our_wrappers_pass_in_every_view(shape, layout, dtype, view):
    env = pixels(shape=shape, dtype=dtype, others=view == "mask")
    options = {"view": view, "size": 5, "layout": layout, "scales": 2, "periphery": 3}
    check_foveation(FoveatedObservation(env, **options), steps=15)
    for mode in AutoresetMode:
        rows = vector(mode, shape=shape, dtype=dtype)
        check_foveation(VectorFoveatedObservation(rows, **options), steps=8)


@pytest.mark.parametrize("gaze_mode", ["absolute", "relative"])
@pytest.mark.parametrize(("motor", "action_layout"), MOTORS)
def test_our_wrappers_pass_with_every_motor(motor, action_layout, gaze_mode):
    options = {"size": 5, "gaze_mode": gaze_mode, "action_layout": action_layout, "reach": 0.3}
    check_foveation(FoveatedObservation(pixels(motor=motor), **options), steps=15)
    rows = vector(DISABLED, motor=motor)
    check_foveation(VectorFoveatedObservation(rows, **options), steps=8)


def test_memory_and_tensors_and_one_row_pass():
    check_foveation(FoveatedObservation(pixels(), view="mask", size=5, memory=3))
    for mode in AutoresetMode:
        check_foveation(VectorFoveatedObservation(Torch(vector(mode)), size=5), steps=10)
        check_foveation(VectorFoveatedObservation(vector(mode, rows=1), size=5), steps=10)


def test_a_stranger_passes():
    env = Peek(gymnasium.make("tests/Pixels-v0", shape=(9, 12, 3), motor="unit"), size=4)
    check_foveation(env)
    assert type(env.env) is not Peek
    env.reset(seed=0)  # still as it was


def test_a_stranger_may_say_what_it_sees():
    class Inverted(Peek):
        def crop(self, image):
            return 255 - super().crop(image)

    def see(image, gaze):
        other = Peek(pixels())
        other.gaze = gaze
        return 255 - other.crop(image)

    check_foveation(Inverted(pixels()), see)
    with pytest.raises(ContractError, match=r"^fovea: "):
        check_foveation(Inverted(pixels()))


# Faults: what a stranger overrides.


def peek(**methods):
    """A wrapper with some methods replaced."""
    return lambda: type("Faulty", (Peek,), methods)(pixels())


def with_space(name, key, space):
    def make():
        env = Peek(pixels())
        if key:
            space_of = dict(getattr(env, name).items())
            space_of.pop(key)
            setattr(env, name, gymnasium.spaces.Dict({**space_of, **(space or {})}))
        else:
            setattr(env, name, space)
        return env

    return make


def changing(index, change):
    """A step whose result `index` is changed."""

    def step(self, action):
        result = list(Peek.step(self, action))
        result[index] = change(result[index])
        return tuple(result)

    return peek(step=step)


def steps_twice(self, motor):
    self.env.step(motor)
    return self.env.step(motor)


def steps_another(self, motor):
    return self.env.env.step(motor) if hasattr(self.env, "calls") else self.env.step(motor)


def keeps_image(self, image):
    shown = Peek.show(self, getattr(self, "old", image))
    self.old = image
    return shown


def moves_and_refuses(self, action):
    self.act(np.zeros(2, np.float32))
    raise ValueError("NaN")


def refuses_late(self, action):
    return moves_and_refuses(self, action) if np.isnan(action).any() else Peek.step(self, action)


def shares(self, image):
    if not hasattr(self, "shared"):
        self.shared = Peek.show(self, image)
    for key, value in Peek.show(self, image).items():
        self.shared[key][...] = value
    return dict(self.shared)


def lends_gaze(self, image):
    return {"fovea": self.crop(image), "gaze": self.gaze}


class Unrecorded(gymnasium.Wrapper):
    """The same without the record of its arguments."""

    def __init__(self, env):
        super().__init__(env)
        self.eyes = Peek(env)
        self.observation_space, self.action_space = (
            self.eyes.observation_space,
            self.eyes.action_space,
        )

    def reset(self, **kwargs):
        self.eyes.env = self.env
        return self.eyes.reset(**kwargs)

    def step(self, action):
        return self.eyes.step(action)


class ForgetsSize(Peek):
    def __init__(self, env, size=5):
        super().__init__(env, size)
        self._saved_kwargs = {}


class ImageOf(Peek):
    """Exposes the image before the latest."""

    image = None

    def show(self, image):
        self.image = getattr(self, "next", image)
        self.next = image
        return super().show(image)


def speed_lost():
    class Lost(FoveatedObservation):
        def step(self, action):
            observation, *rest = super().step(action)
            return {**observation, "speed": -observation["speed"]}, *rest

    return Lost(pixels(others=True), size=5)


def rows_faulty(mode, step=None, reset=None):
    """A vector wrapper whose results `step(self, result, actions)` or `reset(...)` changes."""

    class Faulty(VectorFoveatedObservation):
        def reset(self, *, seed=None, options=None):
            result = super().reset(seed=seed, options=options)
            self.pending = np.zeros(self.num_envs, bool)
            if reset:
                reset(self, result, options)
            return result

        def step(self, actions):
            result = super().step(actions)
            if step:
                step(self, result, actions)
            self.pending = result[2] | result[3]
            return result

    return lambda: Faulty(vector(mode), size=5)


def gaze_goes_on(self, result, actions):
    result[0]["gaze"][self.pending] = actions[self.pending, -2:]


def all_begin(self, result, options):
    result[0]["gaze"][...] = 0


def final_from_first(self, result, actions):
    if "final_obs" in result[4]:
        result[4]["final_obs"]["gaze"][...] = 0


def final_of_next(self, result, actions):
    if "final_obs" in result[4]:
        result[4]["final_obs"]["fovea"] = result[0]["fovea"].copy()


def no_final(self, result, actions):
    result[4].pop("final_obs", None)


box = gymnasium.spaces.Box
FAULTS = {
    "no fovea": ("spaces", with_space("observation_space", "fovea", None)),
    "gaze of integers": (
        "spaces",
        with_space("observation_space", "gaze", {"gaze": box(-1, 1, (2,), np.int8)}),
    ),
    "no dict": ("spaces", with_space("observation_space", None, box(0, 1, (3, 3, 3), np.uint8))),
    "motor alone": ("spaces", with_space("action_space", None, box(-1, 1, (2,)))),
    "wide gaze": ("spaces", with_space("action_space", None, box(-2, 2, (4,)))),
    "float gaze": ("observation", changing(0, lambda o: {**o, "gaze": o["gaze"].astype(float)})),
    "extra entry": ("observation", changing(0, lambda o: {**o, "other": o["gaze"]})),
    "other entry": ("observation", speed_lost),
    "motor scaled": ("motor", peek(act=lambda self, motor: self.env.step(motor / 2))),
    "motor too wide": ("motor", peek(act=lambda self, m: self.env.step(m.astype(float)))),
    "steps twice": ("motor", peek(act=steps_twice)),
    "steps another": ("motor", peek(act=steps_another)),
    "reward": ("reward", changing(1, lambda reward: reward + 1)),
    "terminated": ("flags", changing(2, lambda flag: not flag)),
    "truncated": ("flags", changing(3, lambda flag: True)),
    "info lost": ("info", changing(4, lambda info: {})),
    "info changed": ("info", changing(4, lambda info: {**info, "t": 0})),
    "gaze goes on": ("gaze", peek(begin=lambda self: None)),
    "gaze stays": ("gaze", peek(move=lambda self, asked: None)),
    "gaze turned": ("gaze", peek(move=lambda self, asked: Peek.move(self, asked[::-1]))),
    "NaN": ("gaze", peek(step=lambda self, a: Peek.step(self, np.nan_to_num(a)))),
    "NaN too late": ("gaze", peek(step=refuses_late)),
    "pixel off": ("fovea", peek(crop=lambda self, x: Peek.crop(self, np.roll(x, 1, 1)))),
    "turned": ("fovea", peek(crop=lambda self, x: Peek.crop(self, x).swapaxes(0, 1))),
    "stale": ("fovea", peek(show=keeps_image)),
    "dark": ("fovea", peek(crop=lambda self, x: Peek.crop(self, x) // 2)),
    "old image": ("image", lambda: ImageOf(pixels())),
    "one buffer": ("alias", peek(show=shares)),
    "no record": ("record", lambda: Unrecorded(pixels())),
    "record without size": (
        "record",
        lambda: ForgetsSize(gymnasium.make("tests/Pixels-v0", shape=(9, 12, 3), motor="unit"), 4),
    ),
    "gaze goes on in a row": ("gaze", rows_faulty(NEXT, gaze_goes_on)),
    "all rows begin": ("gaze", rows_faulty(DISABLED, reset=all_begin)),
    "final from first": ("final-obs", rows_faulty(SAME, final_from_first)),
    "final of next": ("final-obs", rows_faulty(SAME, final_of_next)),
    "no final": ("final-obs", rows_faulty(SAME, no_final)),
}


@pytest.mark.parametrize(("clause", "make"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_named(clause, make):
    with pytest.raises(ContractError, match=f"^{clause}: .{{20,}}"):
        check_foveation(make(), steps=20)


def test_a_lent_gaze_that_is_written_is_noticed():
    """Relative moves start from where the wrapper looks, which the user may have written over."""

    class Relative(Peek):
        def __init__(self, env):
            super().__init__(env)
            self._saved_kwargs = {"gaze_mode": "relative", "reach": 0.5}

        def move(self, asked):
            self.gaze[...] = np.clip(self.gaze + 0.5 * asked, -1, 1)

        show = lends_gaze

    with pytest.raises(ContractError, match=r"^(gaze|alias): "):
        check_foveation(Relative(pixels()))


def test_rows_that_never_end_are_not_judged():
    with pytest.raises(ContractError, match=r"^ends: "):
        check_foveation(VectorFoveatedObservation(vector(SAME), size=5), steps=1)


def test_the_environment_is_put_back_after_a_fault():
    env = peek(begin=lambda self: None)()
    inner = env.env
    with pytest.raises(ContractError):
        check_foveation(env)
    assert env.env is inner


def test_bad_arguments():
    with pytest.raises(TypeError, match="Wrapper"):
        check_foveation(pixels())
    with pytest.raises(ValueError, match="steps"):
        check_foveation(Peek(pixels()), steps=0)
