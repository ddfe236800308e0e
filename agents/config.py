"""What can be chosen about a training run: one frozen dataclass."""

import json
import math
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from saccade.agent import AgentSpec, First
from saccade.agents.gaze import Gaze
from saccade.network import CORES
from saccade.retina import Retina
from saccade.scenes import Layout


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run."""

    data: str = "digits"
    """What to look at: "digits" (drawn here), "mnist", or a path to IDX files, to a folder with
    one sub-folder a class, or to an .npz file."""
    download: bool = False
    """Fetch MNIST, if it is asked for and not there, and verify its checksum."""
    scene: Layout = "centered"
    """How images become scenes: as they are, somewhere in a larger one, or hidden among clutter."""
    side: int = 0
    """Side of the scene in pixels; 0 takes 60 for 28x28 images, others in proportion."""
    clutter: int = 4
    """Pieces of other images in a cluttered scene; the paper has 4 at 60x60, 8 at 100x100."""
    clutter_size: int = 8
    """Side of such a piece in pixels."""
    augment: bool = False
    """Rotate, scale, shear and shift the training images at random (never the test images)."""
    bend: float = 0.0
    """With --augment: how far images are bent besides, in half sides (0.15 is 2 pixels of 28)."""
    refine: float = 0.0
    """Over this last share of the updates, 0 to 1, --augment alters images half as much, and --slip
    is half as wide: nearer to what is judged on (in the manner of He et al. 2019)."""
    corrupt: float = 0.0
    """Share of the training scenes that are corrupted, 0 to 1: each by one of the kinds in
    `saccade.corruptions` at one of its severities, so that the policy is paid under corruption."""

    env: str = ""
    """Instead of data: a world without labels to play in: saccade/Catch-v0, saccade/Search-v0,
    saccade/Track-v0 or saccade/Foveate-v0; retina and budget are then the world's."""
    env_options: str = ""
    """The world's keyword arguments as a JSON object, such as '{"items": 12}'."""
    horizon: int = 200
    """Most steps of an episode, in a world that knows no budget (saccade/Foveate-v0)."""
    trace: float = 1.0
    """In a world: how far rewards are traced back, 0 to 1; below 1 the baseline is trusted, which
    is steadier where episodes are long."""
    entropy: float = 0.01
    """In a world: bonus for the entropy of what is done, which keeps trying things."""

    size: int = 8
    """Side of a glimpse in cells; at the finest scale a cell is a pixel."""
    scales: int = 1
    """Windows that the retina has around a fixation; more see further, more coarsely."""
    factor: int = 2
    """By how much each window is wider than the one inside it."""
    glimpses: int = 6
    """Glimpses in an episode: the budget that everything is compared at."""
    first: First = "center"
    """Where the first glimpse goes: center, uniform random (the paper's) or learned."""
    gaze: Gaze = "learned"
    """Who moves the eye; a script instead of the policy trains a reader for that gaze."""

    join: Literal["add", "multiply"] = "add"
    """How what was seen and where it was meet in the encoder."""
    core: Literal["rnn", "rnn-norm", "gru", "lstm"] = "rnn"
    """The recurrent core; "rnn" is the paper's rectified one, "rnn-norm" the same with layer
    normalization, which learns faster."""
    maps: int = 0
    """Maps of a 3x3 convolution that reads a glimpse before the next layer; 0 (the paper) for none.
    It errs less on new images; 32 take 70 % more time on a CPU."""
    what: int = 128
    """Units of the layer that reads a glimpse (128 in the paper)."""
    where: int = 128
    """Units of the layer that reads a location (128 in the paper)."""
    hidden: int = 256
    """Units of the core, and of the encoder's result (256 in the paper)."""
    policy_hidden: int = 128
    """Units of the policy's hidden layer, between the core and the next location."""
    canvas: int = 0
    """Maps of a convolution (two that follow have two and three times as many) that reads all that
    was seen, laid where it was seen, and answers with the core; 0 (the paper) for none. In training
    it is read after the last glimpse, and once before of one row in four. On 28x28 an update with
    24 takes three times as long on a CPU."""
    begin: str = ""
    """A trained agent, by run folder or shipped name, that training begins from: it stays as it
    is, and the canvas that it is given learns to answer alone; the agent then answers by both.
    Seed and all that makes the agent as it was trained with; --resume needs it where it was."""
    aim: Literal["absolute", "relative"] = "absolute"
    """What the policy says: a place (the paper's), or a move from where the eye is."""

    batch: int = 256
    """Scenes in an update; larger batches give steadier gradients and fewer updates."""
    rollouts: int = 1
    """Episodes on each of these scenes, for comparison with each other (--baseline)."""
    updates: int = 5000
    """Updates to train for; set by minutes where that is given."""
    minutes: float = 0.0
    """Minutes to train for, turned once into a number of updates by timing the first seconds;
    0 leaves the number of updates."""
    reward: Literal["terminal", "dense"] = "terminal"
    """What the policy is paid: 1 for the right class at the end, or, glimpse by glimpse, the drop
    in cross-entropy."""
    baseline: Literal["learned", "leave-one-out"] = "learned"
    """What its returns are compared with: a learned guess, or the other rollouts on the scene."""
    sigma: float = 0.1
    """Spread of the Gaussian policy, in locations (the scene is 2 wide)."""
    slip: float = 0.0
    """In training the eye lands beside the place chosen, and the network is not told: the spread of
    a Gaussian, in locations (0.1 is 1.4 pixels of 28). No image is altered, but glimpses jitter,
    and less is learned by heart. A random first place is hit."""
    policy_weight: float = 0.01
    """Weight of the REINFORCE loss beside the others; its advantages are normalized."""
    routing: Literal["apart", "shared"] = "apart"
    """What the REINFORCE loss trains: the policy, or with it all that sees and remembers (as in
    the paper), so that what is needed to choose a place is remembered too."""
    discount: float = 1.0
    """Discount of later rewards, 0 to 1; 1 counts all that a saccade leads to."""
    early: float = 0.0
    """Weight of the mean cross-entropy after the glimpses before the last; 0 trains the last."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Adam with decoupled weight decay, or plain Adam without any."""
    lr: float = 1e-3
    """Its highest learning rate, reached after the warm-up, then lowered to 0 by a cosine."""
    policy_lr_scale: float = 1.0
    """Factor of the policy's own learning rate: below 1, rates that are good for what sees do not
    make the gaze run into a corner, from where it does not come back."""
    weight_decay: float = 0.01
    """Weight decay, in shares of a weight per unit of learning rate; holds weights small."""
    warmup: int = 200
    """Updates over which the learning rate rises linearly."""
    clip_norm: float = 5.0
    """Highest norm of the whole gradient; longer ones are shortened to it."""

    readers: bool = False
    """Train, after the agent, a reader for random, center and raster gaze each, with the same
    number of updates, to compare it with (takes up to three times as long again)."""
    judge: Literal["test", "validation"] = "test"
    """Which scenes the ended run is judged on: with "validation" the test set stays unseen while
    options are chosen; `saccade evaluate` looks at it later."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """What matrix products are computed in while training: bfloat16 is faster on processors that
    have it, and on GPUs; others take float32. Judging is always in float32."""
    compile: bool = False
    """Turn an update's play and judgement into one compiled graph (`torch.compile`), and on a GPU
    record the whole update as a CUDA graph, several times as fast. Takes a minute first and differs
    in the last digits (of 8 bits, with bfloat16); on a CPU it brings little."""
    out: Path = Path("runs/train")
    """Run folder for checkpoint, metrics and summary; must not hold a run yet."""
    seed: int = 0
    """Decides weights, order, scenes and noise; one seed gives one run, bit for bit."""
    device: str = "auto"
    """Where to compute: "cpu", "cuda", "cuda:1"; "auto" takes a GPU if there is one."""
    threads: int = 0
    """CPU threads; 0 takes one a core, at most 4, as the networks are small; with --minutes it
    takes one alone where that is timed to be faster."""
    log_every: int = 50
    """Updates between two lines of metrics, which are means over them."""
    eval_every: int = 1000
    """Updates between two looks at the validation set, which take time of their own."""
    save_seconds: float = 30.0
    """Seconds between two checkpoints: what a kill may lose."""

    def check(self) -> "TrainConfig":
        """Returns itself if the numbers make sense.

        Raises:
            ValueError: In one sentence, naming the option.
        """
        for name in ("size", "scales", "factor", "glimpses", "what", "where", "hidden",
                     "policy_hidden", "batch", "rollouts", "updates", "clutter_size",
                     "log_every", "eval_every", "horizon"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"--{_flag(name)} must be 1 or more, got {getattr(self, name)}")
        for name in ("side", "maps", "canvas", "clutter", "minutes", "policy_weight", "early",
                     "weight_decay", "warmup", "threads", "save_seconds", "seed", "entropy",
                     "bend", "slip"):  # fmt: skip
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"--{_flag(name)} must be 0 or more, got {getattr(self, name)}")
        for name in ("sigma", "lr", "policy_lr_scale", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"--{_flag(name)} must be over 0, got {getattr(self, name)}")
        for name in ("discount", "trace", "corrupt", "refine"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"--{name} must be from 0 to 1, got {getattr(self, name)}")
        labels = self.judge != "test" or self.compile or self.slip or self.refine or self.canvas
        if self.begin and not self.canvas:
            raise ValueError(
                "--begin leaves a trained agent as it is, and gives it a canvas; add --canvas 24"
            )
        if self.env and labels:
            raise ValueError(
                "--judge, --compile, --slip, --refine and --canvas are for scenes with labels, not "
                "for --env"
            )
        if self.begin and self.readers:
            raise ValueError("--begin leaves a trained agent as it is; --readers trains whole ones")
        if self.env_options and not self.env:
            raise ValueError("--env-options belongs to --env; name a world too")
        if self.baseline == "leave-one-out" and self.rollouts < 2:
            raise ValueError("--baseline leave-one-out needs --rollouts of 2 or more")
        for name, choices in (
            ("core", CORES), ("gaze", ("learned", "random", "center", "raster")),
            ("first", ("center", "random", "learned")), ("join", ("add", "multiply")),
            ("scene", ("centered", "translated", "cluttered")),
            ("reward", ("terminal", "dense")), ("optimizer", ("adamw", "adam")),
            ("baseline", ("learned", "leave-one-out")), ("routing", ("apart", "shared")),
            ("precision", ("float32", "bfloat16")), ("aim", ("absolute", "relative")),
            ("judge", ("test", "validation")),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"--{name} is one of {', '.join(choices)}; got {getattr(self, name)!r}"
                )
        Retina(self.size, self.scales, self.factor)
        return self

    def agent_spec(self, shape: tuple[int, int, int], classes: tuple[str, ...]) -> AgentSpec:
        """The agent to train, for scenes of `shape` (channels, height, width)."""
        channels, height, width = shape
        return AgentSpec(
            retina=Retina(self.size, self.scales, self.factor),
            glimpses=self.glimpses,
            first=self.first,
            channels=channels,
            height=height,
            width=width,
            classes=classes,
            network=self.network(),
        )

    def network(self) -> dict[str, Any]:
        """Keyword arguments of `GazeNetwork`, beside what the scenes decide."""
        names = ("maps", "what", "where", "hidden", "policy_hidden", "join", "core", "aim",
                 "canvas")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "out": str(self.out)}


def _flag(name: str) -> str:
    return name.replace("_", "-")


def from_json(values: dict[str, Any]) -> TrainConfig:
    """Reads a configuration from JSON values: the fields, or a run's whole config.json.

    Raises:
        ValueError: If a name is unknown or a value has the wrong type.
    """
    values = values.get("config", values)
    types = {field.name: type(field.default) for field in fields(TrainConfig)} | {"out": Path}
    unknown = sorted(set(values) - set(types))
    if unknown:
        raise ValueError(f"unknown options in the configuration: {', '.join(unknown)}")
    read: dict[str, Any] = {}
    for name, value in values.items():
        kind = types[name]
        if kind is float and type(value) is int:
            value = float(value)
        if kind is Path and isinstance(value, str):
            value = Path(value)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ValueError(f"{name} in the configuration must be {kind.__name__}, got {value!r}")
        read[name] = value
    return TrainConfig(**read)


def read_config(path: Path) -> TrainConfig:
    """Reads a configuration file, such as the config.json of a run.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is not JSON, or not a configuration.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no configuration file {path}")
    try:
        values = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is not a configuration: it holds a {type(values).__name__}")
    return from_json(values)


def thread_count(config: TrainConfig) -> int:
    """CPU threads to use: as configured, or one for each core there is, at most 4.

    Processes that `torchrun` has started on this machine share the cores.
    """
    if config.threads:
        return config.threads
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(4, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
