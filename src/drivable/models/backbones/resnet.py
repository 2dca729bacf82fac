"""ResNet (He et al. 2016), dilated where a decoder wants finer feature maps.

Parameters carry the names that torchvision and timm use, so published weights load as they are. Bottlenecks put the
stride on the 3x3 convolution ("v1.5"), as those weights expect.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class _Plan:
    """Rows of table 1 of the paper."""

    bottleneck: bool
    num_blocks: tuple[int, int, int, int]


_PLANS = {
    "resnet18": _Plan(False, (2, 2, 2, 2)),
    "resnet34": _Plan(False, (3, 4, 6, 3)),
    "resnet50": _Plan(True, (3, 4, 6, 3)),
    "resnet101": _Plan(True, (3, 4, 23, 3)),
}
_WIDTHS = (64, 128, 256, 512)


class ResNet(nn.Module):
    """The four stages of a ResNet.

    Args:
        name: ``resnet18``, ``resnet34``, ``resnet50`` or ``resnet101``.
        output_stride: of the last feature map, 8, 16 or 32. Below 32 the last stages keep their resolution and
            dilate their 3x3 convolutions instead (Chen et al. 2017): the one that gave up its stride still by the rate
            before, those after it by the new one.

    Example:
        >>> [f.shape[1:] for f in ResNet("resnet18", 16)(torch.zeros(1, 3, 64, 64))][-1]
        torch.Size([512, 4, 4])
    """

    def __init__(self, name: str, output_stride: int = 32) -> None:
        super().__init__()
        plan = _PLANS[name]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        block = _Bottleneck if plan.bottleneck else _BasicBlock
        channels, stride, dilation = 64, 4, 1
        stages, strides = [], []
        for index, (width, num_blocks) in enumerate(zip(_WIDTHS, plan.num_blocks, strict=True)):
            first_dilation, step = dilation, 1 if index == 0 else 2
            if stride * step > output_stride:
                dilation, step = dilation * step, 1
            stride *= step
            blocks = []
            for position in range(num_blocks):
                rate = first_dilation if position == 0 else dilation
                blocks.append(block(channels, width, step if position == 0 else 1, rate, dilation))
                channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
            strides.append(stride)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = tuple(width * block.expansion for width in _WIDTHS)
        self.strides = tuple(strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised RGB -> four feature maps, fine to coarse."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(images))))
        features = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            features.append(x)
        return features


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (fig. 5, left)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, first_dilation: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride, first_dilation)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, 1, dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (fig. 5, right)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, first_dilation: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride, first_dilation)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def _conv3x3(in_channels: int, out_channels: int, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
