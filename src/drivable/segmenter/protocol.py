"""What segmenters take, give and say of themselves."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class SegmenterInfo:
    """How a segmenter computes.

    Args:
        labels: the classes of its label maps.
        working_size: (height, width) that images are resized to for the network; ``None`` works at each image's own.
        runtime: ``torch``, ``onnxruntime``, ``openvino``, ``torchscript`` or ``pt2``.
        device: where it computes, by the runtime's own name, such as ``cpu`` or ``cuda``.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``.
        calibration: ``None`` where the model was not calibrated.

    Example:
        >>> load(device="cpu").info.runtime
        'torch'
    """

    labels: LabelSet
    working_size: tuple[int, int] | None
    runtime: str
    device: str
    precision: str
    calibration: Calibration | None
