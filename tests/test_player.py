"""Learning in worlds without labels: routing, returns by hand, probes, runs of the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import saccade
from saccade.agents.cli import main
from saccade.agents.config import TrainConfig
from saccade.agents.player import ROUTING, Played, Player, advantages, play
from saccade.agents.world import make_world
from saccade.counter import make_key

CPU = torch.device("cpu")
SMALL = TrainConfig(
    env="saccade/Search-v0", env_options='{"glimpses": 4}', batch=8, what=16, where=16, hidden=24,
    policy_hidden=16, updates=4, log_every=2, eval_every=2, threads=1, device="cpu",
)  # fmt: skip


def played(rewards, values, alive):
    rewards, values = torch.tensor(rewards), torch.tensor(values)
    nothing = torch.zeros_like(rewards)
    over = torch.zeros(len(rewards), dtype=torch.bool)
    return Played(nothing, nothing, values, rewards, torch.tensor(alive), over)


def test_advantages_are_returns_less_the_baseline():
    one = played([[1.0, 0.0, 2.0]], [[0.5, 0.25, 1.0, 0.0]], [[True, True, True]])
    # Returns to go with discount 1/2: 1 + 0 + 2/4, 0 + 2/2, 2.
    assert advantages(one, 0.5, 1.0).tolist() == [[1.0, 0.75, 1.0]]


def test_a_trace_of_none_trusts_the_baseline():
    one = played([[1.0, 0.0, 2.0]], [[0.5, 0.25, 1.0, 4.0]], [[True, True, True]])
    # Reward, plus half of the next guess, less this one; the last row is bootstrapped by 4.
    assert advantages(one, 0.5, 0.0).tolist() == [[0.625, 0.25, 3.0]]


def test_after_its_end_an_episode_counts_for_nothing():
    one = played([[1.0, 0.0, 0.0]], [[0.5, 7.0, 7.0, 7.0]], [[True, False, False]])
    assert advantages(one, 1.0, 1.0).tolist() == [[0.5, 0.0, 0.0]]


@pytest.mark.parametrize("name", ["saccade/Search-v0", "saccade/Catch-v0"])
def test_gradients_go_where_they_are_declared_to(name):
    learner = Player(replace(SMALL, env=name), CPU)
    result = play(learner.network, learner.world, 3, make_key(1), sigma=0.2)
    losses = {"act": result.log_probs.sum(), "baseline": result.values.sum()}
    deeds = learner.world.deeds > 0
    for loss, wanted in ROUTING.items():
        learner.network.zero_grad()
        losses[loss].backward(retain_graph=True)
        reached = {
            module
            for module in learner.optimizer.modules
            if any(
                each.grad is not None and bool(each.grad.any())
                for each in getattr(learner.network, module).parameters()
            )
        }
        assert reached == (wanted if deeds else wanted - {"classifier"})


def test_one_seed_gives_one_run():
    runs = []
    for _ in range(2):
        learner = Player(SMALL, CPU)
        for _ in range(3):
            learner.update()
        runs.append(torch.cat([each.flatten() for each in learner.network.parameters()]))
    assert torch.equal(*runs)
    other = Player(replace(SMALL, seed=1), CPU)
    other.update()
    assert not torch.equal(runs[0], torch.cat([x.flatten() for x in other.network.parameters()]))


def test_the_last_reward_of_a_row_counts_and_no_later_one():
    world, _ = make_world("saccade/Search-v0", '{"glimpses": 6}', 64, 0, CPU)
    learner = Player(replace(SMALL, batch=64, env_options='{"glimpses": 6}'), CPU)
    result = play(learner.network, world, 0, make_key(0), sigma=1.0)
    assert (result.rewards.sum(1) <= 1).all()
    assert torch.equal(result.rewards.sum(1) > 0, result.success)
    ended = (result.rewards > 0).cumsum(1) - (result.rewards > 0).long() > 0  # before this step
    assert not (result.alive & ended).any()


def test_learns_to_look_at_the_only_item():
    """One item, seen by the coarse window from the center: looking there is all there is to do."""
    config = replace(
        SMALL, env_options='{"items": 1, "glimpses": 3, "side": 48}', batch=128, lr=3e-3,
        warmup=10, updates=150, sigma=0.2, hidden=64, what=64,
    )  # fmt: skip
    learner = Player(config, CPU)
    before = learner.evaluate("test", batches=2)["success"]
    for _ in range(config.updates):
        learner.update()
    after = learner.evaluate("test", batches=2)["success"]
    assert before < 0.5
    assert after > 0.65
    assert after > learner.evaluate("test", "random", 2)["success"] + 0.3


def run(*arguments):
    return main(["train", "--device", "cpu", "--threads", "1", *arguments])


def small_run(out, *more):
    sizes = [
        "--batch",
        "8",
        "--what",
        "16",
        "--where",
        "16",
        "--hidden",
        "24",
        "--policy-hidden",
        "16",
        "--updates",
        "4",
    ]
    return run("--env", "saccade/Catch-v0", *sizes, "--out", str(out), *more)


def test_the_command_trains_watches_and_repeats(tmp_path, capsys):
    assert small_run(tmp_path / "a") == 0
    assert "saccade/Catch-v0" in capsys.readouterr().out
    summary = json.loads((tmp_path / "a/summary.json").read_text())
    assert set(summary["test"]) == {"learned", "random", "center"}
    assert summary["episodes"] == 4 * 8
    assert len(saccade.load(tmp_path / "a").spec.classes) == 3
    assert main(["watch", str(tmp_path / "a"), "--count", "1"]) == 0
    assert (tmp_path / "a/gaze.gif").stat().st_size > 1000
    assert small_run(tmp_path / "b") == 0
    again = json.loads((tmp_path / "b/summary.json").read_text())
    assert again["test"] == summary["test"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--env", "CartPole-v1"], "give eyes to others"),
        (["--env", "saccade/Nothing-v0"], "cannot be made"),
        (["--env", "saccade/Catch-v0", "--env-options", "{"], "no JSON object"),
        (["--env", "saccade/Catch-v0", "--env-options", '{"sides": 3}'], "no option 'sides'"),
        (["--env-options", "{}"], "belongs to --env"),
        (["--env", "saccade/Catch-v0", "--judge", "validation", "--updates", "1"], "not for --env"),
        (["--env", "saccade/Catch-v0", "--compile", "--updates", "1"], "not for --env"),
        (["--env", "saccade/Catch-v0", "--slip", "0.1", "--updates", "1"], "not for --env"),
        (["--env", "saccade/Catch-v0", "--trace", "2"], "--trace"),
    ],
)
def test_bad_worlds_are_refused_before_work_begins(tmp_path, capsys, arguments, words):
    assert run(*arguments, "--out", str(tmp_path / "run")) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_any_environment_with_pictures_can_be_played():
    pytest.importorskip("pygame")
    options = json.dumps({"env_id": "CartPole-v1", "size": 6})
    config = replace(SMALL, env="saccade/Foveate-v0", env_options=options, batch=2, horizon=20)
    learner = Player(config, CPU)
    metrics = learner.update()
    assert 5 < float(metrics["steps"]) <= 20
    assert np.isfinite(float(metrics["loss_act"]))
