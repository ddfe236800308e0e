"""Small fully convolutional networks that read a whole scene at once: who does not look around.

Strided 3x3 convolutions with batch normalization, then ten logits at every place; the scene's
logits are the greatest of each over all places, so that one network serves scenes of any side and
one place need speak. `FAMILY` lists them; a member sees the scene as it is,
down-sampled by a factor ("fcn-16/4"), or down-sampled to a fixed side ("fcn-16@100").
"""

from typing import NamedTuple

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from saccade.kernels import KERNELS
from saccade.plates import DIGIT, SMALL
from saccade.retina import Retina

STRIDES = {1: (2, 2, 2, 1, 1), 2: (2, 2, 1, 1), 4: (1, 2, 1, 1), 8: (1, 1, 1), 16: (1, 1, 1)}
FIELD = 47  # pixels that a place sees where strides are those of full resolution


class Member(NamedTuple):
    """One of the family.

    Attributes:
        width: Channels after the first layer; then twice, and from the third on four times.
        factor: By which a scene is down-sampled.
        fixed: Or the side it is down-sampled to; 0 for the factor.
        deep: Strides are those of full resolution whatever the factor, where digits do not shrink.
    """

    width: int
    factor: int = 1
    fixed: int = 0
    deep: bool = False

    @property
    def name(self) -> str:
        """As results have it."""
        return f"fcn-{self.width}" + (f"@{self.fixed}" if self.fixed else f"/{self.factor}")

    def fits(self, side: int) -> bool:
        """Whether a place sees all of a digit of a proportional scene, and 48 pixels are left."""
        return 48 <= side / self.factor <= FIELD * SMALL / DIGIT

    def prepare(self, images: Tensor) -> Tensor:
        """Down-samples `(N, 1, H, W)` uint8 by area."""
        side = self.fixed or max(1, round(images.shape[-1] / self.factor))
        return shrink(images, side)


FAMILY: dict[str, tuple[Member, ...]] = {
    "detail": (
        Member(8, 1), Member(16, 1), Member(8, 2), Member(16, 2), Member(32, 2),
        Member(16, 4), Member(16, 8), Member(16, 16), Member(32, fixed=128),
    ),
    "proportional": (
        Member(8, 1), *(Member(width, factor, deep=True)
                        for width, factor in ((8, 2), (16, 4), (16, 8), (16, 16))),
        *(Member(width, fixed=side) for side in (100, 128) for width in (8, 16)),
    ),
}  # fmt: skip
CROP = Member(16, fixed=40)  # the reader of the crop at the true place


class DenseReader(nn.Module):
    """A fully convolutional reader.

    Args:
        member: Which of the family.
    """

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.member = member
        layers: list[nn.Module] = []
        before = 1
        for depth, stride in enumerate(STRIDES[1 if member.deep else member.factor]):
            after = member.width * min(2**depth, 4)
            convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before = after
        self.body = nn.Sequential(*layers, nn.Conv2d(before, 10, 1))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, prepared: Tensor) -> Tensor:
        """`(N, 1, h, w)` uint8, as `Member.prepare` gives it, to logits `(N, 10)`."""
        x = prepared.to(next(self.parameters()).dtype)
        if self.training:
            x = x / 255
        return self.body(x).amax((2, 3)).float()

    def folded(self, dtype: torch.dtype = torch.float32) -> "DenseReader":
        """A copy for inference: normalization and the scale of bytes are in the weights."""
        copy = DenseReader(self.member)
        copy.load_state_dict(self.state_dict())
        copy.eval()
        copy.body = fold_norms(copy.body)
        with torch.no_grad():
            next(copy.parameters()).div_(255)  # the first convolution's weights
        copy.to(dtype)
        return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def fold_norms(layers: nn.Sequential) -> nn.Sequential:
    """The same layers in inference, each batch normalization joined to the layer before."""
    joined: list[nn.Module] = []
    for layer in layers:
        before = joined[-1] if joined else None
        if isinstance(layer, nn.BatchNorm2d) and isinstance(before, nn.Conv2d):
            joined[-1] = fuse_conv_bn_eval(before, layer)
        elif isinstance(layer, nn.BatchNorm1d) and isinstance(before, nn.Linear):
            joined[-1] = fuse_linear_bn_eval(before, layer)
        else:
            joined.append(layer)
    return nn.Sequential(*joined)


def shrink(images: Tensor, side: int) -> Tensor:
    """Resizes `(N, 1, H, W)` uint8 square scenes, by area, interpolated where `side` is larger.

    To a fifth or less, by a whole factor, it is one look by a retina whose window is the scene,
    where that is compiled: OpenCV's very bytes, several times faster. On other devices than the CPU
    see `shrink_anywhere`.
    """
    wide = images.shape[-1]
    if wide == side:
        return images
    if images.device.type != "cpu":
        return shrink_anywhere(images, side)
    factor, rest = divmod(wide, side)
    retina = Retina(side, 2, factor) if 4 < factor <= 64 and not rest else None
    if retina and KERNELS["compiled"].refusal(images, retina) is None:
        scene = retina.prepare(images, looks=1, kernel="compiled")
        means = retina.look(scene, torch.zeros(len(images), 2))[:, 1]
        # What is divided is a whole number again: means of bytes are rounded only once.
        return (means.double() * (255 * factor**2)).round_().div_(factor**2).round_().byte()
    way = cv2.INTER_AREA if wide > side else cv2.INTER_LINEAR
    small = [cv2.resize(each, (side, side), interpolation=way) for each in images[:, 0].numpy()]
    return torch.stack([torch.from_numpy(each) for each in small])[:, None]


def shrink_anywhere(images: Tensor, side: int) -> Tensor:
    """`shrink` on any device: OpenCV's bytes, give or take one where rounding is in doubt.

    By a whole factor it sums along rows, then along columns. By another, a pixel of the result is a
    weighted sum along each axis, the weights being how much of it each pixel covers: two products
    of matrices. What becomes larger is interpolated.
    """
    wide = images.shape[-1]
    factor, rest = divmod(wide, side)
    if not rest:
        rows = images.reshape(len(images), 1, wide, side, factor).sum(-1, dtype=torch.int32)
        small = rows.view(len(images), 1, side, factor, side).sum(3).double() / factor**2
    elif side > wide:
        size = (side, side)
        small = F.interpolate(images.float(), size, mode="bilinear", align_corners=False)
    else:
        edges = torch.arange(side + 1, device=images.device) * (wide / side)
        begin, end = edges[:-1, None], edges[1:, None]
        pixel = torch.arange(wide, device=images.device)
        covered = torch.minimum(end, pixel + 1) - torch.maximum(begin, pixel)
        weights = covered.clamp(min=0) * (side / wide)  # (side, wide), a row sums to 1
        small = weights @ images.float() @ weights.T
    return small.round_().byte()


def crop_side(side: int, series: str) -> int:
    """40 pixels in the detail series, 40 % of a scene of this side in the proportional one."""
    return 40 if series == "detail" else round(0.4 * side)


def crop_true(images: Tensor, places: Tensor, series: str) -> Tensor:
    """The crop at the true place, `(N, 1, 40, 40)`: what a reader with a perfect gaze sees.

    It is `crop_side` wide before it is shrunk.
    """
    side = images.shape[-1]
    wide = crop_side(side, series)
    crops = []
    for image, (x, y) in zip(images, places.tolist(), strict=True):
        left, top = (int(min(max(round(at - wide / 2), 0), side - wide)) for at in (x, y))
        crops.append(image[:, top : top + wide, left : left + wide])
    return shrink(torch.stack(crops), 40)
