"""What the segmenters of exported files have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError
from drivable.labels import LabelSet
from drivable.optional import first_line
from drivable.segmenter.base import Segmenter
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.protocol import Image, Origin, Probabilities, SegmenterInfo


class ExportedSegmenter(Segmenter):
    """Run an exported file: pixels in, ids or probabilities out, all else is in its graph.

    Args:
        path: of the file.
        description: what it says of itself.
    """

    def __init__(self, path: Path, description: ExportDescription) -> None:
        self.path = path
        self.description = description

    @property
    @abstractmethod
    def runtime(self) -> str:
        """What runs it."""

    @property
    @abstractmethod
    def on_cpu(self) -> bool:
        """Whether it computes on the CPU."""

    @property
    @abstractmethod
    def device_name(self) -> str:
        """Where it computes, such as ``cpu`` or ``cuda``."""

    @property
    def files(self) -> Sequence[Path]:
        """All that it consists of."""
        return [self.path]

    @abstractmethod
    def run(self, images: Image) -> NDArray[Any]:
        """RGB (N, H, W, 3) uint8 -> what the graph puts out; safe to call from several threads."""

    @property
    def labels(self) -> LabelSet:
        """The classes of its label maps."""
        return self.description.labels

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        about = self.description
        knows_probabilities = about.outputs == "probabilities"
        return Origin(str(self.path), str(about.model["name"]), about.splits, about.calibration, knows_probabilities)

    @property
    def info(self) -> SegmenterInfo:
        """How it computes."""
        about = self.description
        return SegmenterInfo(
            about.labels, about.size, self.runtime, self.device_name, about.precision, about.calibration
        )

    def _class_probabilities(self, images: Image) -> Probabilities:
        if self.description.outputs != "probabilities":
            raise ConfigError(f"{self.path}: puts out ids only; export it with --outputs probabilities")
        return np.asarray(self._run(images), dtype=np.float32)

    def _ids(self, images: Image) -> NDArray[np.uint8]:
        answer = self._run(images)
        return np.asarray(answer, dtype=np.uint8) if answer.ndim == 3 else self.labels.most_probable(answer)

    def _run(self, images: Image) -> NDArray[Any]:
        try:
            answer = self.run(images)
        # Everything: the runtimes have no errors in common.
        except Exception as fault:
            height, width = images.shape[1:3]
            raise CheckpointError(
                f"{self.path}: its graph cannot take {len(images)} pictures of {height}x{width}: {first_line(fault)}"
            ) from fault
        num, *size = images.shape[:3]
        expected = (
            (num, self.labels.num_classes, *size) if self.description.outputs == "probabilities" else (num, *size)
        )
        if answer.shape != expected:
            raise CheckpointError(
                f"{self.path}: its graph gives {answer.shape} for pictures {images.shape}, expected {expected}; its "
                "description belongs to another graph"
            )
        if answer.ndim == 4 and self.labels.background_id is None and not np.isfinite(answer).all():
            raise CheckpointError(
                f"{self.path}: its graph gives probabilities that are no numbers, and its classes have no background "
                "to fall back on; export it again"
            )
        if answer.ndim == 3 and answer.size and not 0 <= answer.min() <= answer.max() < self.labels.num_classes:
            raise CheckpointError(
                f"{self.path}: its graph gives ids of {answer.min()} to {answer.max()}, its description knows "
                f"{self.labels.num_classes} classes; its description belongs to another graph"
            )
        return answer
