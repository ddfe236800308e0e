"""What an eye makes of a picture: the physics of foveation, batched, on any device.

Whole images and gaze locations go in, views come out; nothing here knows an environment. The
four views:

    crop    a sharp square around the gaze, and nothing else.
    retina  concentric squares around the gaze, the wider the coarser (`saccade.Retina`).
    fovea   the sharp square, and beside it the whole image at low resolution.
    mask    the whole image, black but for the sharp square.

Convention: locations are (x, y) in [-1, 1] and squares start as `saccade.geometry` says;
outside the image is zero.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor

from saccade.geometry import window_starts
from saccade.retina import Retina

View = Literal["crop", "retina", "fovea", "mask"]
Layout = Literal["HWC", "CHW", "HW"]


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether a space holds images: a 2-D or 3-D Box of uint8, or of floats in [0, 1]."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
        return False
    if np.issubdtype(space.dtype, np.floating):
        return bool((space.low >= 0).all() and (space.high <= 1).all())
    return space.dtype == np.uint8


def find_layout(shape: tuple[int, ...]) -> Layout:
    """Which axis of an image holds its channels: the smallest, first or last.

    Raises:
        ValueError: If the first and the last axis are equally small.
    """
    if len(shape) == 2:
        return "HW"
    if shape[-1] < min(shape[:2]):
        return "HWC"
    if shape[0] < min(shape[1:]):
        return "CHW"
    raise ValueError(f"which axis of {shape} is the channels'? Say layout='HWC' or layout='CHW'")


def image_key(space: spaces.Space[Any], key: str | None = None) -> str | None:
    """Finds the image in an observation.

    Args:
        space: The observation space: an image, or a Dict with images in it.
        key: Which entry of a Dict; without it, its only image.

    Returns:
        The key of the image in a Dict; None where the observation is the image.

    Raises:
        ValueError: If there is no image, no image of that name, or a choice between several.
    """
    if isinstance(space, spaces.Dict):
        images = [name for name, each in space.items() if is_image(each)]
        if key is not None and key not in images:
            raise ValueError(f"key={key!r} names no image of the observation; images: {images}")
        if key is None and len(images) > 1:
            raise ValueError(f"the observation has several images, choose by key= from {images}")
        if images:
            return key or images[0]
    elif is_image(space):
        if key is not None:
            raise ValueError(f"the observation is the image itself, it has no key {key!r}")
        return None
    raise ValueError(
        f"no image to look at in {space}: an image is a 2-D or 3-D Box of uint8, or of floats in "
        "[0, 1]. Where the observation is a state, make the environment with "
        'render_mode="rgb_array" and wrap it in gymnasium.wrappers.AddRenderObservation first'
    )


def to_tensor(array: Any) -> Tensor:
    """A NumPy array or a tensor as a tensor, shared where that is safe."""
    if isinstance(array, Tensor):
        return array
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def like(tensor: Tensor, pattern: Any) -> Any:
    """A tensor as what `pattern` is: a tensor, or a NumPy array."""
    return tensor if isinstance(pattern, Tensor) else tensor.cpu().numpy()


class Canvas:
    """What the last looks have left on the picture, for N rows: persistence of vision.

    Every pixel keeps the value it was last seen with, and when that was; it stays on the canvas
    for `memory` looks.

    Args:
        images: `(N, C, H, W)`, for their shape, type and device.
        memory: k, how many looks a pixel stays, its own among them.
    """

    def __init__(self, images: Tensor, memory: int) -> None:
        rows, _, height, width = images.shape
        self.memory, self.clock = memory, 0
        self.pixels = torch.zeros_like(images)
        self.stamp = torch.full(
            (rows, height, width), -memory, dtype=torch.int32, device=images.device
        )

    def forget(self, rows: Tensor) -> None:
        """Wipes the canvas of the rows that `(N,)` bool names."""
        dark = self.clock - self.memory
        self.stamp = self.stamp.masked_fill(rows[:, None, None], dark)

    def add(self, images: Tensor, inside: Tensor) -> Tensor:
        """Puts what is `(N, H, W)` inside the fovea on the canvas; the same look may come twice.

        Returns:
            `(N, C, H, W)`, the canvas.
        """
        self.pixels = torch.where(inside[:, None], images, self.pixels)
        self.stamp = self.stamp.masked_fill(inside, self.clock)
        return self.pixels * (self.stamp > self.clock - self.memory)[:, None]


class Sight:
    """How the images of one space are seen.

    Attributes:
        layout: Where the images have their channels.
        spaces: The views by name, as a single environment shows them. uint8 images give uint8
            views in the images' layout (`(h, w, 1)` for grey images without a channel axis).
            Float images give float32 views `(1, channels, h, w)`, like one scale of a retina:
            tools take a 3-D Box for uint8. The retina gives `(scales, channels, size, size)`
            float32 in [0, 1] of either.

    Args:
        space: The images, see `is_image`.
        layout: "HWC", "CHW" or "HW"; found from the shape without it.
        view: "crop", "retina", "fovea" or "mask".
        size: Side of the fovea in pixels.
        scales: Windows of the retina.
        factor: By how much each of them is wider than the one inside it.
        periphery: Side in pixels of the low-resolution image beside the fovea.
        memory: k, how many looks stay on the canvas of the mask.

    Raises:
        ValueError: If an argument is out of range or does not go with the view.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        layout: Layout | None,
        view: View,
        size: int,
        scales: int,
        factor: int,
        periphery: int,
        memory: int,
    ) -> None:
        assert isinstance(space, spaces.Box)
        if view not in get_args(View):
            raise ValueError(f"view is {', '.join(get_args(View))}; got {view!r}")
        for name, value in (("size", size), ("periphery", periphery), ("memory", memory)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a whole number of 1 or more, got {value!r}")
        if memory > 1 and view != "mask":
            raise ValueError(
                f"memory={memory} goes with view='mask' alone: the view {view!r} has no place "
                "where earlier looks could stay"
            )
        shape = space.shape
        if layout is not None and (layout not in get_args(Layout) or len(layout) != len(shape)):
            raise ValueError(f"layout {layout!r} does not fit images of shape {shape}")
        self.layout: Layout = layout or find_layout(shape)
        self.view, self.size, self.periphery, self.memory = view, size, periphery, memory
        self.retina = Retina(size, scales if view == "retina" else 1, factor)
        sides = dict(zip(self.layout, shape, strict=True))
        self.height, self.width, self.channels = sides["H"], sides["W"], sides.get("C", 1)
        self._whole = space.dtype == np.uint8
        self.spaces = self._spaces()

    def _spaces(self) -> dict[str, spaces.Box]:
        if self.view == "retina":
            shape = (self.retina.scales, self.channels, self.size, self.size)
            return {"fovea": spaces.Box(0.0, 1.0, shape, np.float32)}
        if self.view == "mask":
            return {"fovea": self._box(self.height, self.width)}
        fovea = {"fovea": self._box(self.size, self.size)}
        if self.view == "fovea":
            fovea["periphery"] = self._box(self.periphery, self.periphery)
        return fovea

    def _box(self, height: int, width: int) -> spaces.Box:
        if not self._whole:
            return spaces.Box(0.0, 1.0, (1, self.channels, height, width), np.float32)
        first = self.layout == "CHW"
        shape = (self.channels, height, width) if first else (height, width, self.channels)
        return spaces.Box(0, 255, shape, np.uint8)

    def planes(self, images: Tensor) -> Tensor:
        """Images `(N, ...)` in their layout as `(N, C, H, W)`, uint8 or float32."""
        if self.layout == "HW":
            images = images[:, None]
        elif self.layout == "HWC":
            images = images.permute(0, 3, 1, 2)
        return images if self._whole else images.float()

    def look(self, planes: Tensor, gaze: Tensor, canvas: Canvas | None = None) -> dict[str, Tensor]:
        """Sees each image from its gaze.

        Args:
            planes: `(N, C, H, W)`, from `planes`.
            gaze: `(N, 2)` as (x, y).
            canvas: Earlier looks of the mask, added to in place; none without it.

        Returns:
            The views by name, `(N, ...)` as in `spaces`.
        """
        if self.view == "retina":
            return {"fovea": self.retina.look(planes, gaze)}
        if self.view == "mask":
            inside = self._inside(gaze)
            seen = planes * inside[:, None] if canvas is None else canvas.add(planes, inside)
            return {"fovea": self._arrange(seen)}
        sharp = self.retina.look(planes, gaze)[:, 0]  # (N, C, size, size)
        if self._whole:  # exact: these are whole numbers over 255
            sharp = (sharp * 255).round().to(torch.uint8)
        views = {"fovea": self._arrange(sharp)}
        if self.view == "fovea":
            views["periphery"] = self._arrange(self._shrink(planes))
        return views

    def _inside(self, gaze: Tensor) -> Tensor:
        """`(N, H, W)` bool, where the fovea is."""
        starts = window_starts(gaze, self.size, 1, 1, self.height, self.width)  # (N, 1, 2)
        across = torch.arange(self.width, device=gaze.device) - starts[..., 0]  # (N, W)
        down = torch.arange(self.height, device=gaze.device) - starts[..., 1]  # (N, H)
        across, down = ((each >= 0) & (each < self.size) for each in (across, down))
        return down[:, :, None] & across[:, None, :]

    def _shrink(self, planes: Tensor) -> Tensor:
        """The whole image as `periphery` x `periphery` means of the pixels a cell touches."""
        if not self._whole:
            return F.adaptive_avg_pool2d(planes, self.periphery)
        means = F.adaptive_avg_pool2d(planes.double(), self.periphery)
        # Rounds half up. What is added is far less than any step of a mean of whole numbers: it
        # only holds a half up that a device's division may have left an ulp short.
        return (means + (0.5 + 1e-9)).to(torch.uint8)

    def _arrange(self, planes: Tensor) -> Tensor:
        """`(N, C, h, w)` as `spaces` says."""
        if not self._whole:
            return planes[:, None]
        if self.layout == "CHW":
            return planes
        return planes.permute(0, 2, 3, 1).contiguous()
