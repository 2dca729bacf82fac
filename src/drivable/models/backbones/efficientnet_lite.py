"""EfficientNet-Lite0 to Lite2: EfficientNet (Tan & Le 2019) without squeeze-excite and with ReLU6.

Both changes, and a stem that is not scaled, make it keep its accuracy in int8 (the EfficientNet-Lite release notes of
the TensorFlow TPU models). Parameters are named as the figure names the parts; the classification head is left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.errors import ConfigError
from drivable.models.depthwise import DepthwiseConv2d

# TensorFlow's batch normalisation, with which the published weights were trained.
_BN_EPSILON = 1e-3
_STEM_CHANNELS = 32


@dataclass(frozen=True)
class _Stage:
    """A row of table 1 of the EfficientNet paper."""

    expansion: int
    channels: int
    num_blocks: int
    stride: int
    kernel: int


_STAGES = (
    _Stage(1, 16, 1, 1, 3),
    _Stage(6, 24, 2, 2, 3),
    _Stage(6, 40, 2, 2, 5),
    _Stage(6, 80, 3, 2, 3),
    _Stage(6, 112, 3, 1, 5),
    _Stage(6, 192, 4, 2, 5),
    _Stage(6, 320, 1, 1, 3),
)
# The last stage of each stride is what a decoder sees.
_TAPS = {1: 4, 2: 8, 4: 16, 6: 32}
# name -> (width factor, depth factor)
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}


class EfficientNetLite(nn.Module):
    """The feature pyramid of EfficientNet-Lite.

    Args:
        name: ``lite0``, ``lite1`` or ``lite2``.
        hidden_channels: of the expanding blocks, fine to coarse; six times those that come in where not given.

    Raises:
        ConfigError: where it is not one number for each of them.

    Example:
        >>> [f.shape[1] for f in EfficientNetLite("lite0")(torch.zeros(1, 3, 64, 64))]
        [24, 40, 112, 320]
    """

    def __init__(self, name: str, hidden_channels: Sequence[int] | None = None) -> None:
        super().__init__()
        width, depth = SCALES[name]
        given = None if hidden_channels is None else list(hidden_channels)
        num_expanding = 0
        self.stem = SameConv(3, _STEM_CHANNELS, kernel=3, stride=2)
        stages, channels, taps = [], _STEM_CHANNELS, []
        for index, stage in enumerate(_STAGES):
            out_channels = _round_to_8(stage.channels * width)
            # First and last stage are not deepened.
            is_inner = 0 < index < len(_STAGES) - 1
            num_blocks = math.ceil(stage.num_blocks * depth) if is_inner else stage.num_blocks
            blocks = []
            for block in range(num_blocks):
                stride = stage.stride if block == 0 else 1
                hidden = channels * stage.expansion
                if stage.expansion > 1:
                    if given is not None and num_expanding < len(given):
                        hidden = given[num_expanding]
                    num_expanding += 1
                blocks.append(_InvertedResidual(channels, out_channels, hidden, stage.kernel, stride))
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
            if index in _TAPS:
                taps.append(channels)
        if given is not None and len(given) != num_expanding:
            raise ConfigError(f"hidden_channels: {name} has {num_expanding} expanding blocks, got {len(given)} numbers")
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(taps)
        self.strides = tuple(_TAPS.values())
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised RGB, H and W multiples of 32 -> feature maps at strides 4, 8, 16 and 32."""
        x = self.stem(images)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in _TAPS:
                features.append(x)
        return features


class SameConv(nn.Module):
    """Convolution padded as TensorFlow's SAME does, batch normalisation and, unless linear, ReLU6."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        depthwise: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        # SAME pads (kernel - stride) in all for sizes that the stride divides, the odd pixel at the bottom and right.
        total = kernel - stride
        self.pad = (total // 2, total - total // 2)
        is_even = self.pad[0] == self.pad[1]
        padding = self.pad[0] if is_even else 0
        self.conv = (
            DepthwiseConv2d(out_channels, kernel, stride, padding)
            if depthwise
            else nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=_BN_EPSILON)
        self.pads_apart = not is_even
        self.linear = linear

    def pad_evenly(self) -> None:
        """Compute the same without a padded copy of the input: a leading row and column of zeros in the kernel let
        both sides be padded alike. Stride 2 leaves out the output that this would add."""
        if not self.pads_apart:
            return
        with torch.no_grad():
            self.conv.weight = nn.Parameter(F.pad(self.conv.weight, (1, 0, 1, 0)))
        self.conv.kernel_size = (self.conv.kernel_size[0] + 1,) * 2
        self.conv.padding = (self.pad[1],) * 2
        self.pads_apart = False

    def forward(self, x: Tensor) -> Tensor:
        if self.pads_apart:
            x = F.pad(x, self.pad * 2)
        x = self.bn(self.conv(x))
        return x if self.linear else F.relu6(x, inplace=True)


class _InvertedResidual(nn.Module):
    """MBConv: expand 1x1, depthwise, project 1x1 without activation (Sandler et al. 2018, fig. 4)."""

    def __init__(self, in_channels: int, out_channels: int, hidden: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.expand = SameConv(in_channels, hidden, kernel=1) if hidden != in_channels else nn.Identity()
        self.depthwise = SameConv(hidden, hidden, kernel, stride, depthwise=True)
        self.project = SameConv(hidden, out_channels, kernel=1, linear=True)
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds_input else y


def _round_to_8(channels: float) -> int:
    """Nearest multiple of 8 that is not more than 10 % below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _initialise(module: nn.Module) -> None:
    """As the authors' code: Gaussian weights of variance 2 / fan-out."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
