"""ImageSet: labeled images of one size, as tensors that check themselves."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labeled images of one size.

    Attributes:
        images: `(N, C, H, W)` uint8, C is 1 (grey) or 3 (RGB).
        labels: `(N,)` int64 in [0, K).
        classes: The K class names, by label.

    Raises:
        ValueError: If rank, type, number of channels, lengths or labels are others.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(f"images are (N, C, H, W) uint8, got {shape} {self.images.dtype}")
        if shape[1] not in (1, 3):
            raise ValueError(f"images have 1 channel (grey) or 3 (RGB), got {shape[1]}")
        if min(shape[2:]) < 1:
            raise ValueError(f"images have no pixels: {shape}")
        if self.labels.ndim != 1 or self.labels.dtype != torch.int64:
            got = f"{tuple(self.labels.shape)} {self.labels.dtype}"
            raise ValueError(f"labels are (N,) int64, got {got}")
        if len(self.labels) != len(self.images):
            raise ValueError(f"{len(self.images)} images, but {len(self.labels)} labels")
        if len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                wrong = low if low < 0 else high
                raise ValueError(f"label {wrong} is none of the {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: Tensor) -> "ImageSet":
        """Some of the images, in the order of `index`.

        Args:
            index: `(M,)` int64 positions or `(N,)` bool mask.

        Returns:
            An ImageSet with the same classes, even where no image of a class is left.
        """
        return ImageSet(self.images[index], self.labels[index], self.classes)

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same set with its tensors on `device`."""
        return ImageSet(self.images.to(device), self.labels.to(device), self.classes)
