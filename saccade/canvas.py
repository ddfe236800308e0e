"""The canvas: all that was seen, laid where it was seen, and read as one picture.

The eye moves, the world stays. A recurrent core has to learn where in the world each glimpse was,
and to keep it; a canvas has the frame of the scene, so that glimpses side by side fit together and
a convolution reads strokes that go from one into the next. Memories of this kind: Parisotto &
Salakhutdinov 2018, "Neural Map"; Sahni & Isbell 2021, "Hard Attention Control by Mutual Information
Maximization". Delta: pixels are kept, not features, so nothing has to be learned to write, and no
gradient runs through time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saccade.geometry import window_starts
from saccade.retina import Retina


class _MapNorm(nn.Module):
    """Brings all maps of a sample to mean 0 and variance 1 together (Ba et al. 2016).

    As `nn.GroupNorm` of one group does, but along memory: there a third of the reader's time.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """`(N, M, H, W)` to the same."""
        last = maps.movedim(1, -1)
        return F.layer_norm(last, last.shape[1:]).movedim(-1, 1)


class Canvas(nn.Module):
    """Writes glimpses into a canvas, and reads it by three convolutions and two layers.

    Args:
        retina: The sensor whose glimpses are laid on it.
        channels: Channels of the images, C.
        height: Height of the scenes in pixels, H; that of the canvas.
        width: Their width, W.
        maps: Maps of the first convolution; the second has twice as many, the third three times.
        classes: K, number of classes.

    Attributes:
        shape: Of a canvas, `(S, C + 1, H, W)`: for each scale what was seen, 0 where nothing was,
            and last a layer that is 1 where something was.

    Raises:
        ValueError: If the scenes have no size.
    """

    UNITS = 128  # of the layer between convolutions and answer

    def __init__(
        self, retina: Retina, channels: int, height: int, width: int, maps: int, classes: int
    ) -> None:
        super().__init__()
        if height < 1 or width < 1:
            raise ValueError(f"a canvas has the size of the scenes, got {height} x {width} pixels")
        self.retina = retina
        self.shape = (retina.scales, channels + 1, height, width)
        places = -(-height // 8) * -(-width // 8)  # three times half a side, rounding up
        self.read = nn.Sequential(
            nn.Conv2d(retina.scales * (channels + 1), maps, 5, stride=2, padding=2),
            _MapNorm(), nn.ReLU(),
            nn.Conv2d(maps, 2 * maps, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True),
            _MapNorm(), nn.ReLU(),
            nn.Conv2d(2 * maps, 3 * maps, 3, padding=1), nn.MaxPool2d(2, ceil_mode=True),
            _MapNorm(), nn.ReLU(),
            nn.Flatten(), nn.Linear(3 * maps * places, self.UNITS), nn.ReLU(),
            nn.Linear(self.UNITS, classes),
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload] # fmt: skip

    def write(self, glimpse: Tensor, location: Tensor, canvas: Tensor) -> Tensor:
        """Lays glimpses over what is there.

        Each cell covers the pixels that it is the mean of; what lies outside the scene is lost.
        In scenes of another size than the canvas, locations keep their place in the scene.

        Args:
            glimpse: `(N, S, C, g, g)`.
            location: `(N, 2)`, where it was taken.
            canvas: `(N, S, C + 1, H, W)`.

        Returns:
            The next canvas, float32 like the last; what was passed in is left as it was.
        """
        size, scales, factor = self.retina.size, self.retina.scales, self.retina.factor
        height, width = self.shape[2:]
        starts = window_starts(location, size, scales, factor, height, width)  # (N, S, 2)
        seen = F.pad(glimpse, (0, 0, 0, 0, 0, 1), value=1.0)  # (N, S, C + 1, g, g)
        device = location.device
        cell = (factor ** torch.arange(scales, device=device))[:, None]

        def spread(start: Tensor, length: int) -> Tensor:
            """`(N, S, 1, length, g)`: 1 where a pixel lies in a cell, at most one 1 in a row."""
            offset = torch.arange(length, device=device) - start[..., None]
            inside = offset.div(cell, rounding_mode="floor")[..., None]
            return (inside == torch.arange(size, device=device)).to(seen.dtype)[:, :, None]

        # Products of matrices move the cells: each sum has one term that is not 0, and is exact
        # (but for rounding to bfloat16, where that is what products are computed in).
        rows, columns = spread(starts[..., 1], height), spread(starts[..., 0], width)
        laid = rows @ seen @ columns.transpose(-1, -2)
        return torch.where(laid[:, :, -1:] > 0, laid, canvas)

    def forward(self, canvas: Tensor) -> Tensor:
        """`(N, S, C + 1, H, W)` to logits `(N, K)`."""
        return self.read(canvas.flatten(1, 2).contiguous(memory_format=torch.channels_last))
