"""UNet (Ronneberger et al. 2015, fig. 1), padded and with batch normalisation.

The contracting path is the backbone, the expanding path the decoder; there are no pretrained weights for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from drivable.config.models import Normalization, UNetSpec
from drivable.models.segmentation_model import SegmentationModel


def build_unet(spec: UNetSpec, num_classes: int, normalization: Normalization) -> SegmentationModel:
    """The model with random weights."""
    decoder = ExpandingPath(spec.widths, num_classes)
    return SegmentationModel(ContractingPath(spec.widths), decoder, None, normalization, spec.cut_top)


class ContractingPath(nn.Module):
    """Double convolutions with max pooling between them.

    Args:
        widths: channels of each level, the last one the bottleneck's.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(widths)
        self.strides = tuple(2**level for level in range(len(widths)))
        self.levels = nn.ModuleList(
            _double_conv(before, width) for before, width in zip((3, *widths), widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised RGB -> feature maps at strides 1, 2, 4, ..."""
        features: list[Tensor] = []
        for level in self.levels:
            features.append(level(self.pool(features[-1]) if features else images))
        return features


class ExpandingPath(nn.Module):
    """Transposed convolutions, each joined by the contracting path's map of its size.

    Args:
        widths: as of the contracting path.
        num_classes: K.
    """

    def __init__(self, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for coarse, fine in steps)
        self.levels = nn.ModuleList(_double_conv(2 * fine, fine) for _, fine in steps)
        self.classify = nn.Conv2d(widths[0], num_classes, 1)
        self.apply(_initialise)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H, W)."""
        *skips, x = features
        for up, level, skip in zip(self.ups, self.levels, reversed(skips), strict=True):
            x = level(torch.cat([skip, up(x)], dim=1))
        logits: Tensor = self.classify(x)
        return logits


def _double_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _initialise(module: nn.Module) -> None:
    """Gaussian weights of variance 2 / fan-in, which keep the variance through convolution and ReLU (sec. 3)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
