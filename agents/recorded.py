"""An update recorded once and replayed: of what Python asks of the GPU, little is left.

A CUDA graph holds the launches of some work: the same kernels on the same memory. Replaying it
costs what the kernels cost, where each launch by itself costs the processor several microseconds,
more than most of these kernels take.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM = 3  # calls before the recording, in which kernels are chosen, compiled and given memory


class Recorded:
    """Work as a CUDA graph, from the fourth call on.

    The work reads and writes tensors that stay where they are, of shapes that stay the same, and
    never waits for the device; what it reads is filled in before each call. Where a tensor of it
    is replaced by another, the recording knows the old one: make a new one.

    Args:
        work: Gives metrics, tensors on the device.
        device: The GPU.
    """

    def __init__(self, work: Callable[[], dict[str, Tensor]], device: torch.device) -> None:
        self.work, self.device = work, device
        self.calls = 0
        self._graph = torch.cuda.CUDAGraph()
        self._stream = torch.cuda.Stream(device)  # one for all calls, as gradients remember theirs
        self._metrics: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        """Does the work.

        Returns:
            Its metrics, which stay as they are when it is done again.
        """
        self.calls += 1
        if self.calls <= WARM:
            here = torch.cuda.current_stream(self.device)
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                metrics = self.work()
            here.wait_stream(self._stream)
            return metrics
        if self.calls == WARM + 1:
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._metrics = self.work()
        self._graph.replay()
        return {name: value.clone() for name, value in self._metrics.items()}
