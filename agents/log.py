"""Metrics of a run: a JSONL file always, TensorBoard where it is installed."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from saccade.agents.ranks import mean_over_ranks


class Means:
    """Means of metrics over updates, and over processes where there are several.

    Args:
        pending: What `pending` was at the checkpoint that is taken up.
    """

    def __init__(self, pending: dict[str, Any] | None = None) -> None:
        self._sums: dict[str, Tensor] = dict(pending["sums"]) if pending else {}
        self._count: int = pending["count"] if pending else 0

    def add(self, metrics: dict[str, Tensor]) -> None:
        """Takes in the metrics of one update, without waiting for the device."""
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1

    def take(self) -> dict[str, Any]:
        """Means over the updates since the last call, as plain numbers and lists of them."""
        sums = self.pending()["sums"]
        means = {name: (total / self._count).tolist() for name, total in sums.items()}
        self._sums, self._count = {}, 0
        return means

    def pending(self) -> dict[str, Any]:
        """What was added since the last `take`, for a checkpoint."""
        sums = {name: mean_over_ranks(total) for name, total in self._sums.items()}
        return {"sums": sums, "count": self._count}


class MetricsFile:
    """Writes `metrics.jsonl`, one JSON object a line, and TensorBoard events beside it.

    Args:
        folder: The run folder.
        updates: Updates done so far: lines of later ones, left by a run that was killed after
            its last checkpoint, are dropped.
    """

    def __init__(self, folder: Path, updates: int) -> None:
        self.path = folder / "metrics.jsonl"
        kept = [line for line in read_metrics(folder) if line["update"] <= updates]
        beside = folder / "metrics.jsonl.part"
        beside.write_text("".join(json.dumps(line) + "\n" for line in kept))
        beside.replace(self.path)
        self.events = _tensorboard(folder, updates)

    def write(self, update: int, values: dict[str, Any]) -> None:
        """Writes one line, `{"update": ..., **values}`; lists are by glimpse."""
        with self.path.open("a") as file:
            file.write(json.dumps({"update": update, **values}) + "\n")
        if self.events is not None:
            for name, value in _flatten("", values):
                self.events.add_scalar(name, value, update)

    def close(self) -> None:
        """Ends the TensorBoard file, if there is one."""
        if self.events is not None:
            self.events.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last line cut short by a kill is left out."""
    path = folder / "metrics.jsonl"
    lines = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _flatten(prefix: str, values: Any) -> list[tuple[str, float]]:
    if isinstance(values, list):
        values = {f"glimpse_{number}": value for number, value in enumerate(values, 1)}
    if not isinstance(values, dict):
        return [(prefix, float(values))]
    return [
        item
        for name, value in values.items()
        for item in _flatten(f"{prefix}/{name}" if prefix else name, value)
    ]


def _tensorboard(folder: Path, updates: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(folder / "tensorboard", purge_step=updates + 1)
