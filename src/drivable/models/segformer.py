"""SegFormer (Xie et al. 2021): a Mix Transformer and a decoder of nothing but linear layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.config.models import Normalization, SegFormerSpec
from drivable.models.backbones.mit import MixTransformer
from drivable.models.segmentation_model import SegmentationModel


def build_segformer(spec: SegFormerSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights."""
    backbone = MixTransformer(spec.name.replace("segformer", "mit"), spec.drop_path)
    decoder = AllMLPDecoder(backbone.channels, spec.decoder_channels, num_classes, spec.dropout)
    return SegmentationModel(backbone, decoder, None, normalization, spec.cut_top)


class AllMLPDecoder(nn.Module):
    """Bring all maps to one width and to stride 4, fuse, classify (eq. 4).

    Args:
        in_channels: of the feature maps, fine to coarse.
        channels: the common width.
        num_classes: K.
        dropout: of whole channels, before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        # A linear layer per token is a 1x1 convolution of the map.
        self.unify = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.fuse = nn.Sequential(
            nn.Conv2d(channels * len(in_channels), channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        size = features[0].shape[-2:]
        unified = [
            F.interpolate(unify(feature), size=size, mode="bilinear", align_corners=False)
            for unify, feature in zip(self.unify, features, strict=True)
        ]
        # Coarse to fine, the order in which the authors' weights join them.
        logits: Tensor = self.classify(self.dropout(self.fuse(torch.cat(unified[::-1], dim=1))))
        return logits
