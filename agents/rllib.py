"""Recipe for RLlib: a PPO configuration that trains on our vector environments.

    config = ppo_config("saccade/Search-v0", size=8)
    algorithm = config.build_algo()
    print(algorithm.train()["env_runners"]["episode_return_mean"])

RLlib (its new API stack) steps Gymnasium's vector environments in NEXT_STEP mode, which is what
`make_vec` gives. It does not check the mode: in another one its episodes would be mixed up
without a word. It has no encoder for Dict observations, so they are flattened; the network
remembers by an LSTM over whole episodes.
"""

from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from ray.rllib.algorithms.ppo import PPOConfig


def ppo_config(
    env_id: str,
    *,
    num_envs: int = 64,
    num_env_runners: int = 0,
    hidden: int = 256,
    memory: int = 8,
    **options: Any,
) -> "PPOConfig":
    """PPO with an LSTM on one of our environments; everything can be changed afterwards.

    Args:
        env_id: As for `gymnasium.make_vec`.
        num_envs: Rows stepped at once in each process.
        num_env_runners: Processes that play; 0 plays in the learner's own.
        hidden: Width of the network's layer and of its LSTM.
        memory: Steps that gradients run back through: the number of glimpses. RLlib pads all
            sequences to it, so that more only costs time.
        **options: Keyword arguments of the environment.

    Raises:
        ImportError: If RLlib is not installed.
        ValueError: If an option would break RLlib's reading of episodes.
    """
    try:
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.connectors.env_to_module import FlattenObservations
        from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    except ImportError as error:
        raise ImportError('this recipe needs RLlib: pip install "saccade-rl[rllib]"') from error
    if options.keys() & {"autoreset_mode", "output"}:
        raise ValueError("RLlib needs NumPy and NEXT_STEP: leave output and autoreset_mode out")
    # Processes that play look the environment up by name: "saccade:" lets them import it.
    name = f"saccade:{env_id}" if env_id.startswith("saccade/") else env_id
    return (
        PPOConfig()
        .environment(name, env_config=options)
        .env_runners(
            num_env_runners=num_env_runners,
            num_envs_per_env_runner=num_envs,
            gym_env_vectorize_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT,
            env_to_module_connector=lambda env=None, spaces=None, device=None: (
                FlattenObservations()
            ),
        )
        .training(
            gamma=1.0,
            lambda_=0.95,
            lr=1e-3,
            vf_loss_coeff=0.1,  # policy and value share the LSTM
            train_batch_size_per_learner=num_envs * 32,
            minibatch_size=min(512, num_envs * 32),
            num_epochs=4,
        )
        .rl_module(
            model_config=DefaultModelConfig(
                fcnet_hiddens=[hidden], use_lstm=True, lstm_cell_size=hidden, max_seq_len=memory
            )
        )
    )
