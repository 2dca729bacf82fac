"""FCN (Long et al. 2015): one head on the coarsest feature map, upsampled in one step.

With a 3x3 head on ResNet, as in the reference implementations that the course compared with.
"""

from __future__ import annotations

from torch import Tensor, nn

from drivable.config.models import FCNSpec, Normalization
from drivable.models.backbones.resnet import ResNet
from drivable.models.segmentation_model import SegmentationModel


def build_fcn(spec: FCNSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights."""
    backbone = ResNet(spec.backbone, spec.output_stride)
    head = FCNHead(backbone.channels[-1], backbone.channels[-1] // 4, num_classes, spec.dropout, feature=-1)
    return SegmentationModel(backbone, head, None, normalization, spec.cut_top)


class FCNHead(nn.Module):
    """conv 3x3, batch normalisation, ReLU, dropout, conv 1x1 on one of the feature maps.

    Args:
        in_channels: of that feature map.
        channels: between the convolutions.
        num_classes: K.
        dropout: of whole channels, before the classifier.
        feature: index of the feature map, -1 for the coarsest.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, dropout: float, feature: int) -> None:
        super().__init__()
        self.feature = feature
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
            nn.Conv2d(channels, num_classes, 1),
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps -> logits (N, K, h, w) at the chosen map's stride."""
        logits: Tensor = self.layers(features[self.feature])
        return logits
