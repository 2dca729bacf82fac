"""PSPNet (Zhao et al. 2017): averages over the whole picture and its parts tell a pixel where it is.

The one-cell bin is normalised over the batch alone, so training needs at least two pictures a batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.config.models import Normalization, PSPNetSpec
from drivable.models.backbones.resnet import ResNet
from drivable.models.fcn import FCNHead
from drivable.models.pooling import CellAverage
from drivable.models.segmentation_model import SegmentationModel

_CHANNELS = 512
_AUXILIARY_CHANNELS = 256


def build_pspnet(spec: PSPNetSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights; its auxiliary head hangs on the third stage (sec. 3.3)."""
    backbone = ResNet(spec.backbone, spec.output_stride)
    decoder = PyramidPoolingHead(backbone.channels[-1], spec.bins, num_classes, spec.dropout)
    auxiliary = (
        FCNHead(backbone.channels[-2], _AUXILIARY_CHANNELS, num_classes, spec.dropout, feature=-2)
        if spec.auxiliary
        else None
    )
    return SegmentationModel(backbone, decoder, auxiliary, normalization, spec.cut_top)


class PyramidPoolingHead(nn.Module):
    """Pool into bins, reduce, bring back, join, classify (fig. 3).

    Args:
        in_channels: of the coarsest feature map.
        bins: cells a side of each pooling.
        num_classes: K.
        dropout: of whole channels, before the classifier.
    """

    def __init__(self, in_channels: int, bins: Sequence[int], num_classes: int, dropout: float) -> None:
        super().__init__()
        reduced = in_channels // len(bins)
        self.pyramid = nn.ModuleList(
            nn.Sequential(
                CellAverage(cells),
                nn.Conv2d(in_channels, reduced, 1, bias=False),
                nn.BatchNorm2d(reduced),
                nn.ReLU(inplace=True),
            )
            for cells in bins
        )
        self.head = nn.Sequential(
            nn.Conv2d(in_channels + reduced * len(bins), _CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(_CHANNELS),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(_CHANNELS, num_classes, 1),
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps -> logits (N, K, h, w) at the coarsest map's stride."""
        x = features[-1]
        pooled = [F.interpolate(b(x), size=x.shape[-2:], mode="bilinear", align_corners=False) for b in self.pyramid]
        logits: Tensor = self.head(torch.cat([x, *pooled], dim=1))
        return logits
