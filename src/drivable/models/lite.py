"""The small model: EfficientNet-Lite, pyramid pooling for context, and a light top-down decoder.

Everything in it survives int8: convolutions with batch normalisation and ReLU6, average pooling, bilinear upsampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.config.models import LiteSpec, Normalization
from drivable.models.backbones.efficientnet_lite import EfficientNetLite
from drivable.models.depthwise import DepthwiseConv2d
from drivable.models.segmentation_model import SegmentationModel

_BINS = (1, 2, 3, 6)


def build_lite(spec: LiteSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights."""
    backbone = EfficientNetLite(spec.backbone)
    decoder = LiteDecoder(backbone.channels, spec.decoder_channels, num_classes, spec.dropout)
    return SegmentationModel(backbone, decoder, None, normalization)


class LiteDecoder(nn.Module):
    """Pyramid pooling on the coarsest map (Zhao et al. 2017), then top-down additions to the finest (Lin et al. 2017)
    with depthwise separable smoothing.

    Args:
        in_channels: of the feature maps, fine to coarse.
        channels: of the decoder.
        num_classes: K.
        dropout: before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_conv_bn_relu6(c, channels) for c in in_channels)
        self.context = _PyramidPooling(channels)
        self.smooth = nn.ModuleList(_separable(channels) for _ in in_channels[:-1])
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        *finer, coarsest = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        x = self.context(coarsest)
        for lateral, smooth in zip(reversed(finer), self.smooth, strict=True):
            x = F.interpolate(x, size=lateral.shape[-2:], mode="bilinear", align_corners=False)
            x = smooth(x + lateral)
        logits: Tensor = self.classify(self.dropout(x))
        return logits


class _PyramidPooling(nn.Module):
    """Averages over 1, 2, 3 and 6 cells a side, each reduced, brought back and fused with the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = channels // len(_BINS)
        self.branches = nn.ModuleList(
            # No batch normalisation: a single cell of a single picture has no statistics.
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), nn.Conv2d(channels, reduced, 1), nn.ReLU6(inplace=True))
            for bins in _BINS
        )
        self.fuse = _conv_bn_relu6(channels + reduced * len(_BINS), channels)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        pooled = [F.interpolate(b(x), size=size, mode="bilinear", align_corners=False) for b in self.branches]
        fused: Tensor = self.fuse(torch.cat([x, *pooled], dim=1))
        return fused


def _conv_bn_relu6(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True)
    )


def _separable(channels: int) -> nn.Sequential:
    """Depthwise 3x3, pointwise 1x1, twice over for a wider view."""
    layers: list[nn.Module] = []
    for _ in range(2):
        depthwise = DepthwiseConv2d(channels, kernel=3, padding=1)
        layers += [nn.Sequential(depthwise, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))]
        layers += [_conv_bn_relu6(channels, channels)]
    return nn.Sequential(*layers)
