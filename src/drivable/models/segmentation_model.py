"""The shape every model has: a backbone's feature maps, a decoder's logits, and the arithmetic around them."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.config.models import Normalization

# Axes: N batch, C channels, K classes, H and W rows and columns of the picture, h and w of a feature map. Where a model
# cuts the top off, S are the rows below.


class Backbone(Protocol):
    """What a decoder needs to know of a backbone; calling it gives one feature map per entry, fine to coarse."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def __call__(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised RGB -> feature maps (N, channels[i], H / strides[i], W / strides[i])."""
        ...


class TrainingLogits(NamedTuple):
    """Logits of the main head and, while training a model that has one, of its auxiliary head."""

    main: Tensor
    auxiliary: Tensor | None


class SegmentationModel(nn.Module):
    """Compose a backbone and a decoder into RGB in, logits of the same height and width out.

    Pixels are normalised here, and pictures of any size are padded at the bottom and the right with the mean
    colour to the next multiple of the backbone's coarsest stride; the logits are cropped back. Nobody outside
    needs to know either.

    There is no road in the sky: a model can leave the top of its pictures out, as lane detectors do (``cut_height`` of
    RESA and CLRNet), and is faster by that share. Its answer for the first row that it sees goes on above.

    Args:
        backbone: a module that fulfils :class:`Backbone`.
        decoder: a module from the list of feature maps to logits (N, K, h, w) at any stride.
        auxiliary: an optional second head, from the list of feature maps to logits (N, K, h, w); used only by
            :meth:`training_logits`.
        normalization: of the RGB values in [0, 1] that the backbone expects.
        cut_top: share of the height that is not looked at, 0..0.5.

    Example:
        >>> model = build_model(LiteSpec(cut_top=0.25), num_classes=3)
        >>> model(torch.rand(1, 3, 90, 161)).shape
        torch.Size([1, 3, 90, 161])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        decoder: nn.Module,
        auxiliary: nn.Module | None,
        normalization: Normalization,
        cut_top: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.auxiliary = auxiliary
        self.cut_top = cut_top
        # Not persistent: the checkpoint's preprocessing is their one home.
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1), persistent=False)

    @property
    def stride(self) -> int:
        """The multiple to which heights and widths are padded."""
        strides: tuple[int, ...] = self.backbone.strides  # type: ignore[assignment]
        return max(strides)

    def num_seen(self, height: int) -> int:
        """Rows of a picture of ``height`` rows that are looked at, the lowest; where there are any, one at least."""
        # In whole numbers, which an export with free sizes can follow.
        share = 1 - Fraction(self.cut_top).limit_denominator(1000)
        return (height * share.numerator + share.denominator - 1) // share.denominator

    def below_cut(self, images: Tensor, axis: int = -2) -> Tensor:
        """Of the H rows along an axis the S that the network looks at."""
        if not self.cut_top:
            return images
        height = images.shape[axis]
        num_seen = self.num_seen(height)
        if not torch.compiler.is_exporting():
            return images.narrow(axis, height - num_seen, num_seen)
        # Of a slice torch would record what is true of the example's sizes alone.
        return images.index_select(axis, torch.arange(num_seen, device=images.device) + (height - num_seen))

    def above_too(self, answers: Tensor, height: int) -> Tensor:
        """Let the first row of (..., S or more, W) go on upwards: (..., H, W), H is ``height``."""
        if not self.cut_top:
            return answers
        rows = torch.arange(height, device=answers.device) - (height - self.num_seen(height))
        return answers.index_select(-2, rows.clamp(min=0))

    def forward(self, images: Tensor) -> Tensor:
        """Segment a batch.

        Args:
            images: (N, 3, H, W) RGB in [0, 1], any H and W.

        Returns:
            Logits (N, K, H, W).
        """
        return self._to_picture(self.decoder(self._features(self.below_cut(images))), images)

    def grid_logits(self, seen: Tensor) -> Tensor:
        """Like :meth:`forward` below the cut, but as the decoder gives them, unless the images had to be padded.

        Args:
            seen: (N, 3, S, W) RGB in [0, 1], any S and W; what :meth:`below_cut` leaves of pictures.

        Returns:
            Logits (N, K, h, w), which cover that exactly.
        """
        logits: Tensor = self.decoder(self._features(seen))
        height, width = seen.shape[-2:]
        if height % self.stride or width % self.stride:
            return self._enlarged(logits, seen)[..., :height, :width]
        return logits

    def training_logits(self, images: Tensor) -> TrainingLogits:
        """Like :meth:`forward`, with the auxiliary head's logits for deep supervision."""
        features = self._features(self.below_cut(images))
        main = self._to_picture(self.decoder(features), images)
        auxiliary = None if self.auxiliary is None else self._to_picture(self.auxiliary(features), images)
        return TrainingLogits(main, auxiliary)

    def _features(self, seen: Tensor) -> list[Tensor]:
        height, width = seen.shape[-2:]
        normalised = (seen - self.mean).div_(self.std)
        # Zero is the mean colour after normalisation.
        padded_height, padded_width = self._padded_size(seen)
        padded = F.pad(normalised, (0, padded_width - width, 0, padded_height - height))
        return self.backbone(padded)  # type: ignore[no-any-return]

    def _to_picture(self, logits: Tensor, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        enlarged = self._enlarged(logits, self.below_cut(images))
        if not self.cut_top:
            return enlarged[..., :height, :width]
        # Not a slice, see below_cut.
        return self.above_too(enlarged, height).index_select(-1, torch.arange(width, device=images.device))

    def _enlarged(self, logits: Tensor, seen: Tensor) -> Tensor:
        return F.interpolate(logits, size=self._padded_size(seen), mode="bilinear", align_corners=False)

    def _padded_size(self, seen: Tensor) -> tuple[int, int]:
        # Written as a multiple, so that an export with free sizes knows that all strides divide it.
        height, width = seen.shape[-2:]
        stride = self.stride
        return (height + stride - 1) // stride * stride, (width + stride - 1) // stride * stride
