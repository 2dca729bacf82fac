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

    def fold(self) -> None:
        """Multiply the fusing layer into the four before it; its batch normalisation must have been folded.

        Both are linear, and so is the enlarging between them, whose weights add up to one:
        ``W cat_i(up(U_i x_i)) = sum_i up(W_i U_i x_i)``. What is most of the decoder's work at stride 4 is then done
        at each map's own stride: 36 of the 71.9 GMACs of SegFormer-B3 at 360x640 with its authors' 768 channels.

        Raises:
            ValueError: where it was folded before, or its batch normalisation was not.
        """
        fuse, norm, _ = self.fuse
        if not isinstance(fuse, nn.Conv2d) or not isinstance(norm, nn.Identity):
            raise ValueError("fold() is for once, after the batch normalisation has been folded")
        assert fuse.bias is not None
        with torch.no_grad():
            parts = fuse.weight.flatten(1).chunk(len(self.unify), dim=1)
            for unify, part in zip(list(self.unify)[::-1], parts, strict=True):
                assert isinstance(unify, nn.Conv2d)
                assert unify.bias is not None
                unify.weight.copy_((part @ unify.weight.flatten(1))[:, :, None, None])
                unify.bias.copy_(part @ unify.bias + fuse.bias / len(parts))
        self.fuse[0] = nn.Identity()

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        size = features[0].shape[-2:]
        unified = [
            F.interpolate(unify(feature), size=size, mode="bilinear", align_corners=False)
            for unify, feature in zip(self.unify, features, strict=True)
        ]
        # Coarse to fine, the order in which the authors' weights join them.
        is_folded = isinstance(self.fuse[0], nn.Identity)
        joined = sum(unified[1:], unified[0]) if is_folded else torch.cat(unified[::-1], dim=1)
        logits: Tensor = self.classify(self.dropout(self.fuse(joined)))
        return logits
