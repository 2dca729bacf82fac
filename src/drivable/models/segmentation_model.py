"""The shape every model has: a backbone's feature maps, a decoder's logits, and the arithmetic around them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.config.models import Normalization

# Axes: N batch, C channels, K classes, H and W rows and columns of the picture, h and w of a feature map.


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

    Args:
        backbone: a module that fulfils :class:`Backbone`.
        decoder: a module from the list of feature maps to logits (N, K, h, w) at any stride.
        auxiliary: an optional second head, from the list of feature maps to logits (N, K, h, w); used only by
            :meth:`training_logits`.
        normalization: of the RGB values in [0, 1] that the backbone expects.

    Example:
        >>> model = build_model(LiteSpec(), num_classes=3)
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
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = decoder
        self.auxiliary = auxiliary
        # Not persistent: the checkpoint's preprocessing is their one home.
        self.register_buffer("mean", torch.tensor(normalization.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(normalization.std).view(1, 3, 1, 1), persistent=False)

    @property
    def stride(self) -> int:
        """The multiple to which heights and widths are padded."""
        strides: tuple[int, ...] = self.backbone.strides  # type: ignore[assignment]
        return max(strides)

    def forward(self, images: Tensor) -> Tensor:
        """Segment a batch.

        Args:
            images: (N, 3, H, W) RGB in [0, 1], any H and W.

        Returns:
            Logits (N, K, H, W).
        """
        return self._to_picture(self.decoder(self._features(images)), images)

    def grid_logits(self, images: Tensor) -> Tensor:
        """Like :meth:`forward`, but as the decoder gives them, unless the images had to be padded.

        Args:
            images: (N, 3, H, W) RGB in [0, 1], any H and W.

        Returns:
            Logits (N, K, h, w), which cover the images exactly.
        """
        logits: Tensor = self.decoder(self._features(images))
        height, width = images.shape[-2:]
        return self._to_picture(logits, images) if height % self.stride or width % self.stride else logits

    def training_logits(self, images: Tensor) -> TrainingLogits:
        """Like :meth:`forward`, with the auxiliary head's logits for deep supervision."""
        features = self._features(images)
        main = self._to_picture(self.decoder(features), images)
        auxiliary = None if self.auxiliary is None else self._to_picture(self.auxiliary(features), images)
        return TrainingLogits(main, auxiliary)

    def _features(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[-2:]
        normalised = (images - self.mean).div_(self.std)
        # Zero is the mean colour after normalisation.
        padded_height, padded_width = self._padded_size(images)
        padded = F.pad(normalised, (0, padded_width - width, 0, padded_height - height))
        return self.backbone(padded)  # type: ignore[no-any-return]

    def _to_picture(self, logits: Tensor, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        upsampled = F.interpolate(logits, size=self._padded_size(images), mode="bilinear", align_corners=False)
        return upsampled[..., :height, :width]

    def _padded_size(self, images: Tensor) -> tuple[int, int]:
        # Written as a multiple, so that an export with free sizes knows that all strides divide it.
        height, width = images.shape[-2:]
        stride = self.stride
        return (height + stride - 1) // stride * stride, (width + stride - 1) // stride * stride
