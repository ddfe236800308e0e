"""What a fixation changed: explanation by omission.

A glimpse may be left out of an episode as if it had never been seen: the core skips it, the
others stay where and what they were. By how much the final belief falls says what the glimpse
was worth to it. That is not what would have happened: without the glimpse the gaze might have
gone elsewhere, and a core has not been trained on episodes with a gap.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from saccade.agent import Agent
from saccade.figure import FAINT, INK, QUIET, new_chart, style_chart
from saccade.pictures import get_beliefs, shorten, time_colors
from saccade.scanpath import Scanpath

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@torch.no_grad()
def leave_out(agent: Agent, scanpath: Scanpath) -> Tensor:
    """Final beliefs had one glimpse never been seen, for each glimpse of each episode.

    The N episodes are run once for each glimpse that may be missing.

    Args:
        agent: Who saw them, or another with the same retina and classes.
        scanpath: N episodes.

    Returns:
        `(N, T, K)` on the scanpath's device. Entry `[n, t]` is the belief after the last glimpse
        that was taken, without glimpse t (from 0); for glimpses that were never taken, the final
        belief as it was.

    Raises:
        ValueError: If the agent has another retina, or another number of channels or classes.
    """
    count, total, classes = scanpath.beliefs.shape
    spec, network = agent.spec, agent.network
    has = (scanpath.retina, scanpath.glimpses.shape[3], classes)
    wants = (spec.retina, spec.channels, len(spec.classes))
    if has != wants:
        raise ValueError(
            f"the scanpath has {has[0]}, {has[1]} channel(s) and {has[2]} classes, the agent "
            f"{wants[0]}, {wants[1]} and {wants[2]}; give the agent that made it"
        )
    device = network.classifier.weight.device
    glimpses, locations = scanpath.glimpses.to(device), scanpath.locations.to(device)
    stop, beliefs = scanpath.stop.to(device), []
    for gap in range(total):
        state = network.start(count)
        for t in range(total):
            if t == gap:
                continue
            seen = network.see(glimpses[:, t].float(), locations[:, t].float(), state)
            state = tuple(
                torch.where((stop > t).view(-1, *(1,) * (new.ndim - 1)), new, old)
                for new, old in zip(seen, state, strict=True)
            )
        beliefs.append(network.answer(state).softmax(-1))
    return torch.stack(beliefs, 1).to(scanpath.beliefs.device)


def draw_changes(
    scanpath: Scanpath,
    episode: int,
    classes: Sequence[str],
    without: Tensor,
    answer: int | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draws how the belief in one answer moved at each glimpse, and how it falls without it.

    A bar goes from the belief before a glimpse to the belief after it (before the first, even
    among all classes). A ring shows where the final belief, a dashed line, would be without that
    glimpse.

    Args:
        scanpath: N episodes.
        episode: Which of them, 0..N-1.
        classes: `K` names.
        without: `(N, T, K)`, what `leave_out` gave for this scanpath.
        answer: The class to draw, 0..K-1; without it the final answer.
        ax: Axes to draw on; without them those of a new figure.

    Returns:
        The axes: x is the glimpse, from 1, y the belief, from 0 to 1.

    Raises:
        IndexError: If there is no such episode.
        ValueError: If there are not as many names as classes, there is no such class, or
            `without` has another shape than the beliefs.
    """
    beliefs = get_beliefs(scanpath, episode, classes)  # (t, K)
    if without.shape != scanpath.beliefs.shape:
        raise ValueError(
            f"without one glimpse there are beliefs {tuple(scanpath.beliefs.shape)}, got "
            f"{tuple(without.shape)}; give what leave_out gave for this scanpath"
        )
    answer = int(beliefs[-1].argmax()) if answer is None else answer
    if not 0 <= answer < len(classes):
        raise ValueError(f"there is no class {answer} among {len(classes)} (from 0)")
    believed, taken = beliefs[:, answer], len(beliefs)
    gaps = np.nan_to_num(without[episode, :taken, answer].detach().cpu().float().numpy())
    before, final = np.append(1 / len(classes), believed[:-1]), believed[-1]
    numbers, colors = np.arange(1, taken + 1), time_colors(scanpath.num_glimpses)[:taken]
    ax = ax or new_chart(max(3.6, 1 + 0.42 * taken))
    ax.axhline(final, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    ax.bar(numbers, believed - before, 0.56, before, color=colors, zorder=2)
    ax.hlines(believed, numbers - 0.28, numbers + 0.28, colors=INK, linewidth=1.2, zorder=3)
    ax.hlines(believed[:-1], numbers[:-1] + 0.28, numbers[1:] - 0.28, colors=QUIET, linewidth=0.6)
    ax.vlines(numbers, gaps, final, colors=QUIET, linewidth=0.8, linestyle=":", zorder=3)
    ring: dict[str, Any] = {"s": 26, "facecolors": "white", "edgecolors": INK, "linewidths": 1.1}
    ax.scatter(numbers, gaps, zorder=4, clip_on=False, **ring)
    style_chart(ax)
    ax.yaxis.grid(True, color=FAINT, linewidth=0.6)
    ax.set(xlim=(0.4, taken + 0.6), ylim=(0, 1), xlabel="glimpse    (○ final belief without it)")
    ax.set_xticks(range(1, taken + 1, max(1, round(taken / 12))))
    ax.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    title = f"belief in {shorten(classes[answer], 24)}"
    ax.set_title(title, loc="left", fontsize=9, weight="bold", color=INK)
    return ax
