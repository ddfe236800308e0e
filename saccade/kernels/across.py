"""Adding up neighbors in a row, two or four at a time: packed whole numbers, one product."""

import torch
from torch import Tensor


def add_across(sums: Tensor, cell: int) -> Tensor:
    """Adds up neighbors by `cell` (1, 2, 4 or 8): int16 `(M, g, g * cell)` to `(M, g, g)`.

    The result is int16 too, or int32 where it could be larger; `sums` may be spoiled.
    """
    if cell == 1:
        return sums
    sums = sums.contiguous()
    if cell == 2:  # the product's upper half is the sum of both halves
        return sums.view(torch.int32).mul_(0x00010001).bitwise_right_shift_(16)
    lanes = sums.view(len(sums), -1, sums.shape[1], cell)
    sums.view(torch.int64).mul_(0x0001000100010001)  # likewise its uppermost quarter
    return lanes[..., 3] if cell == 4 else lanes[..., 3].int() + lanes[..., 7]
