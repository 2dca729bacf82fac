"""The whole segmenter as one network: pixels in, ids out. It is what runs here, and what is exported."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.checkpoint import Checkpoint
from drivable.models import SegmentationModel
from drivable.models.resizing import resize, resize_pixels

# Axes: N pictures, H and W rows and columns of the picture, h and w of the network's grid, K classes. S are the rows
# that the network looks at, all but those that a model cuts off at the top.


class SegmenterGraph(nn.Module):
    """Cut, resize, normalise, pad, run the network, crop, bring the logits to the picture's size, choose the class.

    Pictures are resized as by Pillow's ``BILINEAR``, everywhere alike. Logits are enlarged before the class is chosen,
    so that borders fall between pixels of the picture and not of the network's grid.

    Args:
        model: in evaluation mode.
        size: (height, width) that whole pictures are resized to; ``None`` works at each picture's own size.
        temperature: that logits are divided by before the softmax.
        offsets: that are added to the logits, one for each class; ``None`` for none.

    Example:
        >>> graph = SegmenterGraph(build_model(LiteSpec(), 3).eval(), (96, 160))
        >>> graph(torch.zeros(1, 90, 150, 3, dtype=torch.uint8)).shape
        torch.Size([1, 90, 150])
    """

    offsets: Tensor | None

    def __init__(
        self,
        model: SegmentationModel,
        size: tuple[int, int] | None,
        temperature: float = 1.0,
        offsets: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.temperature = temperature
        self.register_buffer("offsets", None if offsets is None else torch.tensor(offsets).view(1, -1, 1, 1))
        self._has_relative_logits = False

    def fold_relative_to_first(self) -> None:
        """Let the classifier give what :func:`relative_to_first` makes of its logits, where it is the last convolution.

        One plane and three small steps less; from then on only ids can be had. The model is changed.
        """
        classify = getattr(self.model.decoder, "classify", None)
        if not isinstance(classify, nn.Conv2d):
            return
        relative = nn.Conv2d(classify.in_channels, classify.out_channels - 1, 1)
        relative.load_state_dict({name: value[1:] - value[:1] for name, value in classify.state_dict().items()})
        self.model.decoder.classify = relative
        if self.offsets is not None:
            self.offsets = relative_to_first(self.offsets)
        self._has_relative_logits = True

    def forward(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> ids (N, H, W) uint8."""
        # One plane less to enlarge: whoever wins over the first class wins.
        ids = most_probable(self._enlarged(self._relative(images), images))
        return self._above_too(ids, images)

    def fast_ids(self, images: Tensor) -> Tensor:
        """Like :meth:`forward`, but chosen on the network's own grid and enlarged by the nearest neighbour."""
        ids = most_probable(self._relative(images)).unsqueeze(1).float()
        ids = F.interpolate(ids, size=self._shape_below(images), mode="nearest").squeeze(1).to(torch.uint8)
        return self._above_too(ids, images)

    def probabilities(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> (N, K, H, W) float32; over the classes each pixel sums to 1."""
        logits = self._enlarged(self.grid_logits(images), images)
        return self._above_too(F.softmax(logits / self.temperature, dim=1), images)

    def grid_logits(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> logits (N, K, h, w) float32 on the network's own grid, which covers S rows.

        Without a working size they are the picture's, (N, K, H, W).
        """
        if self.size is None:
            logits: Tensor = self.model(images.permute(0, 3, 1, 2).float().div_(255)).float()
        else:
            working = (self.model.num_seen(self.size[0]), self.size[1])
            seen = self.model.below_cut(images, axis=1).permute(0, 3, 1, 2)
            logits = self.model.grid_logits(self._working(seen, working)).float()
        return logits if self.offsets is None else logits + self.offsets

    def _above_too(self, answers: Tensor, images: Tensor) -> Tensor:
        return answers if self.size is None else self.model.above_too(answers, images.shape[1])

    def _shape_below(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[1:3]
        return height if self.size is None else self.model.num_seen(height), width

    def _relative(self, images: Tensor) -> Tensor:
        logits = self.grid_logits(images)
        return logits if self._has_relative_logits else relative_to_first(logits)

    def _working(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        same = size == tuple(pixels.shape[-2:])
        return (pixels.float() if same else resize_pixels(pixels, size)).div_(255)

    def _enlarged(self, planes: Tensor, images: Tensor) -> Tensor:
        if self.size is None:
            return planes
        # A plane for each class: three times as fast as class by class for each pixel, where there are so few.
        return resize(planes.contiguous(), self._shape_below(images))


def calibrated_graph(checkpoint: Checkpoint, model: SegmentationModel, size: tuple[int, int] | None) -> SegmenterGraph:
    """The graph of a checkpoint's model with the checkpoint's calibration, where it has one."""
    calibration, labels = checkpoint.calibration, checkpoint.labels
    if calibration is None:
        return SegmenterGraph(model, size)
    offsets = [calibration.background_offset * (k == labels.background_id) for k in range(labels.num_classes)]
    return SegmenterGraph(model, size, calibration.temperature, offsets if any(offsets) else None)


def relative_to_first(logits: Tensor) -> Tensor:
    """Logits (N, K, H, W) -> by how much classes 1 to K - 1 are above class 0, (N, K - 1, H, W)."""
    return logits[:, 1:] - logits[:, :1]


def most_probable(relative: Tensor) -> Tensor:
    """(N, K - 1, H, W) of :func:`relative_to_first` -> ids (N, H, W) uint8, the first of equals, by comparisons.

    Runtimes compute these in one pass with what comes before; their argmax over the channels is several times slower.
    """
    best = ids = torch.zeros_like(relative[:, 0])
    for k in range(relative.shape[1]):
        ids = torch.where(relative[:, k] > best, float(k + 1), ids)
        best = torch.maximum(best, relative[:, k])
    return ids.to(torch.uint8)
