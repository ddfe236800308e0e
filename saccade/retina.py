"""The retina: a sharp small patch and coarser wider ones around one point.

The multi-resolution glimpse sensor of Mnih et al. 2014 ("Recurrent Models of Visual
Attention", section 3.1), with an exact meaning: each cell of a glimpse is the mean of the
pixels it covers, pixels outside the image count as zero.

Two kernels, chosen without the user noticing:
    crop   one scale: pad the images once, then copy whole windows.
    table  several scales: a summed-area table, four reads a cell at any scale. For uint8
           images it holds int32 and may wrap around: the sum over a *cell* still comes out
           exact as long as it fits 31 bits. For float images it holds float64.
Both give, for uint8 images, the exact integer sum divided and rounded once, so they agree
bit for bit on every device.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.geometry import window_sides, window_starts

MAX_CELL = 2**23  # pixels in a cell of uint8: its sum must fit 31 bits


@dataclass(frozen=True)
class Scene:
    """Images made ready for many looks by `Retina.prepare`.

    Attributes:
        images: `(B, C, H, W)` uint8 or float, as given.
        ready: `(B, C, H+2n, W+2n)` zero-padded images, or `(B, C, H+1, W+1)` summed-area table.
    """

    images: Tensor
    ready: Tensor

    @property
    def height(self) -> int:
        """Height of the images in pixels."""
        return self.images.shape[-2]

    @property
    def width(self) -> int:
        """Width of the images in pixels."""
        return self.images.shape[-1]


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

    def prepare(self, images: Tensor) -> Scene:
        """Does the work that is the same for every look at these images.

        Args:
            images: `(B, C, H, W)` uint8 or floating point, any H and W of 1 or more.

        Returns:
            A Scene to pass to `look` in place of the images. Beyond the images it holds, for
            one scale, a zero-padded copy; for several, an int32 table (uint8 images, 4x their
            bytes) or a float64 table (float images).

        Raises:
            ValueError: If the images have another rank or type, or no pixels.
        """
        if images.ndim != 4:
            raise ValueError(f"images are (batch, channels, height, width), got {images.shape}")
        if images.shape[-1] < 1 or images.shape[-2] < 1:
            raise ValueError(f"images have no pixels: {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"images are uint8 or floating point, got {images.dtype}")
        images = images.detach()
        if self.scales == 1:
            return Scene(images, F.pad(images, (self.size,) * 4))
        exact = torch.int32 if images.dtype == torch.uint8 else torch.float64
        table = F.pad(images.to(exact), (1, 0, 1, 0))
        table = table.cumsum_(-1) if exact == torch.float64 else table.cumsum(-1, dtype=exact)
        for row in range(1, table.shape[-2]):  # walks memory in order, unlike a second cumsum
            table[..., row, :] += table[..., row - 1, :]
        return Scene(images, table)

    def look(
        self, scene: Scene | Tensor, locations: Tensor, image_index: Tensor | None = None
    ) -> Tensor:
        """Takes one glimpse at each location.

        Args:
            scene: What `prepare` gave, or the images themselves, `(B, C, H, W)`.
            locations: `(N, 2)` as (x, y); any finite value, also outside [-1, 1].
            image_index: `(N,)` int64, which image each location is on; without it N is B.

        Returns:
            `(N, scales, C, size, size)` float32, finest scale first. uint8 images give
            intensities in [0, 1] (value / 255), float images keep their values.

        Raises:
            ValueError: If shapes do not fit, before anything is computed.
        """
        if isinstance(scene, Tensor):
            scene = self.prepare(scene)
        if locations.ndim != 2 or locations.shape[1] != 2:
            raise ValueError(f"locations are (N, 2) as (x, y), got {tuple(locations.shape)}")
        wanted = len(scene.images) if image_index is None else len(image_index)
        if len(locations) != wanted:
            raise ValueError(
                f"{len(locations)} locations for {wanted} images; several looks at an image "
                "need image_index"
            )
        if image_index is None:
            image_index = torch.arange(len(locations), device=locations.device)
        starts = window_starts(
            locations.detach(), self.size, self.scales, self.factor, scene.height, scene.width
        )
        if self.scales == 1:
            return self._crop(scene, starts[:, 0], image_index)
        return self._sum_table(scene, starts, image_index)

    def _crop(self, scene: Scene, starts: Tensor, image_index: Tensor) -> Tensor:
        """One scale: whole windows out of the padded images."""
        g = self.size
        windows = scene.ready.unfold(2, g, 1).unfold(3, g, 1)  # (B, C, H+g+1, W+g+1, g, g)
        patches = windows[image_index, :, starts[:, 1] + g, starts[:, 0] + g]  # (N, C, g, g)
        full = 255 if patches.dtype == torch.uint8 else 1
        return patches.float().div_(full)[:, None]

    def _sum_table(self, scene: Scene, starts: Tensor, image_index: Tensor) -> Tensor:
        """Any scales: four reads of the summed-area table for each cell."""
        table, g = scene.ready, self.size
        channels, rows, columns = table.shape[1:]
        small = table.numel() < 2**31
        kind = torch.int32 if small else torch.int64
        cell = self.factor ** torch.arange(self.scales, device=starts.device)  # (S,)
        steps = cell[:, None] * torch.arange(g + 1, device=starts.device)  # (S, g+1)
        xs = (starts[:, :, 0, None] + steps).clamp(0, columns - 1).to(kind)  # (N, S, g+1)
        ys = (starts[:, :, 1, None] + steps).clamp(0, rows - 1).to(kind)
        corner = (ys * columns)[..., :, None] + xs[..., None, :]  # (N, S, g+1, g+1)
        plane = image_index[:, None] * channels + torch.arange(channels, device=starts.device)
        plane = (plane * (rows * columns)).to(kind)  # (N, C)
        index = corner[:, :, None] + plane[:, None, :, None, None]  # (N, S, C, g+1, g+1)
        sums = table.reshape(-1).index_select(0, index.reshape(-1)).view(index.shape)
        lines = sums[..., 1:, :] - sums[..., :-1, :]
        cells = lines[..., 1:] - lines[..., :-1]  # (N, S, C, g, g)
        full = 255 if scene.images.dtype == torch.uint8 else 1
        area = (cell * cell * full).view(-1, 1, 1, 1)
        return (cells.double() / area).float()
