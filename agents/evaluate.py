"""Evaluation: one rollout an image, at the policy's mode, on a fixed set of scenes."""

import hashlib
from typing import Any, NamedTuple

import torch
from torch import Tensor

from saccade.agents.gaze import Gaze
from saccade.agents.rollout import rollout
from saccade.counter import make_key, row_keys
from saccade.data import ImageSet
from saccade.envs.classify import Classify
from saccade.envs.core import GazeCore
from saccade.network import GazeNetwork
from saccade.scanpath import Scanpath
from saccade.scenes import SceneMaker

# Scene j of a split is the same in every run: its key comes from these, never from the seed.
SPLIT_SEEDS = {"validation": 1_000_001, "test": 2_000_003}


class Evaluation(NamedTuple):
    """What an agent did on a split.

    Attributes:
        accuracy: Fraction right after each glimpse, T numbers.
        correct: How many that is, T whole numbers.
        confusion: `(K, K)` int64, on the CPU: how often, by true class and final answer.
        scanpath: The first episodes, on the CPU.
        scenes: `(len(scanpath), C, H, W)` uint8, what they looked at, on the CPU.
        labels: `(len(scanpath),)` int64, on the CPU.
    """

    accuracy: list[float]
    correct: list[int]
    confusion: Tensor
    scanpath: Scanpath
    scenes: Tensor
    labels: Tensor


def split_keys(split: str, count: int, device: torch.device | str) -> Tensor:
    """`(count,)` keys of the scenes of a split, one for each of its images."""
    return row_keys(make_key(SPLIT_SEEDS[split], device), count)


@torch.no_grad()
def evaluate(
    network: GazeNetwork,
    maker: SceneMaker,
    split: str,
    *,
    glimpses: int,
    first: str,
    gaze: Gaze = "learned",
    batch: int = 500,
    keep: int = 64,
    count: int | None = None,
) -> Evaluation:
    """Plays one episode on every image of a split, without noise.

    Args:
        network: Who looks.
        maker: Makes the scenes; its pool is the split's images, each shown once, in order.
        split: "validation" or "test": decides the scenes.
        glimpses: T.
        first: The agent's rule for the first location.
        gaze: "learned", or the name of a script that chooses in the policy's place.
        batch: Images at a time.
        keep: How many of the first episodes to return whole, 1 or more.
        count: How many of the first images to look at; all unless given.
    """
    pool: ImageSet = maker.pool
    device = pool.images.device
    total = len(pool) if count is None else min(count, len(pool))
    keys = split_keys(split, total, device)
    classes = network.classifier.out_features
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    kept, right = [], []
    for index in torch.arange(total, device=device).split(batch):
        core = GazeCore(
            Classify(maker),
            network.retina,
            glimpses,
            len(index),
            first="random" if first == "random" else "center",
            device=device,
        )
        played = rollout(
            network,
            core,
            key=keys[index],
            index=index,
            gaze=gaze,
            learned_first=first == "learned",
        )
        answers = played.logits.argmax(-1)  # (N, T)
        right.append(answers == played.target[:, None])
        pairs = played.target * classes + answers[:, -1]
        confusion += torch.bincount(pairs, minlength=len(confusion))
        wanted = max(0, keep - int(index[0]))
        if wanted and core.scene is not None:
            scenes = core.scene.images[:wanted].cpu()
            kept.append((played.scanpath[:wanted].cpu(), scenes, played.target[:wanted].cpu()))
    scanpaths, images, labels = zip(*kept, strict=True)
    correct = torch.cat(right).sum(0).tolist()
    return Evaluation(
        accuracy=[each / total for each in correct],
        correct=correct,
        confusion=confusion.view(classes, classes).cpu(),
        scanpath=Scanpath.cat(scanpaths),
        scenes=torch.cat(images),
        labels=torch.cat(labels),
    )


def figures(correct: list[int], total: int) -> dict[str, Any]:
    """Errors in % from how many of `total` are right after each glimpse.

    Returns:
        `correct` and `total` as given, `by_glimpse` and `error`, which is the last of them.
    """
    errors = [round(100 * (total - count) / total, 6) for count in correct]
    return {"error": errors[-1], "by_glimpse": errors, "correct": correct, "total": total}


def digest(maker: SceneMaker, split: str, batch: int = 500) -> str:
    """SHA-256 of the scenes and labels of a split: equal where two test sets are the same."""
    task, pool = Classify(maker), maker.pool
    keys, sha = split_keys(split, len(pool), pool.images.device), hashlib.sha256()
    for index in torch.arange(len(pool), device=keys.device).split(batch):
        sha.update(task.frames(task.begin(keys[index], index)).cpu().numpy().tobytes())
    sha.update(pool.labels.cpu().numpy().tobytes())
    return sha.hexdigest()
