"""Bilinear resizing that every runtime computes alike, and fast."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def resize(x: Tensor, size: tuple[int, int], antialias: bool = False) -> Tensor:
    """Resize by bilinear interpolation.

    Exported, it is a product with one matrix of weights for rows and one for columns: OpenVINO drops ONNX's
    ``antialias``, and its own filtered resize takes three times as long as the products.

    Args:
        x: (N, C, H, W), floating point.
        size: (height, width).
        antialias: where it shrinks, a filter as wide as the shrinkage, as Pillow's ``BILINEAR`` has.

    Returns:
        (N, C, *size).

    Example:
        >>> resize(torch.zeros(1, 3, 9, 16), (18, 32)).shape
        torch.Size([1, 3, 18, 32])
    """
    if not torch.compiler.is_exporting():
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=antialias)
    rows, columns = (weights(n, to, antialias, x) for n, to in zip(x.shape[2:], size, strict=True))
    return rows @ x @ columns.transpose(0, 1)


def weights(num_from: int, num_to: int, antialias: bool, like: Tensor) -> Tensor:
    """(num_to, num_from): row i weighs the places that new place i is made of; rows sum to 1.

    A triangle around the middle of the new place, as high as its distance in units of 1 / (2 num_to), in whole numbers
    until it is divided: runtimes that compute in bfloat16 would lose the places of a large picture.
    """
    old = (2 * torch.arange(num_from, device=like.device) + 1) * num_to
    new = (2 * torch.arange(num_to, device=like.device) + 1) * num_from
    reach = 2 * (torch.sym_max(num_from, num_to) if antialias else num_to)  # type: ignore[no-untyped-call]
    heights = (reach - (old - new.unsqueeze(1)).abs()).clamp(min=0)
    return heights.to(like.dtype) / heights.sum(dim=1, keepdim=True).to(like.dtype)
