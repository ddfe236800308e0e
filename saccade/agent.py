"""A trained agent: a network with the sensor and habits it was trained with, in a folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from saccade import shipped
from saccade.counter import make_key, row_keys, uniform
from saccade.network import GazeNetwork
from saccade.retina import Retina
from saccade.scanpath import Scanpath

First = Literal["center", "random", "learned"]


@dataclass(frozen=True)
class AgentSpec:
    """All that is needed to build an agent again around its weights.

    Attributes:
        retina: The sensor.
        glimpses: T, glimpses in an episode.
        first: Where the first one goes: "center", "random" (uniform) or "learned".
        channels: Channels of the scenes, 1 or 3.
        height: Height in pixels of the scenes it was trained on.
        width: Their width in pixels.
        classes: Names of the classes.
        network: Keyword arguments of `GazeNetwork`.
    """

    retina: Retina
    glimpses: int
    first: First
    channels: int
    height: int
    width: int
    classes: tuple[str, ...]
    network: dict[str, Any]

    def build(self) -> GazeNetwork:
        """A network with fresh weights."""
        return GazeNetwork(
            self.retina,
            self.channels,
            len(self.classes),
            height=self.height,
            width=self.width,
            **self.network,
        )

    @staticmethod
    def from_json(values: dict[str, Any]) -> "AgentSpec":
        """Reads back what `dataclasses.asdict` and JSON made of a spec."""
        rest = {**values, "retina": Retina(**values["retina"]), "classes": tuple(values["classes"])}
        return AgentSpec(**rest)


@dataclass(frozen=True)
class Agent:
    """A network and its spec, ready to look at pictures."""

    network: GazeNetwork
    spec: AgentSpec

    @torch.no_grad()
    def look(self, images: Tensor, *, seed: int = 0) -> Scanpath:
        """Looks at images as at test time: one episode each, at the policy's mode.

        Args:
            images: `(B, C, H, W)` or `(C, H, W)`, uint8 or float in [0, 1]; any H and W, though
                accuracy is only known for the size that the agent was trained on.
            seed: Decides the first location where the agent's is random.

        Returns:
            A Scanpath of B episodes. There is no reward here: `rewards` is zero.

        Raises:
            ValueError: If the images have another rank or another number of channels.
        """
        spec, network = self.spec, self.network
        images = images[None] if images.ndim == 3 else images
        if images.ndim != 4 or images.shape[1] != spec.channels:
            raise ValueError(
                f"this agent sees images of {spec.channels} channel(s) as (batch, channels, "
                f"height, width), got {tuple(images.shape)}"
            )
        images = images.to(network.classifier.weight.device)
        scene, state = spec.retina.prepare(images), network.start(len(images))
        location = first_location(spec.first, network, row_keys(make_key(seed), len(images)))
        seen = []
        for _ in range(spec.glimpses):
            glimpse = spec.retina.look(scene, location)
            state = network.see(glimpse, location, state)
            seen.append((location, glimpse, state[0], network.answer(state)))
            location = network.policy(state[0], location)
        locations, glimpses, features, logits = (
            torch.stack(part, 1) for part in zip(*seen, strict=True)
        )
        values = network.baseline(features)[..., 0]
        return Scanpath(
            locations=locations,
            glimpses=glimpses,
            beliefs=logits.softmax(-1),
            values=values,
            rewards=torch.zeros_like(values),
            stop=torch.full((len(images),), spec.glimpses, device=images.device),
            retina=spec.retina,
            height=scene.height,
            width=scene.width,
        )


def first_location(first: First, network: GazeNetwork, key: Tensor) -> Tensor:
    """Where the first glimpse goes, `(N, 2)`, for keys `(N,)`; at the mode where it is learned."""
    device = network.classifier.weight.device
    if first == "random":
        return (uniform(key, 2) * 2 - 1).to(device)
    center = torch.zeros(len(key), 2, device=device)
    if first == "learned":
        return network.policy(network.start(len(key))[0], center)
    return center


def save_weights(network: GazeNetwork, folder: Path) -> None:
    """Writes a network's weights to `model.safetensors` in a folder, beside and renamed."""
    beside = folder / "model.safetensors.part"
    state = network.state_dict().items()
    tensors = {name: value.detach().cpu().contiguous() for name, value in state}
    beside.write_bytes(save(tensors))
    beside.replace(folder / "model.safetensors")


def load(
    run: str | Path, device: torch.device | str = "cpu", *, weights: Path | None = None
) -> Agent:
    """Loads a trained agent: a shipped one by name, or one from a run folder.

    Args:
        run: A name, such as "cluttered-60-8g", or a folder that `saccade train` has written.
        device: Where the network shall live.
        weights: The folder of the shipped agents; the package's own unless given.

    Raises:
        FileNotFoundError: If there is no such name, or the folder or one of its two files.
        ValueError: If they do not belong together.
    """
    folder = Path(run)
    shipped.check_run(run, weights)
    by_name = shipped.is_name(run, weights)
    for name in () if by_name else ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} holds no {name}; give the folder of a run of `saccade train`"
            )
    try:
        if by_name:
            state, values = shipped.read(str(run), weights)
        else:
            state = load_file(folder / "model.safetensors")
            values = json.loads((folder / "config.json").read_text())
        spec = AgentSpec.from_json(values["agent"])
        network = spec.build()
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{run} does not hold a saccade agent: {error}") from error
    return Agent(network.to(device).eval(), spec)
