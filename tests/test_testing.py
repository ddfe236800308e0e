"""The judge of vector environments: it passes Gymnasium's own, and names each planted fault."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from saccade.testing import ContractError, check_vector_env
from tests.counting import NEXT, SAME, CountEnv, Faulty, Torch, counts
from tests.vector_faults import AGAINST_SINGLES, FAULTS, cart_pole

MODES = list(AutoresetMode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [cart_pole, CountEnv], ids=["CartPole", "Dict"])
@pytest.mark.parametrize("rows", [1, 4])
def test_gymnasiums_own_vector_passes(mode, make, rows):
    env = SyncVectorEnv([make] * rows, autoreset_mode=mode)
    check_vector_env(env, steps=60)
    check_vector_env(env, make, steps=60, seed=5)
    env.reset(seed=0)  # still open
    env.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("make", [cart_pole, CountEnv], ids=["CartPole", "Dict"])
def test_gymnasiums_processes_pass(mode, make):
    env = AsyncVectorEnv([make] * 2, autoreset_mode=mode)
    check_vector_env(env, make, steps=40)
    env.close()


@pytest.mark.parametrize("mode", MODES)
def test_tensors_pass(mode):
    check_vector_env(Torch(counts(mode)), CountEnv, steps=30)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_spec_gives_singles_and_a_second_one_to_close(kind):
    options = {"num_envs": 2, "vectorization_mode": kind, "render_mode": "rgb_array"}
    env = gymnasium.make_vec("tests/Count-v0", **options, scale=2.0)
    check_vector_env(env, steps=20)
    env.close()


def batched_final(self, result, action):
    """`final_obs` as one batch, as a torch environment would have it."""
    if "final_obs" in result[4]:
        final = {key: value.copy() for key, value in result[0].items()}
        for i in np.flatnonzero(self.ended):
            for key, value in result[4]["final_obs"][i].items():
                final[key][i] = value
        result[4]["final_obs"] = final


def test_final_obs_may_be_a_batch():
    check_vector_env(Faulty(counts(SAME), batched_final), CountEnv, steps=30)


@pytest.mark.parametrize(("clause", "make"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_named(clause, make):
    with pytest.raises(ContractError, match=f"^{clause}: .{{20,}}"):
        check_vector_env(make(), steps=30)


@pytest.mark.parametrize(("clause", "make"), AGAINST_SINGLES.values(), ids=AGAINST_SINGLES)
def test_a_fault_that_only_singles_show_is_named(clause, make):
    with pytest.raises(ContractError, match=f"^{clause}: .{{20,}}"):
        check_vector_env(make(), CountEnv, steps=30)


def test_the_vector_of_cart_pole_has_faults():
    """Gymnasium's hand-written vector ignores masks and lists of seeds."""
    env = gymnasium.make_vec("CartPole-v1", num_envs=2)
    with pytest.raises(ContractError, match=r"^autoreset-mode: "):
        check_vector_env(env)
    env.unwrapped.autoreset_mode = NEXT
    with pytest.raises(ContractError, match=r"^reset-mask: "):
        check_vector_env(env)


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="steps"):
        check_vector_env(counts(), steps=0)


def test_a_broken_contract_is_a_failed_assertion():
    assert issubclass(ContractError, AssertionError)
