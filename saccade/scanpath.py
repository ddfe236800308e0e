"""Scanpath: the one record of a batch of episodes, from which pictures and tables are made."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from saccade.retina import Retina


@dataclass(frozen=True)
class Scanpath:
    """Where N episodes looked, what they saw there and what they came to believe.

    T is the number of glimpses, K of classes, S of scales, C of channels, g the glimpse side.

    Attributes:
        locations: `(N, T, 2)` float, fixations as (x, y) in [-1, 1] (see `saccade.geometry`).
        glimpses: `(N, T, S, C, g, g)` float, what the retina gave at each fixation, finest
            scale first; in [0, 1] for uint8 scenes.
        beliefs: `(N, T, K)` float, class probabilities after each glimpse.
        values: `(N, T)` float, the baseline's guess of the return after each glimpse.
        rewards: `(N, T)` float, reward of the step that follows glimpse t.
        stop: `(N,)` int64, how many glimpses were taken, 1..T; later entries mean nothing.
        retina: The sensor's geometry.
        height: Height of the scene in pixels.
        width: Width of the scene in pixels.
    """

    locations: Tensor
    glimpses: Tensor
    beliefs: Tensor
    values: Tensor
    rewards: Tensor
    stop: Tensor
    retina: Retina
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.locations)

    @property
    def num_glimpses(self) -> int:
        """T, the number of glimpses recorded for each episode."""
        return self.locations.shape[1]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensor fields by name."""
        items = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in items.items() if isinstance(value, Tensor)}

    def __getitem__(self, index: int | slice | Tensor) -> "Scanpath":
        """Some of the episodes, as a Scanpath; an integer gives a batch of one."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return self._with({name: value[index] for name, value in self.tensors.items()})

    def cpu(self) -> "Scanpath":
        """A copy without gradients on the CPU."""
        return self._with({name: value.detach().cpu() for name, value in self.tensors.items()})

    def _with(self, tensors: dict[str, Any]) -> "Scanpath":
        return replace(self, **tensors)

    @staticmethod
    def cat(parts: Sequence["Scanpath"]) -> "Scanpath":
        """Joins batches of episodes that were seen with one retina on scenes of one size.

        Raises:
            ValueError: If there are none, or they differ in retina or scene size.
        """
        if not parts:
            raise ValueError("there are no scanpaths to join")
        kinds = {(part.retina, part.height, part.width) for part in parts}
        if len(kinds) > 1:
            raise ValueError(f"scanpaths of different retinas or scene sizes: {kinds}")
        names = parts[0].tensors
        joined = {name: torch.cat([part.tensors[name] for part in parts]) for name in names}
        return parts[0]._with(joined)

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file: the tensors by name, the rest as JSON in its header."""
        header = {"height": self.height, "width": self.width, "retina": vars(self.retina)}
        tensors = {name: value.contiguous() for name, value in self.cpu().tensors.items()}
        beside = Path(f"{path}.part")
        beside.write_bytes(save(tensors, {"scanpath": json.dumps(header)}))
        beside.replace(path)

    @staticmethod
    def load(path: str | Path) -> "Scanpath":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not a scanpath.
        """
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("scanpath")
            if header is None:
                raise ValueError(f"{path} is a safetensors file, but not a scanpath")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        rest = json.loads(header)
        return Scanpath(
            **tensors,
            retina=Retina(**rest["retina"]),
            height=rest["height"],
            width=rest["width"],
        )
