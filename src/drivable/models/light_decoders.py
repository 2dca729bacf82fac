"""Light decoders, from a backbone's feature maps at strides 4 to 32 to logits at stride 4.

Everything in them survives int8: convolutions with batch normalisation and ReLU6, average pooling, bilinear
upsampling. Only the gate of LR-ASPP is a sigmoid, as its authors have it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.models.depthwise import DepthwiseConv2d
from drivable.models.pooling import CellAverage, averaging
from drivable.models.resizing import weights

_BINS = (1, 2, 3, 6)
_ATROUS_RATES = (2, 4, 6)
_LOW_LEVEL_CHANNELS = 48


class PyramidDecoder(nn.Module):
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
        self.laterals = nn.ModuleList(_pointwise(c, channels) for c in in_channels)
        self.context = _PyramidPooling(channels)
        self.smooth = nn.ModuleList(_separable(channels, num_layers=2) for _ in in_channels[:-1])
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        *finer, coarsest = [lateral(feature) for lateral, feature in zip(self.laterals, features, strict=True)]
        x = self.context(coarsest)
        for lateral, smooth in zip(reversed(finer), self.smooth, strict=True):
            x = smooth(_resize_to(x, lateral) + lateral)
        logits: Tensor = self.classify(self.dropout(x))
        return logits


class AtrousDecoder(nn.Module):
    """DeepLabv3+ (Chen et al. 2018, fig. 2) with depthwise separable convolutions throughout (its sec. 3.2).

    Atrous convolutions see the map at stride 16; the stride-32 map joins it there.

    Args:
        in_channels: of the feature maps, fine to coarse.
        channels: of the decoder.
        num_classes: K.
        dropout: before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        finest, _, middle, coarsest = in_channels
        self.reduce = _pointwise(middle + coarsest, channels)
        self.branches = nn.ModuleList(
            [_pointwise(channels, channels)]
            + [_separable(channels, num_layers=1, dilation=rate) for rate in _ATROUS_RATES]
        )
        self.pool = _pooled(channels, channels, bins=1)
        self.fuse = _pointwise((len(self.branches) + 1) * channels, channels)
        self.low_level = _pointwise(finest, _LOW_LEVEL_CHANNELS)
        self.merge = _pointwise(channels + _LOW_LEVEL_CHANNELS, channels)
        self.smooth = _separable(channels, num_layers=2)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        finest, _, middle, coarsest = features
        x = self.reduce(torch.cat([middle, _resize_to(coarsest, middle)], dim=1))
        x = self.fuse(torch.cat([*(branch(x) for branch in self.branches), _resize_to(self.pool(x), x)], dim=1))
        x = self.merge(torch.cat([_resize_to(x, finest), self.low_level(finest)], dim=1))
        logits: Tensor = self.classify(self.dropout(self.smooth(x)))
        return logits


class MLPDecoder(nn.Module):
    """SegFormer's all-MLP head (Xie et al. 2021, eq. 4): project, upsample, concatenate, fuse.

    Args:
        in_channels: of the feature maps, fine to coarse.
        channels: of the decoder.
        num_classes: K.
        dropout: before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in in_channels)
        self.fuse = _pointwise(len(in_channels) * channels, channels)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        projected = [project(feature) for project, feature in zip(self.project, features, strict=True)]
        x = self.fuse(torch.cat([_resize_to(x, features[0]) for x in projected], dim=1))
        logits: Tensor = self.classify(self.dropout(x))
        return logits


class LRASPPDecoder(nn.Module):
    """LR-ASPP (Howard et al. 2019, fig. 10): the stride-16 map, gated by its own mean, added to a finer one.

    Args:
        in_channels: of the feature maps, fine to coarse.
        channels: of the decoder.
        num_classes: K.
        dropout: before the classifier.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        finest, _, middle, coarsest = in_channels
        self.value = _pointwise(middle + coarsest, channels)
        self.gate = nn.Sequential(CellAverage(1), nn.Conv2d(middle + coarsest, channels, 1), nn.Sigmoid())
        self.dropout = nn.Dropout2d(dropout)
        self.classify_fine = nn.Conv2d(finest, num_classes, 1)
        self.classify_coarse = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Feature maps, fine to coarse -> logits (N, K, H / 4, W / 4)."""
        finest, _, middle, coarsest = features
        x = torch.cat([middle, _resize_to(coarsest, middle)], dim=1)
        coarse = self.classify_coarse(self.dropout(self.value(x) * self.gate(x)))
        logits: Tensor = self.classify_fine(finest) + _resize_to(coarse, finest)
        return logits


LIGHT_DECODERS: dict[str, Callable[[Sequence[int], int, int, float], nn.Module]] = {
    "pyramid": PyramidDecoder,
    "atrous": AtrousDecoder,
    "mlp": MLPDecoder,
    "lraspp": LRASPPDecoder,
}


class _PyramidPooling(nn.Module):
    """Averages over 1, 2, 3 and 6 cells a side, each reduced, brought back and fused with the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = channels // len(_BINS)
        self.branches = nn.ModuleList(_pooled(channels, reduced, bins) for bins in _BINS)
        self.fuse = _pointwise(channels + reduced * len(_BINS), channels)

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            contexts = [self._at_once(x)]
        else:
            contexts = [_resize_to(branch(x), x) for branch in self.branches]
        fused: Tensor = self.fuse(torch.cat([x, *contexts], dim=1))
        return fused

    def _at_once(self, x: Tensor) -> Tensor:
        """What the branches say, side by side, by one product for averages, one convolution, one product to bring back.

        On a map of 8x14, one operation more costs more than the arithmetic that it saves.
        """
        num_cells = sum(bins**2 for bins in _BINS)
        averages, enlargements = [], []
        before = 0
        for bins in _BINS:
            averages.append(_for_maps(*(averaging(length, bins, x) for length in x.shape[2:])))
            enlargement = _for_maps(*(weights(bins, length, False, x) for length in x.shape[2:]))
            # Every branch reduces every cell; those of others weigh 0.
            enlargements.append(F.pad(enlargement, (before, num_cells - before - bins**2)))
            before += bins**2
        cells = x.flatten(2) @ torch.cat(averages).transpose(0, 1)  # (N, C, cells)
        layers = [layer for layer in self.branches.modules() if isinstance(layer, nn.Conv2d)]
        weight = torch.cat([layer.weight for layer in layers])
        bias = torch.cat([layer.bias for layer in layers if layer.bias is not None])
        reduced = F.relu6(F.conv2d(cells.unsqueeze(3), weight, bias))
        by_branch = reduced.reshape(x.shape[0], len(_BINS), -1, num_cells)
        enlarged: Tensor = by_branch @ torch.stack(enlargements).transpose(1, 2)
        return enlarged.reshape(x.shape[0], -1, *x.shape[2:])


def _for_maps(rows: Tensor, columns: Tensor) -> Tensor:
    """Kronecker's product: what does both to a map whose rows follow each other."""
    product = rows[:, None, :, None] * columns[None, :, None, :]
    return product.reshape(rows.shape[0] * columns.shape[0], rows.shape[1] * columns.shape[1])


def _pooled(in_channels: int, out_channels: int, bins: int) -> nn.Sequential:
    # No batch normalisation: a single cell of a single picture has no statistics.
    return nn.Sequential(CellAverage(bins), nn.Conv2d(in_channels, out_channels, 1), nn.ReLU6(inplace=True))


def _pointwise(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True)
    )


def _separable(channels: int, num_layers: int, dilation: int = 1) -> nn.Sequential:
    """Depthwise 3x3, pointwise 1x1, so many times over."""
    layers: list[nn.Module] = []
    for _ in range(num_layers):
        depthwise = DepthwiseConv2d(channels, kernel=3, padding=dilation, dilation=dilation)
        layers += [nn.Sequential(depthwise, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))]
        layers += [_pointwise(channels, channels)]
    return nn.Sequential(*layers)


def _resize_to(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
