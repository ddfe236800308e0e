"""The retina: a sharp small patch and coarser wider ones around one point.

The multi-resolution glimpse sensor of Mnih et al. 2014 ("Recurrent Models of Visual
Attention", section 3.1), with an exact meaning: each cell of a glimpse is the mean of the
pixels it covers, pixels outside the image count as zero.

How the means are found is a kernel's business, see `saccade.kernels`; it is chosen without the
user noticing. For uint8 images every kernel gives the exact integer sum, divided and rounded to
float32 once, so they agree bit for bit on every device. For float images they agree to 1e-6 of
full scale.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from saccade.geometry import window_sides
from saccade.kernels import KERNELS, choose
from saccade.kernels.smooth import integrate

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
        self.ready = self._kernel.prepare(images, retina)
        self._own: Tensor | None = None  # memory for the images, from the first partial replace

    def __reduce__(self) -> "tuple[type[Scene], tuple[Tensor, Retina, str]]":
        """Pickles the images: a kernel may be a module, which cannot be."""
        return Scene, (self.images, self.retina, self.kernel)

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
        as `prepare` takes them, without a copy. With the first partial replacement the scene
        gets memory of its own for the images and from then on copies what it is given, so that
        `images` keeps its place in memory.

        Args:
            images: `(B, C, H, W)`, or `(K, C, H, W)` for `which`; of the same size, type and
                device as before.
            which: `(K,)` int64, the numbers of the images to replace, each once; all without it.

        Raises:
            ValueError: If the shape, type or device is another.
        """
        count = len(self.images) if which is None else len(which)
        old = self.images
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
            self.images = images.contiguous()
        else:
            if self._own is None:
                self._own = self.images.clone()
            self.images = self._own
            if which is None:
                self.images.copy_(images)
            else:
                self.images[which] = images
        if self._refill is not None:
            self._refill(self.images, self.ready, self.retina, which)
        elif self.images is not old:
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
            images: `(B, C, H, W)` uint8 or floating point, any H and W of 1 or more.
            looks: About how many glimpses each image will get; only speed depends on it.
            kernel: "auto" for the fastest that serves here; "torch" for the fastest that needs
                no compiler; or one by name: one of `saccade.kernels.KERNELS`.

        Returns:
            A Scene to pass to `look` in place of the images. Beyond the images it holds nothing
            for the kernels `direct`, `compiled` and `fused`; for `crop` a copy with a border,
            (1 + g/H)(1 + g/W) times the images; for `table` 2 bytes for each pixel of uint8
            images (4 with cells of over 11 x 11 pixels), 8 for each pixel of float images.

        Raises:
            ValueError: If the images have another rank or type, or no pixels; or the kernel
                that was asked for cannot serve them.
        """
        if images.ndim != 4:
            raise ValueError(f"images are (batch, channels, height, width), got {images.shape}")
        if images.shape[-1] < 1 or images.shape[-2] < 1:
            raise ValueError(f"images have no pixels: {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"images are uint8 or floating point, got {images.dtype}")
        images = images.detach().contiguous()
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
            image_index: `(N,)` int64, which image each location is on; without it N is B.
            dtype: float32, bfloat16 or float16; the two latter are the float32 result rounded.

        Returns:
            `(N, scales, C, size, size)` of `dtype`, finest scale first. uint8 images give
            intensities in [0, 1] (value / 255), float images keep their values.

        Raises:
            ValueError: If shapes, dtype or devices do not fit, or the scene was prepared for
                another retina; before anything is computed.
            IndexError: On a CPU, if `image_index` names no image.
        """
        if isinstance(scene, Tensor):
            scene = self.prepare(scene, looks=1)
        elif scene.retina is not self and scene.retina != self:
            raise ValueError(f"the scene was prepared for {scene.retina}, this is {self}")
        images = scene.images
        if locations.ndim != 2 or locations.shape[1] != 2:
            raise ValueError(f"locations are (N, 2) as (x, y), got {tuple(locations.shape)}")
        if locations.device != images.device:
            raise ValueError(
                f"locations are on {locations.device}, the images on {images.device}: move one"
            )
        wanted = len(images) if image_index is None else len(image_index)
        if len(locations) != wanted:
            raise ValueError(
                f"{len(locations)} locations for {wanted} images; several looks at an image "
                "need image_index"
            )
        if dtype not in DTYPES:
            raise ValueError(f"glimpses are float32, bfloat16 or float16, not {dtype}")
        return scene._kernel.look(images, scene.ready, locations.detach(), image_index, self, dtype)

    def integrate(
        self, images: Tensor, locations: Tensor, image_index: Tensor | None = None
    ) -> Tensor:
        """Looks at exact sub-pixel positions, with gradients to locations and float images.

        Windows start at c - n/2 unrounded; a cell is the exact integral of the image over it,
        divided by its area. Agrees with `look` where c - n/2 is whole: for even n around a
        vertex of the pixel grid, for odd n around a pixel's center.

        Args:
            images: `(B, C, H, W)` uint8 or floating point.
            locations: `(N, 2)` as (x, y), floating point.
            image_index: `(N,)` int64, which image each location is on; without it N is B.

        Returns:
            `(N, scales, C, size, size)`; float64 for float64 images, else float32.

        Raises:
            ValueError: If shapes do not fit.
        """
        if images.ndim != 4 or locations.ndim != 2 or locations.shape[1] != 2:
            raise ValueError("images are (B, C, H, W) and locations (N, 2) as (x, y)")
        if len(locations) != len(images if image_index is None else image_index):
            raise ValueError("several looks at an image need image_index")
        return integrate(images, locations, image_index, self)
