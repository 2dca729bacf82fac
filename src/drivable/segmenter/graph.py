"""The whole segmenter as one network: pixels in, ids out. It is what runs here, and what is exported."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drivable.checkpoint import Checkpoint
from drivable.errors import CheckpointError
from drivable.labels import LabelSet
from drivable.models import SegmentationModel
from drivable.models.finite import require_finite
from drivable.models.resizing import resize, resize_pixels

# Logits beyond it are none; float16 and bfloat16 have it too.
_MOST = 60_000.0
# Id of pixels whose logits are no numbers, where it is asked for; no class has it.
UNKNOWN_ID = 255
# (height, width) of the grey image that tries a model whose classes have no background: every backbone takes it.
_TRIED_AT = (192, 256)

# Axes: N pictures, H and W rows and columns of the picture, h and w of the network's grid, K classes. S are the rows
# that the network looks at, all but those that a model cuts off at the top.


class SegmenterGraph(nn.Module):
    """Cut, resize, normalise, pad, run the network, crop, bring the logits to the picture's size, choose the class.

    Pictures are resized as by Pillow's ``BILINEAR``, everywhere alike. Logits are enlarged before the class is chosen,
    so that borders fall between pixels of the picture and not of the network's grid.

    It fails closed: where logits are no numbers the background is chosen, and a class wins only by being above it.

    Args:
        model: in evaluation mode.
        size: (height, width) that whole pictures are resized to; ``None`` works at each picture's own size.
        labels: the classes; their background, or class 0 where they have none, stands for what is not known.
        temperature: that logits are divided by before the softmax.
        offsets: that are added to the logits, one for each class; ``None`` for none.
        marks_unknown: where logits are no numbers, give :data:`UNKNOWN_ID`, and NaN for probabilities, instead of the
            background; for who refuses such answers.

    Example:
        >>> graph = SegmenterGraph(build_model(LiteSpec(), 3).eval(), (96, 160), BDD100K_DRIVABLE)
        >>> graph(torch.zeros(1, 90, 150, 3, dtype=torch.uint8)).shape
        torch.Size([1, 90, 150])
    """

    offsets: Tensor | None
    unknown: Tensor

    def __init__(
        self,
        model: SegmentationModel,
        size: tuple[int, int] | None,
        labels: LabelSet,
        temperature: float = 1.0,
        offsets: Sequence[float] | None = None,
        marks_unknown: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self.temperature = temperature
        self.register_buffer("offsets", None if offsets is None else torch.tensor(offsets).view(1, -1, 1, 1))
        self.background = labels.background_id or 0
        unknown = [0.0 if k == self.background else -_MOST for k in range(labels.num_classes)]
        self.register_buffer("unknown", torch.tensor(unknown).view(1, -1, 1, 1), persistent=False)
        self.marks_unknown = marks_unknown

    def forward(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> ids (N, H, W) uint8."""
        # One plane less to enlarge: whoever wins over the background wins.
        relative = self._enlarged(relative_to(self.background, self.grid_logits(images)), images)
        ids = most_probable(relative, self.background)
        if self.marks_unknown:
            ids = torch.where(relative.isnan().any(dim=1), UNKNOWN_ID, ids)
        return self._above_too(ids, images)

    def fast_ids(self, images: Tensor) -> Tensor:
        """Like :meth:`forward`, but chosen on the network's own grid and enlarged by the nearest neighbour."""
        ids = most_probable(relative_to(self.background, self.grid_logits(images)), self.background)
        ids = ids.unsqueeze(1).float()
        ids = F.interpolate(ids, size=self._shape_below(images), mode="nearest").squeeze(1).to(torch.uint8)
        return self._above_too(ids, images)

    def probabilities(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> (N, K, H, W) float32; over the classes each pixel sums to 1."""
        logits = self._enlarged(self.grid_logits(images), images)
        return self._above_too(F.softmax(logits / self.temperature, dim=1), images)

    def grid_logits(self, images: Tensor) -> Tensor:
        """RGB (N, H, W, 3) uint8 -> logits (N, K, h, w) float32 on the network's own grid, which covers S rows.

        Without a working size they are the picture's, (N, K, H, W). Where one
        is no number, the background has it.
        """
        if self.size is None:
            logits: Tensor = self.model(images.permute(0, 3, 1, 2).float().div_(255)).float()
        else:
            working = (self.model.num_seen(self.size[0]), self.size[1])
            seen = self.model.below_cut(images, axis=1).permute(0, 3, 1, 2)
            logits = self.model.grid_logits(self._working(seen, working)).float()
        return self._fail_closed(logits if self.offsets is None else logits + self.offsets)

    def _fail_closed(self, logits: Tensor) -> Tensor:
        """Leave the background where a logit is NaN, infinite or beyond reason; here, where the planes are small."""
        # A sum keeps what is no number, in every runtime; of maximum and minimum some lose NaN.
        are_numbers = logits.abs().sum(dim=1, keepdim=True) < _MOST
        return torch.where(are_numbers, logits, float("nan") if self.marks_unknown else self.unknown)

    def _above_too(self, answers: Tensor, images: Tensor) -> Tensor:
        return answers if self.size is None else self.model.above_too(answers, images.shape[1])

    def _shape_below(self, images: Tensor) -> tuple[int, int]:
        height, width = images.shape[1:3]
        return height if self.size is None else self.model.num_seen(height), width

    def _working(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        same = size == tuple(pixels.shape[-2:])
        return (pixels.float() if same else resize_pixels(pixels, size)).div_(255)

    def _enlarged(self, planes: Tensor, images: Tensor) -> Tensor:
        if self.size is None:
            return planes
        # A plane for each class: three times as fast as class by class for each pixel, where there are so few.
        return resize(planes.contiguous(), self._shape_below(images))


def calibrated_graph(checkpoint: Checkpoint, model: SegmentationModel, size: tuple[int, int] | None) -> SegmenterGraph:
    """The graph of a checkpoint's model with the checkpoint's calibration, where it has one.

    Raises:
        CheckpointError: where folded weights are no numbers, or the classes have no background and logits are none.
    """
    calibration, labels = checkpoint.calibration, checkpoint.labels
    if calibration is None:
        graph = SegmenterGraph(model, size, labels)
    else:
        offsets = [calibration.background_offset * (k == labels.background_id) for k in range(labels.num_classes)]
        graph = SegmenterGraph(model, size, labels, calibration.temperature, offsets if any(offsets) else None)
    # Folding divides by what may be nothing, and multiplies what may be too much.
    require_finite(dict(chain(graph.named_parameters(), graph.named_buffers())), labels, checkpoint.where)
    if labels.background_id is None:
        _try(graph, checkpoint.where)
    return graph


@torch.inference_mode()
def _try(graph: SegmenterGraph, where: str) -> None:
    """Refuse a model whose finite weights overflow: without a background no class can stand for what is not known."""
    grey = torch.full((1, 3, *_TRIED_AT), 0.5, device=next(graph.model.parameters()).device)
    logits: Tensor = graph.model.grid_logits(grey).float()
    if not bool((logits.abs().sum(dim=1) < _MOST).all()):
        raise CheckpointError(
            f"{where}: of a grey image its logits are no numbers, or beyond {_MOST:.0f}, and its classes have no "
            "background to fall back on; its training diverged or the file is damaged: copy it or train it again"
        )


def relative_to(background: int, logits: Tensor, axis: int = 1) -> Tensor:
    """By how much the other classes are above the background: of K along an axis K - 1 are left, in order."""
    num = logits.shape[axis] - 1
    before, rest = logits.narrow(axis, 0, background), logits.narrow(axis, background + 1, num - background)
    others = before if background == num else torch.cat([before, rest], dim=axis) if background else rest
    return others - logits.narrow(axis, background, 1)


def most_probable(relative: Tensor, background: int) -> Tensor:
    """(N, K - 1, H, W) of :func:`relative_to` -> ids (N, H, W) uint8, by comparisons.

    The background is where no class is above it, and where NaN is above nothing; of other equals the first is taken.
    Runtimes compute these in one pass with what comes before; their argmax over the channels is several times slower.
    """
    best = torch.zeros_like(relative[:, 0])
    ids = torch.full_like(best, float(background))
    for k in range(relative.shape[1]):
        ids = torch.where(relative[:, k] > best, float(k + (k >= background)), ids)
        best = torch.maximum(best, relative[:, k])
    return ids.to(torch.uint8)
