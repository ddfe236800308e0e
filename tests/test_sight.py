"""What an eye makes of a picture, against slow references and numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pixels import eyed, planar
from tests.reference import slow_glimpse

LAYOUTS = [((40, 60, 3), "HWC"), ((3, 40, 60), "CHW"), ((40, 60), "HW"), ((9, 12, 1), "HWC")]


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(("shape", "layout"), LAYOUTS)
def test_views_equal_a_slow_reference_in_the_images_own_layout(shape, layout, dtype):
    full = 255 if dtype == "uint8" else 1
    for view in ("crop", "fovea", "retina"):
        options = {"shape": shape, "dtype": dtype, "motor": "unit"}
        env = eyed(options, view=view, size=7, scales=2, periphery=5)
        env.reset(seed=3)
        observation = env.step(np.array([0, 0, 0.31, -0.83], np.float32))[0]
        assert observation in env.observation_space
        image = planar(env.image, layout)
        wanted = slow_glimpse(image, tuple(env.gaze.tolist()), 7, 2, 2)
        if view == "retina":
            seen = observation["fovea"]
            assert seen.dtype == np.float32
            assert np.allclose(seen, wanted / full, atol=1e-6)
        elif dtype == "uint8":
            seen = planar(observation["fovea"], "CHW" if layout == "CHW" else "HWC")
            assert observation["fovea"].dtype == np.uint8
            assert np.array_equal(seen, wanted[0])
        else:
            assert observation["fovea"].dtype == np.float32
            assert observation["fovea"].shape == (1, len(image), 7, 7)
            assert np.allclose(observation["fovea"][0], wanted[0], atol=1e-6)
        assert ("periphery" in observation) == (view == "fovea")


@given(
    st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)),
    st.integers(1, 9),
    st.integers(3, 8),
    st.integers(3, 8),
)
def test_the_mask_shows_what_the_crop_shows(gaze, size, height, width):
    shape = (height, width, 1)
    masked, cropped = (
        eyed({"shape": shape, "motor": "unit"}, view=view, size=size, layout="HWC")
        for view in ("mask", "crop")
    )
    masked.reset(seed=1)
    cropped.reset(seed=1)
    action = np.array([0, 0, *gaze], np.float32)
    seen, crop = masked.step(action)[0]["fovea"], cropped.step(action)[0]["fovea"]
    left, top = (
        int(np.floor((float(g) + 1) / 2 * side - size / 2 + 0.5))
        for g, side in zip(action[2:], (width, height), strict=True)
    )
    inside = np.zeros(shape, np.uint8)
    inside[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = 1
    assert np.array_equal(seen, masked.image * inside)
    assert seen.sum(dtype=int) == crop.sum(dtype=int)


def test_the_periphery_is_the_mean_of_what_each_cell_touches_rounded_half_up():
    env = eyed({"shape": (4, 6, 1)}, view="fovea", size=3, periphery=2)
    env.reset(seed=0)
    env.env.picture = np.array(
        [[0, 1, 1, 9, 9, 9], [0, 0, 1, 9, 9, 9], [5, 5, 5, 0, 0, 255], [5, 5, 5, 0, 0, 255]],
        np.uint8,
    )[..., None]
    env.env.t = -1
    observation = env.step(np.array([0, 2, 2]))[0]
    assert observation["periphery"][..., 0].tolist() == [[1, 9], [5, 85]]  # 3/6 goes up
    uneven = eyed({"shape": (3, 3, 1), "dtype": "float32"}, view="fovea", layout="HWC", periphery=2)
    whole = uneven.reset(seed=0)[0]["periphery"][0, 0]
    image = uneven.image[..., 0]
    wanted = [[image[a : a + 2, b : b + 2].mean() for b in (0, 1)] for a in (0, 1)]
    assert np.allclose(whole, wanted, atol=1e-6)


@pytest.mark.parametrize("memory", [1, 2, 4])
def test_the_last_k_looks_stay_on_the_canvas(memory):
    env = eyed({"shape": (12, 16, 3), "motor": "unit"}, view="mask", size=5, memory=memory)
    rng = np.random.default_rng(0)
    for seed in range(4):
        observation, _ = env.reset(seed=seed)
        looks, ended = [], False
        gaze = np.zeros(2, np.float32)
        while True:
            left, top = (
                int(np.floor((float(g) + 1) / 2 * side - 2.5 + 0.5))
                for g, side in zip(gaze, (16, 12), strict=True)
            )
            inside = np.zeros((12, 16, 1), bool)
            inside[max(top, 0) : max(top + 5, 0), max(left, 0) : max(left + 5, 0)] = True
            looks.append((inside, env.image))
            canvas = np.zeros((12, 16, 3), np.uint8)
            for where, image in looks[-memory:]:
                canvas = np.where(where, image, canvas)
            assert np.array_equal(observation["fovea"], canvas)
            if ended:
                break
            gaze = rng.uniform(-1, 1, 2).astype(np.float32)
            action = np.array([0, 0, *gaze], np.float32)
            observation, _, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated


def test_memory_is_refused_where_nothing_could_stay():
    for view in ("crop", "retina", "fovea"):
        with pytest.raises(ValueError, match="memory=2 goes with view='mask' alone"):
            eyed(view=view, memory=2)
