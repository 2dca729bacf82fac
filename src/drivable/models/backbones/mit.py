"""Mix Transformer, SegFormer's encoder (Xie et al. 2021, sec. 3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Axes: N batch, C channels, h and w of a feature map, L = h w tokens.


@dataclass(frozen=True)
class _Plan:
    """A column of table 6 of the paper."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


_SMALL, _LARGE = (32, 64, 160, 256), (64, 128, 320, 512)
_PLANS = {
    "mit_b0": _Plan(_SMALL, (2, 2, 2, 2)),
    "mit_b1": _Plan(_LARGE, (2, 2, 2, 2)),
    "mit_b2": _Plan(_LARGE, (3, 4, 6, 3)),
    "mit_b3": _Plan(_LARGE, (3, 4, 18, 3)),
    "mit_b4": _Plan(_LARGE, (3, 8, 27, 3)),
    "mit_b5": _Plan(_LARGE, (3, 6, 40, 3)),
}
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_FFN_RATIO = 4
# As the published weights were trained.
_BLOCK_EPSILON = 1e-6


class MixTransformer(nn.Module):
    """Four stages of overlapping patches, reduced self-attention and Mix-FFN.

    Args:
        name: ``mit_b0`` to ``mit_b5``.
        drop_path: largest probability to skip a block while training; it rises linearly from 0 over the blocks.

    Example:
        >>> [f.shape[1] for f in MixTransformer("mit_b0", 0.1)(torch.zeros(1, 3, 64, 64))]
        [32, 64, 160, 256]
    """

    def __init__(self, name: str, drop_path: float) -> None:
        super().__init__()
        plan = _PLANS[name]
        self.channels = plan.widths
        self.strides = (4, 8, 16, 32)
        rates = iter(torch.linspace(0, drop_path, sum(plan.depths), device="cpu").tolist())
        in_channels = (3, *plan.widths[:-1])
        self.patch_embeddings = nn.ModuleList(
            _OverlapPatchEmbedding(previous, width, kernel=7 if i == 0 else 3, stride=4 if i == 0 else 2)
            for i, (previous, width) in enumerate(zip(in_channels, plan.widths, strict=True))
        )
        self.stages = nn.ModuleList(
            nn.ModuleList(_Block(width, heads, reduction, next(rates)) for _ in range(depth))
            for width, depth, heads, reduction in zip(plan.widths, plan.depths, _HEADS, _REDUCTIONS, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=_BLOCK_EPSILON) for width in plan.widths)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) normalised RGB -> feature maps at strides 4, 8, 16 and 32."""
        x, features = images, []
        for embed, stage, norm in zip(self.patch_embeddings, self.stages, self.norms, strict=True):
            tokens, size = embed(x)
            for block in stage:  # type: ignore[attr-defined]
                tokens = block(tokens, size)
            x = _to_map(norm(tokens), size)
            features.append(x)
        return features


class _OverlapPatchEmbedding(nn.Module):
    """A strided convolution whose windows overlap, so that neighbouring patches stay connected."""

    def __init__(self, in_channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(N, C, h, w) -> tokens (N, L, C) and their (h, w)."""
        x = self.proj(x)
        return self.norm(_to_tokens(x)), (x.shape[2], x.shape[3])


class _Block(nn.Module):
    """Attention and Mix-FFN, each with its normalisation before and a path that may be dropped."""

    def __init__(self, width: int, num_heads: int, reduction: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_BLOCK_EPSILON)
        self.attention = EfficientSelfAttention(width, num_heads, reduction)
        self.norm2 = nn.LayerNorm(width, eps=_BLOCK_EPSILON)
        self.ffn = _MixFFN(width)
        self.drop_path = drop_path

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        tokens = tokens + self._dropped(self.attention(self.norm1(tokens), size))
        return tokens + self._dropped(self.ffn(self.norm2(tokens), size))

    def _dropped(self, path: Tensor) -> Tensor:
        """Stochastic depth (Huang et al. 2016): drop the path for whole pictures, scale the others up."""
        if not self.training or self.drop_path == 0:
            return path
        keep = 1 - self.drop_path
        return path * path.new_empty(path.shape[0], 1, 1).bernoulli_(keep).div_(keep)


class EfficientSelfAttention(nn.Module):
    """Self-attention whose keys and values are reduced ``reduction`` times a side (eq. 1 and 2 of the paper)."""

    def __init__(self, width: int, num_heads: int, reduction: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.reduce = nn.Conv2d(width, width, reduction, reduction) if reduction > 1 else None
        self.reduce_norm = nn.LayerNorm(width) if reduction > 1 else None
        self.project = nn.Linear(width, width)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens (N, L, C) of a map of ``size`` (h, w) -> (N, L, C)."""
        query, key, value = self.heads(tokens, size)
        attended = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.project(attended.transpose(1, 2).flatten(2))
        return projected

    def heads(self, tokens: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (N, heads, L, d), keys and values (N, heads, L', d): what an attention map is computed from."""
        reduced = tokens
        if self.reduce is not None and self.reduce_norm is not None:
            reduced = self.reduce_norm(_to_tokens(self.reduce(_to_map(tokens, size))))
        return (
            self._split(self.query(tokens)),
            self._split(self.key(reduced)),
            self._split(self.value(reduced)),
        )

    def _split(self, x: Tensor) -> Tensor:
        num_pictures, num_tokens, width = x.shape
        return x.reshape(num_pictures, num_tokens, self.num_heads, width // self.num_heads).transpose(1, 2)


class _MixFFN(nn.Module):
    """Feed-forward with a depthwise 3x3 convolution in place of a positional encoding (eq. 3 of the paper)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width * _FFN_RATIO
        self.expand = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.project = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        x = self.depthwise(_to_map(self.expand(tokens), size))
        projected: Tensor = self.project(F.gelu(_to_tokens(x)))
        return projected


def _to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, L, C) -> (N, C, h, w)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *size)


def _to_tokens(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, L, C)."""
    return x.flatten(2).transpose(1, 2)


def _initialise(module: nn.Module) -> None:
    """As the authors' code: truncated normal for linear layers, fan-out for convolutions."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        assert module.bias is not None
        nn.init.zeros_(module.bias)
