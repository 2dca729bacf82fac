"""DeepLabv3+ (Chen et al. 2018): atrous spatial pyramid pooling and a decoder with one fine skip.

The image-pooling branch is normalised over the batch alone, so training needs at least two pictures a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.config.models import DeepLabV3PlusSpec, Normalization
from drivable.models.backbones.resnet import ResNet
from drivable.models.pooling import CellAverage
from drivable.models.segmentation_model import SegmentationModel

_CHANNELS = 256
_LOW_LEVEL_CHANNELS = 48
_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}


def build_deeplabv3plus(spec: DeepLabV3PlusSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights."""
    backbone = ResNet(spec.backbone, spec.output_stride)
    low_level, *_, high_level = backbone.channels
    decoder = DeepLabDecoder(low_level, high_level, _RATES[spec.output_stride], num_classes, spec.dropout)
    return SegmentationModel(backbone, decoder, None, normalization, spec.cut_top)


class DeepLabDecoder(nn.Module):
    """ASPP on the coarsest map, joined by the stride-4 map (fig. 2).

    Args:
        low_level: channels of the finest feature map.
        high_level: channels of the coarsest one.
        rates: of the three atrous convolutions.
        num_classes: K.
        dropout: after the pyramid.
    """

    def __init__(self, low_level: int, high_level: int, rates: Sequence[int], num_classes: int, dropout: float) -> None:
        super().__init__()
        self.aspp = ASPP(high_level, rates, dropout)
        self.project_low_level = _conv_bn_relu(low_level, _LOW_LEVEL_CHANNELS, 1)
        self.refine = nn.Sequential(
            _conv_bn_relu(_CHANNELS + _LOW_LEVEL_CHANNELS, _CHANNELS, 3),
            _conv_bn_relu(_CHANNELS, _CHANNELS, 3),
        )
        self.classify = nn.Conv2d(_CHANNELS, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        fine = self.project_low_level(features[0])
        coarse = F.interpolate(self.aspp(features[-1]), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.classify(self.refine(torch.cat([coarse, fine], dim=1)))
        return logits


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling with image-level features (Chen et al. 2017, fig. 5).

    Args:
        in_channels: of the feature map.
        rates: of the atrous convolutions.
        dropout: after the projection.
    """

    def __init__(self, in_channels: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                _conv_bn_relu(in_channels, _CHANNELS, 1),
                *(_conv_bn_relu(in_channels, _CHANNELS, 3, r) for r in rates),
            ]
        )
        self.image_pooling = nn.Sequential(CellAverage(1), _conv_bn_relu(in_channels, _CHANNELS, 1))
        self.project = nn.Sequential(_conv_bn_relu(_CHANNELS * (len(rates) + 2), _CHANNELS, 1), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, 256, h, w)."""
        pooled = self.image_pooling(x).expand(-1, -1, *x.shape[-2:])
        projected: Tensor = self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))
        return projected


def _conv_bn_relu(in_channels: int, out_channels: int, kernel: int, rate: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2 * rate, dilation=rate, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
