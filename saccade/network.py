"""The network: encoder of what and where, recurrent core, and the three heads on its state.

The architecture of Mnih et al. 2014 (section 2.1 and 4), with its sizes as defaults:

    glimpse  -> what  (128) --+
                              +-> g (256) -> core (256) -> features -> policy     (2)
    location -> where (128) --+                                     -> classifier (K)
                                                                    -> baseline   (1)

Deltas: what and where may multiply (Ba et al. 2015) instead of add; a convolution may read the
glimpse first; the core may be normalized, a GRU or an LSTM; the policy has a hidden layer and a
tanh mean, and may aim by a move from where the eye is; a canvas, which alone knows the size of the
images, may answer with the classifier.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.canvas import Canvas
from saccade.retina import Retina

# The core's, each (N, hidden), the first the features that heads read; then the canvas, if any.
State = tuple[Tensor, ...]


class GlimpseMaps(nn.Sequential):
    """A convolution over a glimpse: 3x3, then the largest of each 2x2, rectified.

    What is read in one place of a glimpse is read in all, which has to be learned only once.

    Args:
        layers: Images in a glimpse, scales * channels, which lie on top of each other.
        size: Their side.
        maps: Maps to make.

    Attributes:
        outputs: How many numbers that gives, maps * ceil(size / 2)**2.
    """

    def __init__(self, layers: int, size: int, maps: int) -> None:
        convolution = nn.Conv2d(layers, maps, 3, padding=1)
        super().__init__(
            nn.Unflatten(1, (layers, size, size)),
            convolution.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.outputs = maps * ((size + 1) // 2) ** 2


class GlimpseEncoder(nn.Module):
    """Joins what was seen and where into one vector.

    Args:
        inputs: Numbers in a glimpse, scales * channels * size * size.
        what: Width of the layer that reads the glimpse.
        where: Width of the layer that reads the location.
        outputs: Width of the result.
        join: "add" (Mnih et al. 2014) or "multiply" (Ba et al. 2015).
        places: Numbers in a location: 2, or more where it comes with the time or the like.
        maps: What reads a glimpse before that layer; nothing unless given.

    Attributes:
        gain: `(inputs,)`, what each number of a glimpse is multiplied by; ones unless a learner
            has measured how faint its world is. Saved with the weights.
    """

    def __init__(
        self,
        inputs: int,
        what: int,
        where: int,
        outputs: int,
        join: Literal["add", "multiply"],
        places: int = 2,
        maps: GlimpseMaps | None = None,
    ) -> None:
        super().__init__()
        self.join = join
        self.gain = nn.Buffer(torch.ones(inputs))
        self.maps = nn.Identity() if maps is None else maps
        seen = inputs if maps is None else maps.outputs
        self.what = nn.Sequential(nn.Linear(seen, what), nn.ReLU())
        self.where = nn.Sequential(nn.Linear(places, where), nn.ReLU())
        self.what_out = nn.Linear(what, outputs)
        self.where_out = nn.Linear(where, outputs)

    def forward(self, glimpse: Tensor, location: Tensor) -> Tensor:
        """`(N, S, C, g, g)` glimpses and `(N, places)` locations to `(N, outputs)`."""
        what = self.what_out(self.what(self.maps(glimpse.flatten(1) * self.gain)))
        where = self.where_out(self.where(location))
        return F.relu(what + where if self.join == "add" else what * where)


class RectifiedCore(nn.Module):
    """h' = ReLU(W h + V g): the paper's core for classification."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(inputs, hidden)
        self.state = nn.Linear(hidden, hidden)

    def forward(self, glimpse: Tensor, state: State) -> State:
        """`(N, inputs)` and the state to the next state."""
        return (F.relu(self.inputs(glimpse) + self.state(state[0])),)


class NormalizedCore(RectifiedCore):
    """h' = ReLU(LN(W h + V g)), LN a layer normalization (Ba, Kiros & Hinton 2016, eq. 4)."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, glimpse: Tensor, state: State) -> State:
        """`(N, inputs)` and the state to the next state."""
        return (F.relu(self.norm(self.inputs(glimpse) + self.state(state[0]))),)


class GRUCore(nn.GRUCell):
    """A gated recurrent unit."""

    def forward(self, glimpse: Tensor, state: State) -> State:  # type: ignore[override]
        """`(N, inputs)` and the state to the next state."""
        return (super().forward(glimpse, state[0]),)


class LSTMCore(nn.LSTMCell):
    """A long short-term memory; the features are its output, not its cell."""

    def forward(self, glimpse: Tensor, state: State) -> State:  # type: ignore[override]
        """`(N, inputs)` and the state to the next state."""
        return super().forward(glimpse, (state[0], state[1]))


CORES: dict[str, tuple[Callable[[int, int], nn.Module], int]] = {  # and tensors in a state
    "rnn": (RectifiedCore, 1),
    "rnn-norm": (NormalizedCore, 1),
    "gru": (GRUCore, 1),
    "lstm": (LSTMCore, 2),
}


class GaussianPolicy(nn.Module):
    """Where to look next: the mean of a Gaussian over locations, of a spread given elsewhere.

    A relative aim adds what the layers say to where the eye is, before the tanh: "a little to the
    left" is then one answer wherever it is asked, and the mean still stays inside the scene.

    Args:
        features: Width of the core's features.
        hidden: Width of the hidden layer.
        aim: "absolute", the paper's, or "relative".
    """

    EDGE = 0.95  # gaze nearer to the edge counts as here: tanh is flat, its inverse endless

    def __init__(
        self, features: int, hidden: int, aim: Literal["absolute", "relative"] = "absolute"
    ) -> None:
        super().__init__()
        self.aim = aim
        self.net = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, features: Tensor, gaze: Tensor) -> Tensor:
        """Features `(..., features)` and where the eye is `(..., 2)` to means `(..., 2)`.

        All places are (x, y), the means in (-1, 1).
        """
        shift = self.net(features).to(gaze.dtype)  # a place wants more digits than bfloat16 has
        if self.aim == "relative":
            shift = shift + torch.atanh(gaze.clamp(-self.EDGE, self.EDGE))
        return torch.tanh(shift)

    @staticmethod
    def log_prob(samples: Tensor, means: Tensor, sigma: float) -> Tensor:
        """Log density of samples `(..., 2)` as drawn, never of a clipped copy, up to a constant.

        The constant, -log(2 pi sigma^2), has no gradient and is left out.
        """
        return -((samples - means) ** 2).sum(-1) / (2 * sigma**2)


class GazeNetwork(nn.Module):
    """Everything that learns, joined: encoder, core, policy, classifier, baseline, canvas.

    Args:
        retina: The sensor whose glimpses are read.
        channels: Channels of the images, 1 or 3.
        classes: K, number of classes.
        maps: Maps of a convolution that reads glimpses first; 0 for none.
        what: Width of the layer that reads glimpses.
        where: Width of the layer that reads locations.
        hidden: Width of the encoder's result and of the core.
        policy_hidden: Width of the policy's hidden layer.
        join: How what and where meet, "add" or "multiply".
        core: "rnn", "rnn-norm", "gru" or "lstm".
        aim: Whether the policy aims at a place or by a move, "absolute" or "relative".
        canvas: Maps of a convolution that reads a canvas; 0 for none.
        height: Height of the scenes in pixels, which only a canvas has to know.
        width: Their width.
    """

    def __init__(
        self,
        retina: Retina,
        channels: int,
        classes: int,
        *,
        maps: int = 0,
        what: int = 128,
        where: int = 128,
        hidden: int = 256,
        policy_hidden: int = 128,
        join: Literal["add", "multiply"] = "add",
        core: str = "rnn",
        aim: Literal["absolute", "relative"] = "absolute",
        canvas: int = 0,
        height: int = 0,
        width: int = 0,
    ) -> None:
        super().__init__()
        if core not in CORES:
            raise ValueError(f"there is no core {core!r}; choose from {', '.join(CORES)}")
        layers = retina.scales * channels
        make_core, self.state_tensors = CORES[core]
        self.retina = retina
        self.hidden = hidden
        self.encoder = GlimpseEncoder(
            layers * retina.size**2, what, where, hidden, join,
            maps=GlimpseMaps(layers, retina.size, maps) if maps else None,
        )  # fmt: skip
        self.core = make_core(hidden, hidden)
        self.policy = GaussianPolicy(hidden, policy_hidden, aim)
        self.classifier = nn.Linear(hidden, classes)
        self.baseline = nn.Linear(hidden, 1)
        self.canvas = Canvas(retina, channels, height, width, canvas, classes) if canvas else None

    def start(self, batch: int) -> State:
        """The state of a batch before the first glimpse: zeros."""
        zeros = self.classifier.weight.new_zeros(batch, self.hidden)
        state = (zeros,) * self.state_tensors
        if self.canvas is None:
            return state
        return (*state, zeros.new_zeros(batch, *self.canvas.shape))

    def see(self, glimpse: Tensor, location: Tensor, state: State) -> State:
        """Takes in one glimpse.

        Args:
            glimpse: `(N, S, C, g, g)`.
            location: `(N, 2)`, where it was taken.
            state: What is remembered.

        Returns:
            The next state; its first tensor `(N, hidden)` is what the heads read.
        """
        cells = self.core(self.encoder(glimpse, location), state[: self.state_tensors])
        if self.canvas is None:
            return cells
        return (*cells, self.canvas.write(glimpse, location, state[-1]))

    def answer(self, state: State) -> Tensor:
        """Logits `(N, K)`, float32, from all that is remembered."""
        logits = self.classifier(state[0]).float()
        return logits if self.canvas is None else logits + self.canvas(state[-1]).float()
