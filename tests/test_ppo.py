"""Recurrent PPO: its numbers by hand, what it makes of resets, and probes that it must solve."""

import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from saccade.agents.ppo import (
    ActionHead,
    ActorCritic,
    Player,
    PPOConfig,
    Rollout,
    advantages_of,
    loss_of,
    main,
    train,
)
from saccade.counter import make_key, row_keys

FAST = {"num_envs": 32, "num_steps": 16}


class Recall(gymnasium.Env):
    """Shows one of two signs at first, then nothing; pays at the end for naming the sign."""

    def __init__(self, wait=3, truncate=False):
        self.wait, self.truncate = wait, truncate
        self.observation_space = spaces.Box(0, 9, (3,), np.float32)
        self.action_space = spaces.Discrete(2)

    def observe(self):
        observation = np.zeros(3, np.float32)
        observation[2] = self.t
        if self.t == 0:
            observation[self.sign] = 1
        return observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sign, self.t = int(self.np_random.integers(2)), 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        over = self.t > self.wait
        reward = float(over and action == self.sign)
        return self.observe(), reward, over and not self.truncate, over and self.truncate, {}


gymnasium.register("Recall-v0", lambda **options: Recall(**options))


def rollout(**columns):
    blank = torch.zeros(3, 1)
    given = {name: torch.tensor(values)[:, None] for name, values in columns.items()}
    return Rollout(**{name: given.get(name, blank) for name in Rollout._fields})


def test_advantages_by_hand():
    # An episode ends with step 1, for good or by truncation; step 2 belongs to the next one.
    columns = {"rewards": [1.0, 2.0, 4.0], "values": [0.5, 0.25, 8.0, 2.0]}
    ended = [False, True, False]
    for cut, last in ((False, 2 - 0.25), (True, 2 + 0.5 * 8 - 0.25)):
        terminated = [False, not cut, False]
        played = rollout(**columns, ended=ended, terminated=terminated)
        gains = advantages_of(played, gamma=0.5, lam=0.8)[:, 0]
        first = (1 + 0.5 * 0.25 - 0.5) + 0.5 * 0.8 * last
        assert gains.tolist() == pytest.approx([first, last, 4 + 0.5 * 2 - 8])


def test_log_probabilities_are_those_of_torch():
    torch.manual_seed(0)
    features = torch.randn(4, 5, 8)
    box = ActionHead(spaces.Box(-1, 1, (3,)), 8)
    actions = torch.randn(4, 5, 3)
    reference = torch.distributions.Normal(box.linear(features), box.log_std.exp())
    log_prob, entropy = box.judge(features, actions)
    assert torch.allclose(log_prob, reference.log_prob(actions).sum(-1))
    assert torch.allclose(entropy, reference.entropy().sum(-1))
    many = ActionHead(spaces.MultiDiscrete([3, 4]), 8)
    actions = torch.stack([torch.randint(0, n, (4, 5)) for n in (3, 4)], -1)
    parts = many.linear(features).split([3, 4], -1)
    reference = [torch.distributions.Categorical(logits=logits) for logits in parts]
    log_prob, entropy = many.judge(features, actions)
    wanted = sum(each.log_prob(actions[..., n]) for n, each in enumerate(reference))
    assert torch.allclose(log_prob, wanted)
    assert torch.allclose(entropy, sum(each.entropy() for each in reference))


def test_draws_follow_the_distribution():
    head = ActionHead(spaces.Discrete(3), 1)
    with torch.no_grad():
        head.linear.bias[:] = torch.tensor([0.2, 0.3, 0.5]).log()
    drawn = head.sample(torch.zeros(20000, 1), row_keys(make_key(0), 20000))
    share = torch.bincount(drawn[:, 0], minlength=3) / 20000
    assert torch.allclose(share, torch.tensor([0.2, 0.3, 0.5]), atol=0.015)
    box = ActionHead(spaces.Box(np.float32([-2, 0]), np.float32([2, 1])), 1)
    given = box.to_env(torch.tensor([[0.5, 0.0], [3.0, -7.0]]))
    assert given.tolist() == [[1, 0.5], [2, 0]]


def make_player(truncate=False, rows=4):
    env = SyncVectorEnv([lambda wait=wait: Recall(wait, truncate) for wait in range(1, rows + 1)])
    torch.manual_seed(0)
    network = ActorCritic(env.single_observation_space, env.single_action_space, 16, "lstm")
    return Player(env, network, seed=0), network


def test_knows_first_steps_and_steps_that_only_reset():
    player, _ = make_player()
    played = player.play(23, row_keys(make_key(0), 4))
    for row in range(4):
        length = row + 2  # steps of an episode, and one more that resets
        phase = torch.arange(23) % (length + 1)
        assert torch.equal(played.first[:, row], phase == 0)
        assert torch.equal(played.played[:, row], phase < length)
        assert torch.equal(played.ended[:, row], phase == length - 1)
        assert torch.equal(played.seen[:, row, 2], phase.float())
    assert not player.venv.envs[0].truncate
    assert torch.equal(played.terminated, played.ended)


def test_rollouts_are_seen_again_as_they_were_played():
    # Across a rollout's border too, with the state from before it.
    player, network = make_player(truncate=True)
    config = PPOConfig(entropy=0.0, value=0.0)
    for number in range(2):
        start = player.state
        played = player.play(11, row_keys(make_key(number), 4))
        features = network.replay(played.seen, played.first, start)
        log_prob, _ = network.policy.judge(features, played.actions)
        assert torch.allclose(log_prob, played.log_probs, atol=1e-6)
        assert torch.allclose(network.values(features), played.values[:-1], atol=1e-6)
        # What is written to the steps of reset changes nothing.
        gains = torch.randn(11, 4)
        spoiled = torch.where(played.played, gains, 1e9)
        one, other = (
            loss_of(config, network, played, each, each, start) for each in (gains, spoiled)
        )
        assert torch.equal(one, other)


@pytest.mark.parametrize("core", ["gru", "lstm"])
def test_remembers_what_it_saw_steps_ago(core):
    config = PPOConfig("Recall-v0", total_steps=32 * 16 * 60, core=core, hidden=32, lr=5e-3, **FAST)
    _, curve = train(config, lambda line: None)
    assert curve[-1]["return"] > 0.95  # half of it is what can be had without memory


def test_balances_the_pole():
    config = PPOConfig("CartPole-v1", total_steps=60_000)
    _, curve = train(config, lambda line: None)
    assert max(line["return"] for line in curve) > 150


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("action_mode", ["box", "multidiscrete", "discrete"])
def test_one_seed_gives_one_run_on_our_worlds(action_mode, output):
    def run(seed):
        lines = []
        options = {"action_mode": action_mode, "output": output, "size": 4, "glimpses": 3}
        config = PPOConfig(
            "saccade/ClutteredDigits-v0", options, total_steps=1024, seed=seed, **FAST
        )
        network, _ = train(config, lines.append)
        assert {"step", "return", "success"} <= set(lines[-1])
        return torch.cat([each.flatten() for each in network.parameters()])

    before = torch.random.get_rng_state()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_command_line(tmp_path, capsys):
    path = tmp_path / "curve.jsonl"
    options = ["--env-id", "CartPole-v1", "--total-steps", "512", "--num-envs", "8"]
    options += ["--num-steps", "16", "--options", '{"sutton_barto_reward": true}']
    main([*options, "--json", str(path)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-1]["step"] == 512
    assert -1 <= lines[-1]["return"] <= 0  # so the option has arrived
    assert "'step': 512" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="no folder"):
        main([*options, "--json", str(tmp_path / "nowhere" / "curve.jsonl")])


def test_what_it_cannot_do_is_named():
    with pytest.raises(ValueError, match="multiple of minibatches"):
        PPOConfig(num_envs=6)
    with pytest.raises(ValueError, match="one rollout"):
        PPOConfig(total_steps=10)
    venv = SyncVectorEnv([Recall], autoreset_mode=AutoresetMode.SAME_STEP)
    network = ActorCritic(venv.single_observation_space, venv.single_action_space, 4, "gru")
    with pytest.raises(ValueError, match="leave autoreset_mode out"):
        Player(venv, network, 0)
    box, sign = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)
    with pytest.raises(ValueError, match="Dict of Boxes"):
        ActorCritic(sign, sign, 4, "gru")
    for space in (spaces.Box(-np.inf, np.inf, (2,)), spaces.Discrete(2, start=1)):
        with pytest.raises(ValueError, match="bounded Box"):
            ActorCritic(box, space, 4, "gru")
