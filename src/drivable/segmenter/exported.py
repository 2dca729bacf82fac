"""What the segmenters of exported files have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.errors import CheckpointError, ConfigError
from drivable.labels import LabelSet
from drivable.optional import first_line
from drivable.segmenter.batched import check_image, segment_by_size
from drivable.segmenter.description import ExportDescription
from drivable.segmenter.protocol import Image, LabelMap, Origin, Probabilities


class ExportedSegmenter(ABC):
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
    def files(self) -> Sequence[Path]:
        """All that it consists of."""
        return [self.path]

    @abstractmethod
    def run(self, images: Image) -> NDArray[Any]:
        """RGB (N, H, W, 3) uint8 -> what the graph puts out."""

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

    def segment(self, image: Image) -> LabelMap:
        """RGB (H, W, 3) uint8 of any size -> ids (H, W) uint8 of that size.

        Raises:
            DataError: where the array is not such a picture.
        """
        return self.segment_batch([image])[0]

    def segment_batch(self, images: Sequence[Image]) -> list[LabelMap]:
        """Several pictures; those of one size in one pass.

        Raises:
            DataError: where an array is not a picture.
        """
        return segment_by_size(images, self._ids)

    def probabilities(self, image: Image) -> Probabilities:
        """RGB (H, W, 3) uint8 -> (K, H, W) float32; over the classes each pixel sums to 1.

        Raises:
            ConfigError: where the file puts out ids only.
            DataError: where the array is not such a picture.
        """
        if self.description.outputs != "probabilities":
            raise ConfigError(f"{self.path}: puts out ids only; export it with --outputs probabilities")
        check_image(image)
        return np.asarray(self._run(image[None])[0], dtype=np.float32)

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
