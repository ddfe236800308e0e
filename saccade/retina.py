"""The retina: a sharp small patch and coarser wider ones around one point.

The multi-resolution glimpse sensor of Mnih et al. 2014 ("Recurrent Models of Visual
Attention", section 3.1), with an exact meaning: each cell of a glimpse is the mean of the
pixels it covers, pixels outside the image count as zero.

How the means are found is a kernel's business, see `saccade.kernels`; it is chosen without the
user noticing. For uint8 images every kernel gives the exact integer sum, divided and rounded to
float32 once, so they agree bit for bit on every device. For float images they agree to 1e-6 of
full scale.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from saccade.geometry import window_sides
from saccade.kernels import KERNELS, choose
from saccade.kernels.checks import check_index
from saccade.kernels.smooth import integrate
from saccade.kernels.traced import is_traced, traced_look

MAX_CELL = 2**23  # pixels in a cell of uint8: its sum must fit 31 bits
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


class Scene:
    """Images made ready for many looks; `Retina.prepare` makes it.

    The images are not copied: while the scene is in use, what is written into the tensor that
    `prepare` was given shows in some kernels' glimpses and not in others'. To change images use
    `replace`.

    Attributes:
        images: `(B, C, H, W)` uint8 or float. Do not write into it.
        ready: What the kernel prepared: memory of its own, or the images themselves.
        retina: The retina that made it.
        kernel: The kernel's name in `saccade.kernels.KERNELS`.
    """

    def __init__(self, images: Tensor, retina: "Retina", kernel: str) -> None:
        self.images, self.retina, self.kernel = images, retina, kernel
        self._kernel = KERNELS[kernel]
        self._refill = getattr(self._kernel, "refill", None)
        with _lasting():
            self.ready = self._kernel.prepare(images, retina)
        self._own: Tensor | None = None  # memory for the images, from the first partial replace

    def __reduce__(self) -> "tuple[Callable[..., Scene], tuple[Tensor, Retina, str]]":
        """Pickles the images: a kernel may be a module, which cannot be, or not serve elsewhere."""
        return _restore, (self.images, self.retina, self.kernel)

    @property
    def height(self) -> int:
        """Height of the images in pixels."""
        return self.images.shape[-2]

    @property
    def width(self) -> int:
        """Width of the images in pixels."""
        return self.images.shape[-1]

    def replace(self, images: Tensor, which: Tensor | None = None) -> None:
        """Shows other images in the place of all or some, reusing memory.

        Nothing is ever written into a tensor that was passed in. All images at once are taken
        as `prepare` takes them, without a copy: `images` is then another piece of memory, and a
        CUDA graph captured before would go on to read the old one. With the first partial
        replacement the scene gets memory of its own for the images and from then on copies what
        it is given, so that `images` keeps its place in memory: do that before capturing.

        Args:
            images: `(B, C, H, W)`, or `(K, C, H, W)` for `which`; of the same size, type and
                device as before.
            which: `(K,)` int64, the numbers of the images to replace, each once; all without it.

        Raises:
            ValueError: If the shape, type or device is another.
            IndexError: On a CPU, if `which` names no image; not while traced. Nothing is changed
                then.
        """
        old = self.images
        if which is not None:
            which = _numbers(which, "which", "K", old)
            if not is_traced(which):
                check_index(which, len(old), "which")
        count = len(old) if which is None else len(which)
        if (
            images.shape != (count, *old.shape[1:])
            or images.dtype != old.dtype
            or images.device != old.device
        ):
            raise ValueError(
                f"to replace {count} of the images give {(count, *old.shape[1:])} {old.dtype} on "
                f"{old.device}, got {tuple(images.shape)} {images.dtype} on {images.device}"
            )
        images = images.detach()
        if which is None and self._own is None:
            self.images = _in_order(images)
        else:
            if self._own is None:
                with _lasting():
                    self._own = self.images.clone()
            self.images = self._own
            if which is None:
                self.images.copy_(images)
            else:
                self.images[which] = images
        if self._refill is not None:
            self._refill(self.images, self.ready, self.retina, which)
        elif self.ready is not self.images:
            with _lasting():
                self.ready = self._kernel.prepare(self.images, self.retina)


@dataclass(frozen=True)
class Retina:
    """A glimpse sensor of concentric square windows, each area-averaged to `size` x `size`.

    Convention: locations are (x, y) in [-1, 1], see `saccade.geometry`.

    Attributes:
        size: g, side of a glimpse in cells; at the finest scale a cell is a pixel.
        scales: S, number of windows.
        factor: f, window s covers `size * f**s` pixels a side.

    Raises:
        ValueError: If a number is not positive, or a cell would exceed 2**23 pixels.
    """

    size: int = 12
    scales: int = 3
    factor: int = 2

    def __post_init__(self) -> None:
        for name in ("size", "scales", "factor"):
            value = getattr(self, name)
            if isinstance(value, np.integer):
                object.__setattr__(self, name, value := int(value))
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"a retina's {name} is a whole number of 1 or more, got {value!r}")
        if self.factor ** (2 * (self.scales - 1)) > MAX_CELL:
            raise ValueError(
                f"{self.scales} scales of factor {self.factor} give cells of over {MAX_CELL} "
                "pixels; use fewer scales or a smaller factor"
            )

    @property
    def sides(self) -> list[int]:
        """Sides of the windows in pixels, finest first."""
        return window_sides(self.size, self.scales, self.factor)

    def prepare(self, images: Tensor, *, looks: int = 8, kernel: str = "auto") -> Scene:
        """Does the work that is the same for every look at these images.

        Args:
            images: `(B, C, H, W)` uint8 or floating point, any H and W of 1 or more. Floats are
                finite: what a NaN or an infinity does to other cells differs between kernels.
            looks: About how many glimpses each image will get; only speed depends on it.
            kernel: "auto" for the fastest that serves here; "torch" for the fastest that needs
                no compiler; or one by name: one of `saccade.kernels.KERNELS`.

        Returns:
            A Scene to pass to `look` in place of the images. Beyond the images it holds nothing
            for the kernels `direct`, `compiled` and `fused` (which copies bytes that begin within
            a word of memory); for `crop` a copy with a border,
            (1 + g/H)(1 + g/W) times the images; for `columns` 2(1 + 1/H)(1 + n/W) bytes a pixel,
            n the side of the widest window; for `table` 2 bytes for each pixel of uint8 images
            (4 with cells of over 11 x 11 pixels), 8 for each pixel of float images. What is
            prepared is reused by `Scene.replace`; a look takes memory for its glimpses and for a
            chunk at a time of what it reads: on a CPU some megabytes, on a GPU for `table` up to
            2.5 GB. The chunk of `direct` is one widest window of all channels at least, however
            large; it takes some times as much, and keeps it for the next look in each thread.

        Raises:
            ValueError: If the images have another rank or type, or no pixels; or the kernel
                that was asked for cannot serve them.
        """
        _check_images(images)
        images = _in_order(images.detach())
        return Scene(images, self, choose(images, self, looks, kernel))

    def look(
        self,
        scene: Scene | Tensor,
        locations: Tensor,
        image_index: Tensor | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Takes one glimpse at each location.

        Args:
            scene: What `prepare` gave, or the images themselves, `(B, C, H, W)`.
            locations: `(N, 2)` as (x, y), floating point; any value, also outside [-1, 1]. Where
                one is NaN the glimpse is zero.
            image_index: `(N,)` integers, which image each location is on; without it N is B.
            dtype: float32, bfloat16 or float16; the two latter are the float32 result rounded.

        Returns:
            `(N, scales, C, size, size)` of `dtype`, finest scale first. uint8 images give
            intensities in [0, 1] (value / 255), float images keep their values.

        Raises:
            ValueError: If shapes, dtype or devices do not fit, or the scene was prepared for
                another retina; before anything is computed.
            IndexError: On a CPU, if `image_index` names no image.
        """
        if isinstance(scene, Scene):
            if scene.retina is not self and scene.retina != self:
                raise ValueError(f"the scene was prepared for {scene.retina}, this is {self}")
            images = scene.images
        else:
            images = scene
            _check_images(images)
        image_index = _check_places(images, locations, image_index)
        if dtype not in DTYPES:
            raise ValueError(f"glimpses are float32, bfloat16 or float16, not {dtype}")
        if not isinstance(scene, Scene):
            scene = self.prepare(scene, looks=1)
            images = scene.images
        work = (images, scene.ready, locations.detach(), image_index, self, dtype)
        if is_traced(images, locations, image_index):
            return traced_look(scene.kernel, *work)
        return scene._kernel.look(*work)

    def integrate(
        self, images: Tensor, locations: Tensor, image_index: Tensor | None = None
    ) -> Tensor:
        """Looks at exact sub-pixel positions, with gradients to locations and float images.

        Windows start at c - n/2 unrounded; a cell is the exact integral of the image over it,
        divided by its area. Agrees with `look` where c - n/2 is whole: for even n around a
        vertex of the pixel grid, for odd n around a pixel's center.

        Args:
            images: `(B, C, H, W)` uint8 or floating point, finite; not a prepared scene.
            locations: `(N, 2)` as (x, y), floating point.
            image_index: `(N,)` integers, which image each location is on; without it N is B.

        Returns:
            `(N, scales, C, size, size)`; float64 for float64 images, else float32.

        Raises:
            ValueError: If shapes, types or devices do not fit.
            IndexError: On a CPU, if `image_index` names no image; not while traced.
        """
        _check_images(images)
        image_index = _check_places(images, locations, image_index)
        if image_index is not None and not is_traced(image_index):
            check_index(image_index, len(images))
        return integrate(images, locations, image_index, self)


def _lasting() -> AbstractContextManager[object]:
    """For memory to write into later, also outside of an inference mode that it is made in."""
    if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled():
        return nullcontext()
    return torch.inference_mode(False)


def _in_order(images: Tensor) -> Tensor:
    """Images row after row in memory, with the strides that say so, copied only where they are not.

    Of images of one channel or one row torch has `contiguous` keep whatever strides they came with.
    """
    return images.contiguous().view(-1).view(images.shape)


def _check_images(images: Tensor) -> None:
    """Raises a ValueError where these are no images."""
    if not isinstance(images, Tensor):
        kind = type(images).__name__
        raise ValueError(f"images are a tensor, got a {kind}: for an array, torch.from_numpy(it)")
    if images.ndim != 4:
        raise ValueError(f"images are (batch, channels, height, width), got {tuple(images.shape)}")
    if 0 in images.shape[1:]:
        raise ValueError(f"images have no pixels: {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images are uint8 or floating point, got {images.dtype}")


def _check_places(images: Tensor, locations: Tensor, image_index: Tensor | None) -> Tensor | None:
    """Raises a ValueError where locations do not fit the images; gives the index as int64."""
    if not isinstance(locations, Tensor):
        kind = type(locations).__name__
        raise ValueError(f"locations are a tensor, got a {kind}: give torch.as_tensor(it)")
    if locations.ndim != 2 or locations.shape[1] != 2:
        raise ValueError(f"locations are (N, 2) as (x, y), got {tuple(locations.shape)}")
    if locations.device != images.device:
        raise ValueError(
            f"locations are on {locations.device}, the images on {images.device}: move one"
        )
    if image_index is not None:
        image_index = _numbers(image_index, "image_index", "N", images)
    wanted = len(images) if image_index is None else len(image_index)
    if len(locations) != wanted:
        raise ValueError(
            f"{len(locations)} locations for {wanted} images; several looks at an image "
            "need image_index"
        )
    return image_index


def _numbers(numbers: Tensor, name: str, length: str, images: Tensor) -> Tensor:
    """Numbers of images as int64; raises a ValueError where they cannot be that."""
    whole = isinstance(numbers, Tensor) and not (
        numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool
    )
    if not whole or numbers.ndim != 1 or numbers.device != images.device:
        got = type(numbers).__name__
        if isinstance(numbers, Tensor):
            got = f"{tuple(numbers.shape)} {numbers.dtype} on {numbers.device}"
        raise ValueError(f"{name} is ({length},) int64 on {images.device}, got {got}")
    return numbers.long()


def _restore(images: Tensor, retina: Retina, kernel: str) -> Scene:
    """A scene out of a pickle, with its kernel or, where that cannot serve, another."""
    if KERNELS[kernel].refusal(images, retina) is not None:
        kernel = choose(images, retina, 8, "auto")
    return Scene(images, retina, kernel)
