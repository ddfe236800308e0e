"""Results of the benchmark: from trained seeds to rows, and from rows to a table.

Protocol, in the order in which it is kept:

1. Every seed is trained to its last update; that network counts, whatever came before.
2. The test set is the test images, in scenes of one fixed seed (`evaluate.SPLIT_SEEDS`): the same
   for every row of a task, which `test_digest` shows.
3. It is looked at when training has ended: one episode an image, at the policy's mode, no mean
   over episodes; on the CPU, in one thread, with the weights rounded to float16 as they are shipped
   (networks that see whole scenes: on the device that trained them, unrounded).
4. A row is the mean over its seeds with a 95 % interval (Student's t). Nothing is chosen by a test
   error: which recipe is the headline, and which seed is shipped, is chosen by validation error.
"""

import json
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from saccade.agents.config import TrainConfig
from saccade.agents.evaluate import digest
from saccade.agents.reinforce import make_scenes
from saccade.agents.suite import TASKS, Row
from saccade.data import load as load_data

SAME = ("recipe", "updates", "device")  # in what the seeds of a row begin from
# Quantiles of Student's t for a two-sided 95 % interval, by degrees of freedom.
STUDENT = (12.70620, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004)


def interval(errors: list[float]) -> list[float] | None:
    """Mean minus and plus Student's t times the standard error: 95 %; None for one seed.

    Raises:
        ValueError: For more seeds than the table of quantiles has.
    """
    count = len(errors)
    if count < 2:
        return None
    if count - 1 > len(STUDENT):
        raise ValueError(f"an interval is known for up to {len(STUDENT) + 1} seeds, got {count}")
    values = torch.tensor(errors, dtype=torch.float64)
    half = STUDENT[count - 2] * float(values.std()) / count**0.5
    mean = float(values.mean())
    return [round(mean - half, 4), round(mean + half, 4)]


def make_row(row: Row, results: list[dict[str, Any]], command: str) -> dict[str, Any]:
    """A row of `docs/results/*.json` from its seeds.

    Raises:
        ValueError: If the seeds differ in recipe, length, test set, device, data or augmentation.
    """
    first = results[0]
    alike = ["recipe", "test_digest", "device", "data", "augmented", "images_by_split"]
    if all(result["complete"] for result in results):
        alike.append("updates")
    for key in alike:
        if any(result[key] != first[key] for result in results):
            raise ValueError(f"the seeds of {row.name} differ in {key}; train them alike")
    before = [result.get("begun") for result in results]
    for key in SAME:
        if any((each and each[key]) != (before[0] and before[0][key]) for each in before):
            raise ValueError(f"what the seeds of {row.name} begin from differs in {key}")
    errors = [result["error"] for result in results]
    by_glimpse = zip(*(result["by_glimpse"] for result in results), strict=True)

    def each(key: str) -> list[Any]:
        return [result[key] for result in results]

    return {
        "task": row.task,
        "glimpses": row.glimpses,
        "method": row.method,
        "error": round(sum(errors) / len(errors), 4),
        "interval": interval(errors),
        "seeds": len(errors),
        "augmented": first["augmented"],
        "extra_supervision": "none",
        "device": first["device"],
        "headline": False,
        "complete": all(each("complete")),
        "trained_for": row.glimpses,
        "rollouts": 1,
        "errors": errors,
        "by_glimpse": [round(sum(each) / len(each), 4) for each in by_glimpse] if row.gaze else [],
        "curves": each("by_glimpse") if row.gaze else [[]] * len(errors),
        "validation": each("validation"),
        "seed_numbers": each("seed"),
        "data": first["data"],
        "images_by_split": first["images_by_split"],
        "test_digest": first["test_digest"],
        "preset": first["preset"],
        "recipe": first["recipe"],
        "begun": _begun(before),
        "updates": each("updates"),
        "images": each("images"),
        "threads": each("threads"),
        "wall_seconds": each("seconds"),
        "command": command,
        "train_command": first["train_command"],
        "commit": sorted({one for commit in each("commit") for one in str(commit).split(", ")}),
        "versions": _facts(each("versions")),
        "hardware": _facts(each("hardware")),
    }


def _begun(before: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """What the seeds of a row began from, if from anything, each seed's facts once."""
    told = [each for each in before if each]
    if not told:
        return None
    kept = (*SAME, "images", "train_command")
    return {key: told[0][key] for key in kept} | {
        "commit": sorted({one for each in told for one in str(each["commit"]).split(", ")}),
        "hardware": _facts([each["hardware"] for each in told]),
    }


def _join_begun(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    return new | {
        "commit": sorted({*new["commit"], *old["commit"]}),
        "hardware": _facts([old["hardware"], new["hardware"]]),
    }


def cut_short(row: dict[str, Any], results: list[dict[str, Any]], glimpses: int) -> dict[str, Any]:
    """The row of a smaller budget, read from an agent that was trained for a larger one.

    Its first glimpses are those very episodes: it does not know how many will follow.

    Args:
        row: Of the larger budget, from `make_row`.
        results: Of its seeds.
        glimpses: The smaller budget.
    """
    errors = [result["by_glimpse"][glimpses - 1] for result in results]
    return row | {
        "glimpses": glimpses,
        "error": round(sum(errors) / len(errors), 4),
        "interval": interval(errors),
        "errors": errors,
        "by_glimpse": row["by_glimpse"][:glimpses],
        "curves": [result["by_glimpse"][:glimpses] for result in results],
        "validation": [result["validation_by_glimpse"][glimpses - 1] for result in results],
    }


# What stands once for each seed of a row, in the order of `seed_numbers`.
EACH = (
    "seed_numbers", "errors", "curves", "validation", "updates", "images", "threads",
    "wall_seconds",
)  # fmt: skip


def join_seeds(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """A row with the seeds of an older one besides, which were trained elsewhere or long ago.

    Both are of one kind (`write_row`). Of seeds that both have the new row's count. An older row
    that was trained otherwise is let go, where the new one has as many seeds.

    Raises:
        ValueError: If a seed was trained again whose part in the older row's means is not known,
            or if more would be lost than comes.
    """
    kept = [i for i, seed in enumerate(old["seed_numbers"]) if seed not in new["seed_numbers"]]
    alike = ("recipe", "images_by_split", "test_digest", "trained_for", "complete")
    other = [key for key in alike if new[key] != old[key]]
    for key in SAME:
        if new.get("begun") and new["begun"][key] != old["begun"][key]:
            other.append(f"{key} of what it began from")
    if new["complete"] and {*new["updates"]} != {*old["updates"]}:
        other.append("updates")
    better = old["trained_for"] > old["glimpses"] == new["trained_for"]  # trained for its budget
    fewer = new["seeds"] < old["seeds"] or new["complete"] < old["complete"]
    if other and fewer and not better:
        raise ValueError(
            f"{new['task']} with {new['glimpses']} glimpses: {new['seeds']} seed(s) would take the "
            f"place of {old['seeds']} of another training ({', '.join(other)} differ); choose "
            "another --results, or take the older row out of its file"
        )
    if other or not kept:
        return new
    old = {"curves": [None] * old["seeds"]} | old  # rows had none once
    if any(curve is None for i, curve in enumerate(old["curves"]) if i not in kept):
        raise ValueError(
            f"{new['task']}: seeds {new['seed_numbers']} cannot take the place of some of "
            f"{old['seed_numbers']}; train all of those anew, or none"
        )
    joined = {key: new[key] + [old[key][i] for i in kept] for key in EACH}
    order = sorted(range(len(joined["errors"])), key=joined["seed_numbers"].__getitem__)
    joined = {key: [values[i] for i in order] for key, values in joined.items()}
    told = sorted([new, old], key=lambda row: row["seed_numbers"])
    # Of old seeds without a curve only the sum is known.
    known = torch.tensor([each for each in old["curves"] if each], dtype=torch.float64).sum(0)
    total = torch.tensor(old["by_glimpse"], dtype=torch.float64) * old["seeds"] - known
    total += torch.tensor([each for each in joined["curves"] if each], dtype=torch.float64).sum(0)
    errors = joined["errors"]
    return {
        **new,
        **joined,
        "error": round(sum(errors) / len(errors), 4),
        "interval": interval(errors),
        "seeds": len(errors),
        "by_glimpse": [round(each, 4) for each in (total / len(errors)).tolist()],
        "commit": sorted({*new["commit"], *old["commit"]}),
        "data": _all_of(*(row["data"] for row in told)),
        "command": _all_of(*(row["command"] for row in told)),
        "train_command": told[0].get("train_command"),
        **{facts: _facts([row[facts] for row in told]) for facts in ("versions", "hardware")},
        **({"begun": _join_begun(new["begun"], old["begun"])} if new.get("begun") else {}),
        **({"shipped": old["shipped"]} if "shipped" in old else {}),
    }


def _facts(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """What is known of the machines or versions of some seeds, key by key."""
    keys = dict.fromkeys(key for facts in seeds for key in facts)
    return {
        key: reduce(_all_of, [facts.get(key, "not recorded") for facts in seeds]) for key in keys
    }


def _all_of(first: Any, second: Any) -> Any:
    """What two rows say, where they say the same; else all of it, as text."""
    if first == second:
        return first
    return "; ".join(dict.fromkeys(f"{first}; {second}".split("; ")))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    begun = bool(row.get("begun"))
    return row["task"], row["glimpses"], row["method"], row["augmented"], row["device"], begun


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """All rows of the suite's tasks in a folder of results; none where there is no folder."""
    paths = [path for task in sorted(TASKS) if (path := folder / f"{task}.json").is_file()]
    return [row for path in paths for row in json.loads(path.read_text())]


def write_row(new: dict[str, Any], folder: Path) -> tuple[Path, dict[str, Any]]:
    """Puts a row into its task's file, in place of an older one of the same kind.

    Seeds that only the older one has are kept (`join_seeds`). One kind is one task, budget,
    method, augmentation and device, begun from trained agents or not. Of the agents of a budget
    the one with the least mean validation error becomes the headline. One trained for its budget
    is not replaced by one trained for a larger.

    Returns:
        The file, and the row that now stands there.

    Raises:
        ValueError: If it was measured on another test set than the task's other rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{new['task']}.json"
    rows = _same_test_set(path, new["test_digest"])
    old = next((row for row in rows if _key(row) == _key(new)), new)
    if new["trained_for"] > new["glimpses"] and old["trained_for"] == old["glimpses"]:
        return path, old
    new = join_seeds(new, old)
    rows = sorted([row for row in rows if row is not old] + [new], key=_key)
    mark_headlines(rows)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(rows, indent=1) + "\n")
    beside.replace(path)
    return path, new


def _same_test_set(path: Path, test_digest: str) -> list[dict[str, Any]]:
    """The rows of a task's file; a ValueError where they are of another test set."""
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    if any(row["test_digest"] != test_digest for row in rows):
        raise ValueError(
            f"{path} holds rows of another test set than this one's; choose another --results"
        )
    return rows


def check_test_set(task: str, config: TrainConfig, folder: Path) -> None:
    """Makes sure, before any training, that a task's rows can stand beside those there are.

    Raises:
        ValueError: If those in the folder are of another test set than the configuration's data.
    """
    path = folder / f"{task}.json"
    if path.is_file():
        test = load_data(config.data, seed=config.seed).test
        _same_test_set(path, digest(make_scenes(config, test), "test"))


def mark_headlines(rows: list[dict[str, Any]]) -> None:
    """Sets `headline`: one agent for a task and budget, by validation error, never by test error.

    One that was trained to its end goes before one that was not; of equal ones the one without
    augmentation.
    """

    def badness(row: dict[str, Any]) -> tuple[bool, float, bool]:
        mean = sum(row["validation"]) / len(row["validation"])
        return not row["complete"], mean, row["augmented"]

    best: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        row["headline"] = False
        place = row["task"], row["glimpses"]
        better = place not in best or badness(row) < badness(best[place])
        if row["method"] == "saccade" and better:
            best[place] = row
    for row in best.values():
        row["headline"] = True
