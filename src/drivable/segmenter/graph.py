"""The whole segmenter as one network: pixels in, ids out. It is what runs here, and what is exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.models import SegmentationModel
from drivable.models.resizing import resize

# Axes: N pictures, H and W rows and columns of the picture, h and w of the network's working size, K classes.


class SegmenterGraph(nn.Module):
    """Resize, normalise, pad, run the network, crop, bring the logits to the picture's size, choose the class.

    Pictures are resized by bilinear interpolation with a filter as wide as the shrinkage (Pillow's ``BILINEAR``, ONNX's
    ``Resize`` with ``antialias``), which every runtime has. Logits are enlarged before the class is chosen, so that
    borders fall between pixels of the picture and not of the network's grid.

    Args:
        model: in evaluation mode.
        size: (h, w) the network works at; ``None`` works at each picture's own size.
        temperature: that logits are divided by before the softmax.

    Example:
        >>> graph = SegmenterGraph(build_model(LiteSpec(), 3).eval(), (96, 160))
        >>> graph(torch.zeros(1, 90, 150, 3, dtype=torch.uint8)).shape
        torch.Size([1, 90, 150])
    """

    def __init__(self, model: SegmentationModel, size: tuple[int, int] | None, temperature: float = 1.0) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.temperature = temperature
        # Whole grey levels are four times faster on a CPU and at most half a level apart; a pixel in 1,000 changes.
        self.rounds = True

    def forward(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> ids (N, H, W) uint8."""
        # max().indices is several times faster than argmax on a CPU.
        return self.logits(images).max(dim=1).indices.to(torch.uint8)

    def probabilities(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> (N, K, H, W) float32; over the classes each pixel sums to 1."""
        return F.softmax(self.logits(images) / self.temperature, dim=1)

    def logits(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> logits (N, K, H, W) float32."""
        height, width = images.shape[1], images.shape[2]
        pixels = images.permute(0, 3, 1, 2)
        if self.size is None:
            return self.model(pixels.float().div_(255)).float()  # type: ignore[no-any-return]
        return self.model.logits_at(self._working(pixels, self.size), (height, width)).float()

    def grid_logits(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> logits (N, K, h, w) float32 on the network's own grid; only with a size."""
        assert self.size is not None
        return self.model.logits_at(self._working(images.permute(0, 3, 1, 2), self.size), None).float()

    def _working(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        if size != tuple(pixels.shape[-2:]):
            rounds = self.rounds and pixels.device.type == "cpu" and not torch.compiler.is_exporting()
            pixels = resize(pixels if rounds else pixels.float(), size, antialias=True)
        return pixels.float().div_(255)
