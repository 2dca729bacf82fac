"""The seam: RGB pictures in, label maps out, whatever runs the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from drivable.checkpoint import Calibration
from drivable.labels import LabelSet

Image = NDArray[np.uint8]
LabelMap = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class Origin:
    """Where a segmenter comes from.

    Args:
        path: of the file, for messages.
        model: the architecture's name.
        splits: folder of split files that it was trained by, where known.
        calibration: ``None`` where it was not calibrated.
        knows_probabilities: whether it says more than the most probable class.
    """

    path: str
    model: str
    splits: str | None
    calibration: Calibration | None
    knows_probabilities: bool = True


@runtime_checkable
class Segmenter(Protocol):
    """A model ready for use. Prediction, evaluation and video are written against this."""

    @property
    def labels(self) -> LabelSet:
        """The classes of its label maps."""
        ...

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        ...

    def segment(self, image: Image) -> LabelMap:
        """RGB (H, W, 3) uint8 of any size -> ids (H, W) uint8 of that size."""
        ...

    def segment_batch(self, images: Sequence[Image]) -> list[LabelMap]:
        """Several pictures, of one size or of many, in one pass of the network."""
        ...

    def probabilities(self, image: Image) -> Probabilities:
        """RGB (H, W, 3) uint8 -> (K, H, W) float32; over the classes each pixel sums to 1."""
        ...
