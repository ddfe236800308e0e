"""Several processes train as one would."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from saccade.agents import ranks
from saccade.agents.config import TrainConfig
from saccade.agents.fit import Interrupted
from saccade.agents.log import read_metrics
from saccade.agents.reinforce import Reinforce
from saccade.agents.run import Run


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 12, 10), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(90) % 3)
    return TrainConfig(
        data=str(tmp_path / "images.npz"), scene="cluttered", side=24, clutter_size=4, size=4,
        scales=2, glimpses=3, what=16, where=8, hidden=24, policy_hidden=8, batch=32,
        rollouts=2, reward="dense", early=0.2, augment=True, updates=12, warmup=5, log_every=4,
        eval_every=6, threads=1, device="cpu", out=tmp_path / "one",
    )  # fmt: skip


def torchrun(config, *arguments):
    """Trains with two processes."""
    path = config.out.parent / f"{config.out.name}.json"
    path.write_text(json.dumps({"config": config.to_json()}))
    command = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    train = ["-m", "saccade", "train", "--config", str(path), *arguments]
    return subprocess.run(
        [sys.executable, *command, *train], capture_output=True, text=True, timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


# The defaults, and what the presets with something to find have, with maps besides.
KINDS = [
    {},
    {"core": "gru", "routing": "shared", "aim": "relative", "discount": 0.7, "policy_weight": 0.03,
     "maps": 4, "canvas": 3},
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=["apart", "shared"])
def test_two_processes_make_the_updates_of_one(small, tmp_path, kind):
    small = replace(small, **kind)
    Run(small).train(Console(quiet=True))
    two = replace(small, out=tmp_path / "two")
    ended = torchrun(two)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("next: saccade report") == 1  # one of them speaks
    want, got = (load_file(each.out / "model.safetensors") for each in (small, two))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, atol=2e-5, rtol=0)
    lines = [read_metrics(each.out) for each in (small, two)]
    assert [line["update"] for line in lines[0]] == [line["update"] for line in lines[1]]
    for mine, theirs in zip(*lines, strict=True):
        for name in set(mine) - {"validation"}:
            assert theirs[name] == pytest.approx(mine[name], abs=2e-4), name
    (first, second) = (json.loads((c.out / "summary.json").read_text()) for c in (small, two))
    assert first["images"] == second["images"]


def test_two_processes_take_up_a_run(small, tmp_path):
    half, whole = (replace(small, out=tmp_path / name) for name in ("half", "whole"))
    Run(whole).train(Console(quiet=True))
    honest = Reinforce.update

    def update(self):  # one process, stopped after 8 updates; two go on
        if self.updates == 7:
            signal.raise_signal(signal.SIGINT)
        return honest(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reinforce, "update", update)
        run = Run(half)
        with pytest.raises(Interrupted):
            run.train(Console(quiet=True))
    ended = torchrun(half, "--resume", "--out", str(half.out))
    assert ended.returncode == 0, ended.stderr
    want, got = (load_file(each.out / "model.safetensors") for each in (whole, half))
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, atol=2e-5, rtol=0)
    assert [line["update"] for line in read_metrics(half.out)] == [4, 6, 8, 12, 12]


def test_what_processes_cannot_share_is_refused(small):
    ended = torchrun(replace(small, batch=31))
    assert ended.returncode != 0
    assert "2 processes cannot share a --batch of 31 evenly" in ended.stderr
    assert not (small.out / "config.json").exists()


def test_one_process_is_left_alone():
    assert (ranks.count(), ranks.leads(), ranks.share(7)) == (1, True, slice(0, 7))
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    assert ranks.mean_over_ranks(value) is value
    assert ranks.from_leader(3.5) == 3.5


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="threads are listed in /proc")
def test_no_thread_of_the_group_lives_on(tmp_path):
    # One that does may ask for Python when that has ended, which aborts the process.
    script = tmp_path / "leave.py"
    script.write_text(
        "import glob, torch, torch.distributed as dist\n"
        "from saccade.agents.ranks import leave_ranks\n"
        "dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)\n"
        "net = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))\n"
        "net(torch.ones(1, 2)).sum().backward()\n"
        "def names(): return [open(f).read() for f in glob.glob('/proc/self/task/*/comm')]\n"
        "assert any('gloo' in name for name in names())\n"
        "net.__dict__['me'] = net\n"  # as a learner's, it is part of a circle
        "del net\n"
        "leave_ranks()\n"
        "assert not any('gloo' in name for name in names())\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
