"""What is exported: the whole segmenter, pixels in and ids or probabilities out."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from drivable.segmenter.description import ExportDescription
from drivable.segmenter.graph import SegmenterGraph

Outputs = Literal["ids", "probabilities"]
Upsampling = Literal["exact", "fast"]
# The first axes of the pictures.
FREE_AXES = ("batch", "height", "width")


class ExportedGraph(nn.Module):
    """RGB (N, H, W, 3) uint8 of any size in; ids (N, H, W) uint8 or probabilities (N, K, H, W) float32 out.

    Args:
        segmenter: resizes, normalises, pads, runs the network.
        outputs: what comes out.
        upsampling: ``exact`` enlarges logits and then chooses; ``fast`` chooses on the network's own grid and enlarges
            ids, which leaves steps of that grid at borders.

    Example:
        >>> ExportedGraph(segmenter, "ids", "exact")(torch.zeros(1, 90, 150, 3, dtype=torch.uint8)).shape
        torch.Size([1, 90, 150])
    """

    def __init__(self, segmenter: SegmenterGraph, outputs: Outputs, upsampling: Upsampling) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.outputs = outputs
        self.upsampling = upsampling

    def forward(self, images: Tensor) -> Tensor:
        """Pixels -> ids or probabilities."""
        if self.outputs == "probabilities":
            return self.segmenter.probabilities(images)
        ids: Tensor = self.segmenter(images) if self.upsampling == "exact" else self.segmenter.fast_ids(images)
        return ids


def example() -> torch.Tensor:
    """A batch to follow through the graph; of odd sizes, so that nothing takes them for special ones."""
    return torch.zeros(2, 61, 95, 3, dtype=torch.uint8)


def free_axes() -> tuple[dict[int, Any]]:
    """Number, height and width of the pictures are free."""
    return (dict.fromkeys(range(len(FREE_AXES)), torch.export.Dim.DYNAMIC),)


def sentence(description: ExportDescription) -> str:
    """What goes in and what comes out, for whoever opens the file with another tool.

    Example:
        >>> sentence(description)
        'RGB uint8 images (batch, height, width, 3) of any size go in; ids uint8 (batch, height, width) ...'
    """
    classes = ", ".join(f"{index} {name}" for index, name in enumerate(description.labels.names))
    axes = ", ".join(FREE_AXES)
    if description.outputs == "ids":
        answer = f"ids uint8 ({axes}) of that size come out"
    else:
        batch, *sides = FREE_AXES
        answer = f"probabilities float32 ({', '.join((batch, 'class', *sides))}) of that size come out"
    return f"RGB uint8 images ({axes}, 3) of any size go in; {answer}: {classes}."
