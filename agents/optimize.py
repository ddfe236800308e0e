"""One step of learning from a loss: gradients, their norms, clipping, and the learning rate."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from saccade.agents.config import TrainConfig
from saccade.network import GazeNetwork

MODULES = ("encoder", "core", "policy", "classifier", "baseline", "canvas")  # the last if any


class BrokenGradientError(FloatingPointError):
    """A gradient was not a number.

    Attributes:
        update: Updates done before it.
        modules: Whose gradient it was.
    """

    def __init__(self, update: int, modules: list[str]) -> None:
        super().__init__(
            f"update {update} gave a gradient that is not a number, in {', '.join(modules)}"
        )
        self.update, self.modules = update, modules


class Optimizer:
    """Adam with decoupled weight decay, warm-up, cosine and clipping, as configured.

    Args:
        config: What to do.
        network: What learns.
        recorded: Whether `descend` will be recorded as a CUDA graph: the learning rate is then read
            from the device.

    Attributes:
        number: `()` int64 on the device: of the update, as `schedule` was told.
    """

    def __init__(self, config: TrainConfig, network: GazeNetwork, recorded: bool = False) -> None:
        self.config, self.network, self.recorded = config, network, recorded
        self.modules = tuple(name for name in MODULES if getattr(network, name, None) is not None)
        decoupled = config.optimizer == "adamw"  # Adam's own decay would be part of its gradients
        scales = {1.0: list[nn.Parameter]()}  # weights, by the factor of their learning rate
        learns = [each for each in network.named_parameters() if each[1].requires_grad]
        for name, weight in learns:
            scale = config.policy_lr_scale if name.startswith("policy.") else 1.0
            scales.setdefault(scale, []).append(weight)
        device = network.classifier.weight.device
        self.scales = tuple(scales)
        self.rates = [torch.tensor(config.lr, device=device) if recorded else config.lr
                      for _ in scales]  # fmt: skip
        self.adam = (torch.optim.AdamW if decoupled else torch.optim.Adam)(
            [{"params": weights, "lr": rate}
             for weights, rate in zip(scales.values(), self.rates, strict=True)],
            weight_decay=config.weight_decay if decoupled else 0.0,
            fused=True,
            capturable=recorded,
        )  # fmt: skip
        # Where a gradient first was no number: the update, -1 before, and which modules' it was.
        self.number, self._broken = (torch.tensor(-1, device=device) for _ in range(2))
        self._broken_modules = torch.zeros(len(self.modules), dtype=torch.bool, device=device)

    def step(self, loss: Tensor, update: int) -> dict[str, Tensor]:
        """Learns from a loss; see `schedule` and `descend`."""
        self.schedule(update)
        return self.descend(loss)

    def schedule(self, update: int) -> None:
        """Sets the learning rate.

        Args:
            update: How many updates were done before.
        """
        self.number.fill_(update)
        for group, scale in zip(self.adam.param_groups, self.scales, strict=True):
            rate = self.learning_rate(update) * scale
            if self.recorded:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def descend(self, loss: Tensor) -> dict[str, Tensor]:
        """Learns from a loss; nothing here waits for the device.

        A gradient that is not a number is not learned from, nor is any after it: the weights stay
        as they were, until `check` finds out.

        Args:
            loss: A scalar.

        Returns:
            Norm of each module's gradient before clipping, as `grad_norm_` and its name.
        """
        self.adam.zero_grad()
        loss.backward()
        norms = self._norms()
        whole = norms.norm()
        self._watch(norms)
        shrink = (self.config.clip_norm / (whole + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(_gradients(self.network), shrink)
        self.adam.step()
        return {f"grad_norm_{name}": norm for name, norm in zip(self.modules, norms, strict=True)}

    def check(self) -> None:
        """Waits for the device to know that all gradients so far were numbers.

        Raises:
            BrokenGradientError: If one was not.
        """
        update = int(self._broken)
        if update >= 0:
            flags = zip(self.modules, self._broken_modules.tolist(), strict=True)
            raise BrokenGradientError(update, [name for name, broken in flags if broken])

    def _watch(self, norms: Tensor) -> None:
        broken = ~norms.isfinite()
        first = broken.any() & (self._broken < 0)
        self._broken_modules |= broken & first
        self._broken.copy_(torch.where(first, self.number, self._broken))
        # Where this is 1 the fused kernels do nothing, as after a mixed-precision overflow.
        setattr(self.adam, "found_inf", (self._broken >= 0).float())  # noqa: B010

    def learning_rate(self, update: int) -> float:
        """Rises linearly over `warmup` updates, then falls to 0 by a cosine."""
        config = self.config
        if update < config.warmup:
            return config.lr * (update + 1) / config.warmup
        done = (update - config.warmup) / max(1, config.updates - config.warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def state_dict(self) -> dict[str, Any]:
        """Adam's state, without the learning rate, which follows from the update."""
        state = self.adam.state_dict()
        for group in state["param_groups"]:
            group["lr"] = self.config.lr
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up where `state_dict` was taken, on whatever device that was."""
        self.adam.load_state_dict(state)
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group |= {"lr": rate, "capturable": self.recorded}

    def _norms(self) -> Tensor:
        """Norm of each module's gradient, 0 where there is none, in the order of `modules`."""
        parts = [_gradients(getattr(self.network, name)) for name in self.modules]
        each = iter(torch._foreach_norm([gradient for part in parts for gradient in part]))
        none = torch.zeros((), device=self._broken.device)
        norms = [torch.stack([none, *(next(each) for _ in part)]) for part in parts]
        return torch.stack([torch.linalg.vector_norm(part) for part in norms])


def _gradients(module: nn.Module) -> list[Tensor]:
    return [each.grad for each in module.parameters() if each.grad is not None]
