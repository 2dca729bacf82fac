"""Bilinear resizing that every runtime computes alike, and fast."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Of new places that share a window of old ones; more share more work, and waste more on places that are far apart.
_MOST_IN_BLOCK = 16
# Where their number is not known before; it divides the heights of most cameras.
_IN_FREE_BLOCK = 8


def resize(x: Tensor, size: tuple[int, int], antialias: bool = False) -> Tensor:
    """Resize by bilinear interpolation.

    Exported, it is a product with a matrix of weights for columns and small ones for rows: OpenVINO drops ONNX's
    ``antialias``.

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
    # Columns first: enlarging, that is fewer multiplications.
    columns = weights(x.shape[3], size[1], antialias, x)
    return _resize_rows(x @ columns.transpose(0, 1), size[0], antialias)


def resize_pixels(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize pictures as Pillow's ``BILINEAR`` does: columns, then rows, whole grey levels after each.

    Torch on a CPU has it in integers, a quarter of the time that floats take. Exported, where the product with one
    matrix for columns and one for rows would be with zeros mostly, it is one of small blocks of them.

    Args:
        pixels: (N, C, H, W) uint8.
        size: (height, width), known when it is exported.

    Returns:
        (N, C, *size) float32, 0..255 in whole numbers; of Pillow's a few are 1 off.

    Example:
        >>> resize_pixels(torch.full((1, 3, 9, 16), 7, dtype=torch.uint8), (6, 8)).unique()
        tensor([7.])
    """
    height, width = size
    if torch.compiler.is_exporting():
        # The products turn the axes round on their way, which costs less than transpositions of their own.
        columns = _places_last(pixels.permute(0, 3, 2, 1).flatten(2), width)  # (N, H * C, width)
        lines = columns.reshape(pixels.shape[0], pixels.shape[2], pixels.shape[1] * width)
        rows = _by_blocks(lines, height).reshape(pixels.shape[0], height, pixels.shape[1], width)
        return rows.permute(0, 2, 1, 3)
    if pixels.device.type == "cpu":
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True).float()
    columns = F.interpolate(
        pixels.float(), size=(pixels.shape[2], width), mode="bilinear", align_corners=False, antialias=True
    )
    return _whole(F.interpolate(_whole(columns), size=size, mode="bilinear", align_corners=False, antialias=True))


def weights(num_from: int, num_to: int, antialias: bool, like: Tensor) -> Tensor:
    """(num_to, num_from): row i weighs the places that new place i is made of; rows sum to 1."""
    old = torch.arange(num_from, device=like.device)
    new = torch.arange(num_to, device=like.device).unsqueeze(1)
    return _weights(old, new, num_from, num_to, antialias).to(like.dtype)


def _weights(old: Tensor, new: Tensor, num_from: int, num_to: int, antialias: bool) -> Tensor:
    """Weights of the old places for the new ones, float32, their shapes broadcast; over the last axis they sum to 1.

    A triangle around the middle of the new place, as high as its distance in units of 1 / (2 num_to), in whole numbers
    until it is divided: runtimes that compute in bfloat16 would lose the places of a large picture.
    """
    distance = ((2 * old + 1) * num_to - (2 * new + 1) * num_from).abs()
    heights = (_reach(num_from, num_to, antialias) - distance).clamp(min=0)
    return heights.float() / heights.sum(dim=-1, keepdim=True).float()


def _reach(num_from: int, num_to: int, antialias: bool) -> int:
    """How far from the middle of a new place the old ones count, in units of 1 / (2 num_to)."""
    reach: int = 2 * (torch.sym_max(num_from, num_to) if antialias else num_to)  # type: ignore[no-untyped-call]
    return reach


def _whole(x: Tensor) -> Tensor:
    """Nearest whole number; halves, which products meet a little above or below, go up. Also right in bfloat16."""
    return torch.round(x + 2**-10)


def _places_last(x: Tensor, num_to: int) -> Tensor:
    """(N, places, R) -> (N, R, num_to) float32, whole numbers."""
    taken, by_block = _taken(x, num_to)
    return _whole(taken.transpose(2, 3) @ by_block.transpose(1, 2)).transpose(1, 2).flatten(2)


def _by_blocks(x: Tensor, num_to: int) -> Tensor:
    """(N, places, R) -> (N, num_to, R) float32, whole numbers."""
    taken, by_block = _taken(x, num_to)
    return _whole(by_block @ taken).flatten(1, 2)


def _taken(x: Tensor, num_to: int) -> tuple[Tensor, Tensor]:
    """The windows (N, blocks, window, R) of (N, places, R) float32, and the weights (blocks, length, window)."""
    length = max(divisor for divisor in range(1, _MOST_IN_BLOCK + 1) if num_to % divisor == 0)
    old, by_block = blocks(x.shape[1], num_to, length, True, x)
    return x.index_select(1, old.flatten()).float().reshape(x.shape[0], *old.shape, x.shape[2]), by_block


def _resize_rows(x: Tensor, num_to: int, antialias: bool) -> Tensor:
    """(N, C, H, W) -> (N, C, num_to, W), whatever num_to is."""
    old, by_block = blocks(x.shape[2], num_to, _IN_FREE_BLOCK, antialias, x)
    taken = x.index_select(2, old.flatten())
    taken = taken.reshape(*x.shape[:2], *old.shape, x.shape[3])  # (N, C, blocks, window, W)
    rows = (by_block.to(x.dtype) @ taken).flatten(2, 3)
    # Not a slice: of it torch would record that no height is a whole number of blocks.
    return rows.index_select(2, torch.arange(num_to, device=x.device))


def blocks(num_from: int, num_to: int, length: int, antialias: bool, like: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks of neighbouring new places, which depend on one window of old ones: one small product a block.

    Args:
        num_from: old places.
        num_to: new places.
        length: new places in a block.
        antialias: see :func:`resize`.
        like: a tensor on the device that is wanted.

    Returns:
        The old places (blocks, window) and their weights (blocks, length, window) for the new ones; of the last block,
        those beyond ``num_to`` mean nothing.

    Example:
        >>> [tensor.shape for tensor in blocks(360, 256, 16, True, torch.empty(0))]
        [torch.Size([16, 25]), torch.Size([16, 16, 25])]
    """
    first = torch.arange(0, num_to, length, device=like.device).unsqueeze(1)
    reach = _reach(num_from, num_to, antialias)
    window = torch.sym_min(num_from, (2 * (length - 1) * num_from + 2 * reach) // (2 * num_to) + 2)  # type: ignore[no-untyped-call]
    start = ((2 * first + 1) * num_from - reach - num_to).clamp(min=0) // (2 * num_to)
    old = start.clamp(max=num_from - window) + torch.arange(window, device=like.device)
    new = first + torch.arange(length, device=like.device)
    return old, _weights(old.unsqueeze(1), new.unsqueeze(2), num_from, num_to, antialias)
