"""Agents that come with the package: trained weights by name.

`saccade/weights/NAME.safetensors` is one file with all that is needed: the weights, and as JSON
in its metadata the facts:

    row         a row of the benchmark, such as "cluttered-60-8g"
    agent       the `AgentSpec`, from which the network is built again
    recipe      all options of its training: they make the very test set again, and what learns
                beside it learns by them
    test        what it got right there: "correct" by glimpse, of "total"
    seed        of its training

Weights are kept in float16, for half the size; a network computes with them in float32 as ever.
`NAME.md` beside it is its card.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

FOLDER = Path(__file__).resolve().parent / "weights"
MOST_BYTES = 3_000_000  # of one file: it is cloned by everybody


def names(folder: Path | None = None) -> list[str]:
    """The names of all shipped agents, sorted.

    Args:
        folder: Where they lie; the package's own unless given, here and below.
    """
    return sorted(path.stem for path in (folder or FOLDER).glob("*.safetensors"))


def is_name(run: str | Path, folder: Path | None = None) -> bool:
    """Whether this is a shipped agent's name rather than a run folder."""
    return str(run) in names(folder) and not (Path(run) / "config.json").is_file()


def check_run(run: str | Path, folder: Path | None = None) -> None:
    """Refuses a bare word that names neither a folder nor a shipped agent.

    Raises:
        FileNotFoundError: Listing the names there are.
    """
    if Path(run).name == str(run) and not Path(run).exists() and not is_name(run, folder):
        known = ", ".join(names(folder)) or "none yet"
        raise FileNotFoundError(
            f"there is no run folder {run}, and no agent of that name is shipped; shipped: {known}"
        )


def read(name: str, folder: Path | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights and the facts of a shipped agent.

    Raises:
        FileNotFoundError: If there is none of that name.
        ValueError: If its file is broken.
    """
    check_run(name, folder)
    path = (folder or FOLDER) / f"{name}.safetensors"
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["saccade"])
            facts["recipe"]  # which older files lack
            return {key: file.get_tensor(key) for key in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no agent of saccade: {error!r}") from error


def halve(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are shipped: floating-point ones in float16."""
    return {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in weights.items()
    }


def write(
    name: str, weights: dict[str, Tensor], facts: dict[str, Any], folder: Path | None = None
) -> Path:
    """Writes a shipped agent, beside and renamed; returns the path.

    Raises:
        ValueError: If the file would be larger than `MOST_BYTES`.
    """
    blob = save(halve(weights), {"saccade": json.dumps(facts, sort_keys=True)})
    if len(blob) > MOST_BYTES:
        raise ValueError(
            f"{name} takes {len(blob):,} bytes; what is shipped has at most {MOST_BYTES:,}"
        )
    path = (folder or FOLDER) / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(blob)
    beside.replace(path)
    return path
