"""Scenes: digits, or any images, centered, moved over a canvas, or hidden among clutter.

The classic glimpse tasks (Mnih et al. 2014, section 4) for any set of images: *centered* (the
image as it is), *translated* (at a random place of a black canvas; 60x60 in the paper) and
*cluttered* (translated, with square pieces of other images pasted around; four 8x8 pieces at
60x60, eight at 100x100). A scene is a pure function of an image index and a random key, made
on the device for a whole batch at once, so a test set is fixed by its keys and a training
batch is fresh by its own.

Delta from the paper, which leaves it open: where things overlap the brighter pixel stays.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from saccade.corruptions import corrupt_mixed
from saccade.counter import count_up, fold, integers, uniform
from saccade.data import ImageSet

Layout = Literal["centered", "translated", "cluttered"]


GENTLE = 0.5  # the other strength of augmentation, beside 1
NODES = 5  # of the elastic field along a side: 6.75 pixels apart on 28


def random_warp(
    images: Tensor,
    key: Tensor,
    bend: float = 0.0,
    sharpen: float | Tensor = 0.0,
    part: tuple[Tensor, Tensor] | None = None,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Rotates, scales, shears, shifts and bends each image by its own random amounts.

    Args:
        images: `(N, C, H, W)` uint8.
        key: `(N,)` int64 random keys.
        bend: How far the nodes of an elastic field move at most, in half sides; the field is
            cubic between them (in the manner of Simard et al. 2003).
        sharpen: How much of what a narrow blur would take is put on top, to give back what
            sampling between pixels took (`missing_sharpness`); a number, or one on the device.
        part: Which rows `(N, h)` and columns `(N, w)` of each result to make, int64, one after
            the other; all unless given.
        strength: What all amounts are multiplied by; a number, or one on the device.

    Returns:
        `(N, C, h, w)` uint8, bicubic, zero outside. Rotation is up to 0.25 rad, scale 15 %,
        shear 0.2, shift 0.07 of half the side, each uniform.
    """
    height, width = images.shape[-2:]
    # With a margin of one pixel, to sharpen from.
    if part is None:
        rows, columns = (count_up(-1, side + 1, images.device) for side in (height, width))
    else:  # other ones for each image
        rows, columns = (_and_beside(each)[:, None] for each in part)
    grid = warp_grid(key, (height, width), (rows, columns), bend, strength)
    moved = F.grid_sample(images.float(), grid, mode="bicubic", align_corners=False)
    return _sharpen(moved, sharpen).round_().clamp_(0, 255).to(torch.uint8)


def missing_sharpness(images: Tensor, bend: float = 0.0, strength: float = 1.0) -> float:
    """By how much to sharpen what is warped, so that it is as sharp as before.

    Else no scene to learn from would be as sharp as those to be read (docs/ablations.md, "As sharp
    as what is to be read").

    Args:
        images: `(N, C, H, W)` uint8; about a thousand are looked at, fewer if they are large.
        bend: As in `random_warp`.
        strength: As there.

    Returns:
        The `sharpen` of `random_warp`: the largest, of twentieths from 0 to 1, by which the steps
        between neighboring pixels have no more energy than before.
    """
    apart = images.numel() // 1_000_000
    images = images[:: max(1, min(apart, len(images) // 16))]
    key = fold(count_up(0, len(images), images.device), "sharpness")
    wanted, low, high = _steps(images), 0, 20
    if not wanted:
        return 0.0
    while low < high:  # more sharpening, more energy
        middle = (low + high + 1) // 2
        found = _steps(random_warp(images, key, bend, middle / 20, strength=strength))
        low, high = (middle, high) if found <= wanted else (low, middle - 1)
    return low / 20


def _steps(images: Tensor) -> float:
    """Energy of the steps between neighboring pixels."""
    pixels = images.float()
    return float(sum(pixels.diff(dim=side).square().double().sum() for side in (2, 3)))


def warp_grid(
    key: Tensor,
    size: tuple[int, int],
    places: tuple[Tensor, Tensor],
    bend: float = 0.0,
    strength: float | Tensor = 1.0,
) -> Tensor:
    """Where in an image the pixels of a warped one lie, in the form of `F.grid_sample`.

    Args:
        key: `(N,)` int64 random keys.
        size: Height and width of the images.
        places: Rows `(h,)` and columns `(w,)` of the result, or other ones for each image,
            `(N, 1, h)` and `(N, 1, w)`; int64, also beyond the image.
        bend: As in `random_warp`.
        strength: As there.

    Returns:
        `(N, h, w, 2)`.
    """
    (height, width), (rows, columns) = size, places
    spread = (uniform(fold(key, "affine"), 6) * 2 - 1) * strength  # (N, 6) in [-1, 1)
    angle, shear = spread[:, 0] * 0.25, spread[:, 1] * 0.2
    wide, high = 1 + spread[:, 2] * 0.15, 1 + spread[:, 3] * 0.15
    shift = spread[:, 4:6] * 0.07
    cos, sin = angle.cos(), angle.sin()
    # From a place in the result back to a place in the image, in units of half a side: the place is
    # by_x * x + by_y * y + shift, so that columns and rows are multiplied before they meet.
    by_x = torch.stack([cos * wide, sin * high * (width / height)], 1)[..., None]
    down = [(shear * cos - sin) * wide * (height / width), (shear * sin + cos) * high]
    by_y = torch.stack(down, 1)[..., None]
    y, x = (2 * rows + 1) / height - 1, (2 * columns + 1) / width - 1  # the middles of pixels
    grid = (by_x * x)[:, :, None] + (by_y * y + shift[..., None])[..., None]
    if bend:
        nodes = (uniform(fold(key, "bend"), 2, NODES * NODES) * 2 - 1) * (bend * strength)
        with torch.autocast(key.device.type, enabled=False):  # exact in a caller's autocast too
            grid = grid + _bend(nodes, _cubic(rows, height), _cubic(columns, width))
    return grid.permute(0, 2, 3, 1)


def _and_beside(places: Tensor) -> Tensor:
    """`(N, n)` pixels, one after the other, and one before and after them, `(N, n + 2)`."""
    return torch.cat([places[:, :1] - 1, places, places[:, -1:] + 1], 1)


def _bend(nodes: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """How far an elastic field moves pixels.

    Args:
        nodes: `(N, 2, NODES**2)`, how far it moves its nodes.
        down: `(h, NODES)` or `(N, 1, h, NODES)`, what each adds along a column, from `_cubic`.
        across: `(w, NODES)` or `(N, 1, w, NODES)`, along a row.

    Returns:
        `(N, 2, h, w)`.
    """
    if down.ndim == 2:  # one product serves all images
        field = (down.T[:, None, :, None] * across.T[:, None, :]).reshape(NODES * NODES, -1)
        return (nodes @ field).view(*nodes.shape[:2], len(down), len(across))
    return down @ nodes.unflatten(2, (NODES, NODES)) @ across.mT


def _cubic(places: Tensor, side: int) -> Tensor:
    """`(..., NODES)`: what each node adds at pixels `(...)` of a side, by bicubic interpolation."""
    nodes = torch.eye(NODES, device=places.device)[None, None]
    size = (side, NODES)
    along = F.interpolate(nodes, size=size, mode="bicubic", align_corners=True)[0, 0]
    return along[places.clamp(0, side - 1)]


def _sharpen(images: Tensor, much: float | Tensor) -> Tensor:
    """`(N, C, h + 2, w + 2)` float, with a margin to take from, to `(N, C, h, w)`."""
    blurred = 0.75 * images[..., 1:-1] + 0.125 * (images[..., :-2] + images[..., 2:])
    beside = blurred[..., :-2, :] + blurred[..., 2:, :]
    blurred = 0.75 * blurred[..., 1:-1, :] + 0.125 * beside
    return (1 + much) * images[..., 1:-1, 1:-1] - much * blurred


@dataclass(frozen=True)
class SceneMaker:
    """Makes scenes from a set of images.

    Attributes:
        pool: The images to show, and to cut clutter from.
        layout: "centered", "translated" or "cluttered".
        side: Side of the square canvas in pixels; "centered" takes the images' own shape.
        clutter: Number of pieces, for "cluttered".
        clutter_size: Side of a piece in pixels.
        augment: Whether images go through `random_warp` first.
        bend: How far augmented images are bent besides, see `random_warp`.
        corrupt: Share of the scenes that go through `corrupt_mixed` last, 0 to 1.
        strength: Of augmentation, from `GENTLE` to 1: `()` float on the device of the pool, which
            whoever made it may fill anew between calls. 1 unless given.
        sharpen: By how much augmented images are sharpened at strength 1 and at `GENTLE`, from
            `missing_sharpness`; straight between.

    Raises:
        ValueError: If the images do not fit on the canvas, or the pieces are not in the images.
    """

    pool: ImageSet
    layout: Layout = "centered"
    side: int = 60
    clutter: int = 4
    clutter_size: int = 8
    augment: bool = False
    bend: float = 0.0
    corrupt: float = 0.0
    strength: Tensor | None = None
    sharpen: tuple[float, float] = field(init=False, default=(0.0, 0.0))

    def __post_init__(self) -> None:
        height, width = self.pool.images.shape[-2:]
        if self.augment:
            strengths = (1.0, 1.0 if self.strength is None else GENTLE)
            much = {
                one: missing_sharpness(self.pool.images, self.bend, one) for one in {*strengths}
            }
            object.__setattr__(self, "sharpen", tuple(much[one] for one in strengths))
        if self.layout == "centered":
            return
        if self.side < max(height, width):
            raise ValueError(
                f"images of {height}x{width} pixels do not fit on a {self.layout} canvas of "
                f"side {self.side}; give a side of {max(height, width)} or more"
            )
        if self.layout == "cluttered" and not 1 <= self.clutter_size <= min(height, width):
            raise ValueError(
                f"pieces of side {self.clutter_size} cannot be cut from images of "
                f"{height}x{width} pixels; give a side of 1 to {min(height, width)}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the scenes."""
        channels, height, width = self.pool.images.shape[1:]
        if self.layout == "centered":
            return channels, height, width
        return channels, self.side, self.side

    def __call__(self, index: Tensor, key: Tensor) -> Tensor:
        """Makes one scene for each image.

        Args:
            index: `(N,)` int64, which image of the pool is shown.
            key: `(N,)` int64 random keys; the same key gives the same scene.

        Returns:
            `(N, C, H, W)` uint8, see `shape`.
        """
        images = self.pool.images[index]
        if self.augment:
            images = self._warp(images, key)
        scenes = images if self.layout == "centered" else self._compose(images, index, key)
        return corrupt_mixed(scenes, key, share=self.corrupt) if self.corrupt else scenes

    def _warp(
        self, images: Tensor, key: Tensor, part: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Images, or parts of them, augmented."""
        fully, gently = self.sharpen
        if self.strength is None:
            return random_warp(images, key, self.bend, fully, part)
        # By arithmetic: numbers to choose from are copied to a GPU first, which waits.
        sharpen = fully + (gently - fully) / (1 - GENTLE) * (1 - self.strength)
        return random_warp(images, key, self.bend, sharpen, part, self.strength)

    def _compose(self, images: Tensor, index: Tensor, key: Tensor) -> Tensor:
        """Puts images on canvases, among clutter where there is some."""
        (channels, height, width), count = images.shape[1:], len(index)
        canvas = images.new_zeros(count, channels, self.side * self.side)
        corner = uniform(fold(key, "corner"), 2)
        _paste(canvas, images, corner, self.side)
        if self.layout == "cluttered":
            size, total = self.clutter_size, len(self.pool)
            other = 1 + integers(fold(key, "other"), max(total - 1, 1), self.clutter)
            other = (index[:, None] + other) % total  # (N, clutter): never the image itself
            cut = uniform(fold(key, "cut"), self.clutter, 2)
            put = uniform(fold(key, "put"), self.clutter, 2)
            along = torch.arange(size, device=index.device)
            rows = (cut[..., 0] * (height - size + 1)).long()[..., None] + along
            columns = (cut[..., 1] * (width - size + 1)).long()[..., None] + along
            own = fold(key[:, None], count_up(0, self.clutter, index.device))
            flat = (each.flatten(0, 1) for each in (other, rows, columns, own))  # N * clutter
            pieces = self._pieces(*flat).unflatten(0, (count, self.clutter))
            for piece in range(self.clutter):
                _paste(canvas, pieces[:, piece], put[:, piece], self.side)
        return canvas.view(count, channels, self.side, self.side)

    def _pieces(self, index: Tensor, rows: Tensor, columns: Tensor, key: Tensor) -> Tensor:
        """Pieces `(N, C, size, size)` of images, augmented like the images that they hide.

        Else clutter could be told by its sharpness.
        """
        if self.augment:
            return self._warp(self.pool.images[index], key, (rows, columns))
        pixels = self.pool.images[index[:, None, None], :, rows[:, :, None], columns[:, None]]
        return pixels.permute(0, 3, 1, 2)


def _paste(canvas: Tensor, patches: Tensor, place: Tensor, side: int) -> None:
    """Puts patches `(N, C, h, w)` on canvases `(N, C, side*side)` in place, brighter stays.

    `place` is `(N, 2)` in [0, 1), spread over all whole-pixel positions inside the canvas.
    """
    height, width = patches.shape[-2:]
    top = (place[:, 0] * (side - height + 1)).long()
    left = (place[:, 1] * (side - width + 1)).long()
    rows = top[:, None] + torch.arange(height, device=canvas.device)  # (N, h)
    columns = left[:, None] + torch.arange(width, device=canvas.device)
    index = (rows[:, :, None] * side + columns[:, None, :]).view(len(patches), 1, -1)
    index = index.expand(-1, canvas.shape[1], -1)  # (N, C, h*w)
    flat = patches.reshape(*patches.shape[:2], -1)
    canvas.scatter_(2, index, torch.maximum(canvas.gather(2, index), flat))


def default_side(layout: Layout, height: int, width: int) -> int:
    """Side of a canvas when none is asked for: the paper's 60 for 28x28 images, in proportion."""
    return max(height, width) if layout == "centered" else math.ceil(max(height, width) * 60 / 28)
