"""The small model: EfficientNet-Lite and a light decoder."""

from __future__ import annotations

from drivable.config.models import LiteSpec, Normalization
from drivable.models.backbones.efficientnet_lite import EfficientNetLite
from drivable.models.light_decoders import LIGHT_DECODERS
from drivable.models.segmentation_model import SegmentationModel


def build_lite(spec: LiteSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights.

    Raises:
        ConfigError: where ``hidden_channels`` does not have one number for each expanding block.
    """
    backbone = EfficientNetLite(spec.backbone, spec.hidden_channels)
    decoder = LIGHT_DECODERS[spec.decoder](backbone.channels, spec.decoder_channels, num_classes, spec.dropout)
    return SegmentationModel(backbone, decoder, None, normalization, spec.cut_top)
