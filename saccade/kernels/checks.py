"""What kernels check before they look."""

from torch import Tensor


def check_index(image_index: Tensor, count: int, name: str = "image_index") -> None:
    """Raises an IndexError where a number names no image; on a GPU it trusts, not to wait."""
    if image_index.device.type == "cpu" and len(image_index):
        low, high = image_index.aminmax()
        if low < 0 or high >= count:
            raise IndexError(f"{name} goes from {low} to {high}, there are {count} images")
