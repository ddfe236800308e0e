"""The recipes that `--preset` names, and rows of the suite begin from."""

from dataclasses import replace
from pathlib import Path

from saccade.agents.config import TrainConfig

# What paid, one option at a time: docs/ablations.md.
_GOOD = TrainConfig(
    data="mnist", augment=True, bend=0.1, core="gru", what=512, lr=2e-3, reward="dense", early=0.5,
    routing="shared", precision="bfloat16",
)  # fmt: skip
_PAPER_60 = replace(  # there is something to find, and it is found by moves
    _GOOD, scene="translated", side=60, size=12, scales=3, glimpses=8, aim="relative",
    discount=0.7, policy_weight=0.03,
)  # fmt: skip
# At the rate of its reader its gaze would run into a corner.
_WIDE = replace(
    _GOOD, core="rnn-norm", what=1024, hidden=512, lr=4e-3, policy_lr_scale=0.15,
    routing="apart", updates=50_000, out=Path("runs/mnist-wide"),
)  # fmt: skip
_WORLD = TrainConfig(
    core="gru", what=64, where=64, hidden=128, policy_hidden=64, lr=2e-3, warmup=50, sigma=0.15,
    trace=0.97,
)  # fmt: skip

PRESETS: dict[str, TrainConfig] = {
    "default": TrainConfig(),
    "mnist-cpu": replace(  # what a canvas reads the core need not read as well: it has to look
        _GOOD, core="rnn-norm", canvas=24, lr=4e-3, policy_lr_scale=0.5, discount=0.7, refine=0.2,
        routing="apart", updates=20_000, out=Path("runs/mnist-cpu"),
    ),
    "mnist-wide": _WIDE,
    "mnist-gpu": replace(  # to a GPU four times the scenes are little more work
        _WIDE, refine=0.2, maps=32, what=512, batch=1024, lr=6e-3, policy_lr_scale=0.1,
        updates=60_000, compile=True, eval_every=5000, out=Path("runs/mnist-gpu"),
    ),
    # For an agent of mnist-gpu.
    "mnist-canvas": replace(
        _WIDE, refine=0.2, maps=32, what=512, canvas=24, begin="runs/mnist-gpu", updates=8000,
        out=Path("runs/mnist-canvas"),
    ),
    # No image is altered: the eye slips, and a convolution has less to learn by heart.
    "mnist-plain": replace(
        _GOOD, augment=False, bend=0.0, slip=0.1, refine=0.2, core="rnn-norm", maps=32, lr=4e-3,
        policy_lr_scale=0.15, routing="apart", updates=24_000, out=Path("runs/mnist-plain"),
    ),
    # Of two glimpses only one is chosen, and that has to go by what the first has shown.
    "mnist-glance": replace(_GOOD, glimpses=2, updates=50_000, out=Path("runs/mnist-glance")),
    "translated-60": replace(_PAPER_60, updates=30_000),
    # Bending brought nothing to clutter in so many updates.
    "cluttered-60": replace(_PAPER_60, bend=0.0, scene="cluttered", updates=45_000),
    "cluttered-100": replace(
        _PAPER_60, bend=0.0, scene="cluttered", side=100, clutter=8, scales=4, updates=45_000
    ),
    "demo": TrainConfig(
        scene="translated", side=60, size=6, scales=3, glimpses=4, reward="dense", early=0.5,
        aim="relative", discount=0.7, policy_weight=0.03, lr=4e-3, batch=128, updates=2500,
        readers=True, out=Path("runs/demo"),
    ),
    "catch": replace(_WORLD, env="saccade/Catch-v0", updates=12_000, out=Path("runs/catch")),
    "search": replace(
        _WORLD, env="saccade/Search-v0", updates=6000, discount=0.9, out=Path("runs/search")
    ),
    "track": replace(
        _WORLD, env="saccade/Track-v0", updates=6000, sigma=0.1, discount=0.9, trace=0.9,
        out=Path("runs/track"),
    ),
}  # fmt: skip
