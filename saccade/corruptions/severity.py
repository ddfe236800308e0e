"""The numbers of a kind at its five severities."""

from collections.abc import Sequence

import torch
from torch import Tensor

SEVERITIES = (1, 2, 3, 4, 5)


def level(table: Sequence[float], severity: Tensor) -> Tensor:
    """The number of each row's severity, `(B, 1, 1, 1)`."""
    values = torch.tensor(table, dtype=torch.float32, device=severity.device)
    return values[severity - 1][:, None, None, None]
