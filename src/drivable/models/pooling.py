"""Averages over a grid of cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CellAverage(nn.Module):
    """Average over a grid of cells: :class:`torch.nn.AdaptiveAvgPool2d` that other runtimes can have too.

    Cell i of b covers rows floor(i n / b) to ceil((i + 1) n / b) - 1 of n. ONNX has no such pooling; exported, it is a
    product with the matrices that average rows and columns.

    Args:
        cells: a side.

    Example:
        >>> CellAverage(2)(torch.zeros(1, 8, 9, 16)).shape
        torch.Size([1, 8, 2, 2])
    """

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, cells, cells)."""
        if not torch.compiler.is_exporting():
            return F.adaptive_avg_pool2d(x, self.cells)
        if self.cells == 1:
            return x.mean(dim=(2, 3), keepdim=True)
        rows, columns = (averaging(length, self.cells, x) for length in x.shape[2:])
        return rows @ x @ columns.transpose(0, 1)

    def extra_repr(self) -> str:
        """What tells one from another."""
        return str(self.cells)


def averaging(length: int, cells: int, like: Tensor) -> Tensor:
    """(cells, length): row i averages the places of cell i."""
    place = torch.arange(length, device=like.device)
    cell = torch.arange(cells, device=like.device).unsqueeze(1)
    first, end = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
    return ((place >= first) & (place < end)).to(like.dtype) / (end - first)
