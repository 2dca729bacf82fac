"""What is scored: a segmenter's answers, or label maps that any tool has written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivable.data.samples import Sample
from drivable.errors import DataError
from drivable.imaging.images import Pixels, open_picture
from drivable.labels import LabelSet
from drivable.segmenter import LabelMap, Segmenter

Confidence = NDArray[np.float32]


class Predictor(Protocol):
    """Something that has an answer to every sample."""

    @property
    def labels(self) -> LabelSet:
        """The classes of its answers."""
        ...

    def answer(self, samples: Sequence[Sample], images: Sequence[Pixels]) -> list[tuple[LabelMap, Confidence | None]]:
        """For each sample and its RGB picture (H, W, 3): ids (H, W), and how sure they are, (H, W) in 0..1."""
        ...


class ModelPredictions:
    """The answers of a segmenter.

    Args:
        segmenter: what answers.
        with_confidence: also say how sure it is, where it knows; costs a softmax over all pixels.
    """

    def __init__(self, segmenter: Segmenter, with_confidence: bool = True) -> None:
        self.segmenter = segmenter
        self.with_confidence = with_confidence and segmenter.origin.knows_probabilities

    @property
    def labels(self) -> LabelSet:
        """The segmenter's."""
        return self.segmenter.labels

    def answer(self, samples: Sequence[Sample], images: Sequence[Pixels]) -> list[tuple[LabelMap, Confidence | None]]:
        """See :class:`Predictor`."""
        if not self.with_confidence:
            return [(label_map, None) for label_map in self.segmenter.segment_batch(images)]
        return [most_probable(self.segmenter.probabilities(image), self.labels) for image in images]


class StoredPredictions:
    """Label maps ``<id>.png`` in a folder: one channel of ids, or a palette whose indices are the ids.

    Args:
        folder: where they are; deeper folders are looked into.
        labels: the classes that the ids mean.

    Raises:
        DataError: where the folder holds no PNG, or two of one name.

    Example:
        >>> StoredPredictions(Path("seen/label_maps"), BDD100K_DRIVABLE)
    """

    def __init__(self, folder: Path, labels: LabelSet) -> None:
        self.folder = folder
        self.labels = labels
        self.files: dict[str, Path] = {}
        for file in sorted(file for file in folder.rglob("*") if file.suffix.lower() == ".png"):
            if any(part[0] == "." for part in file.relative_to(folder).parts):
                continue
            if file.stem in self.files:
                raise DataError(f"{folder}: two label maps are named {file.stem}: {self.files[file.stem]} and {file}")
            self.files[file.stem] = file
        if not self.files:
            raise DataError(f"{folder}: no label map (*.png) in this folder")

    def surplus(self, samples: Sequence[Sample]) -> list[Path]:
        """Label maps that belong to none of these samples, sorted."""
        return sorted(self.files[key] for key in self.files.keys() - {sample.id for sample in samples})

    def answer(self, samples: Sequence[Sample], images: Sequence[Pixels]) -> list[tuple[LabelMap, Confidence | None]]:
        """See :class:`Predictor`.

        Raises:
            DataError: where a label map is missing, of another size than its picture, or holds other ids.
        """
        return [(self._read(sample, image), None) for sample, image in zip(samples, images, strict=True)]

    def _read(self, sample: Sample, image: Pixels) -> LabelMap:
        file = self.files.get(sample.id)
        if file is None:
            raise DataError(f"{self.folder}: no label map {sample.id}.png for the picture of that id")
        picture = open_picture(file)
        if picture.mode not in ("L", "P"):
            raise DataError(f"{file}: label map of mode {picture.mode}; one channel of ids expected (L or P)")
        label_map = np.asarray(picture, dtype=np.uint8)
        if label_map.shape != image.shape[:2]:
            raise DataError(
                f"{file}: label map is {label_map.shape[0]}x{label_map.shape[1]}, its picture "
                f"{image.shape[0]}x{image.shape[1]}; write label maps at their picture's size"
            )
        if int(label_map.max()) >= self.labels.num_classes:
            raise DataError(
                f"{file}: holds id {int(label_map.max())}; the labels know 0..{self.labels.num_classes - 1} "
                f"({', '.join(self.labels.names)})"
            )
        return label_map


def most_probable(probabilities: NDArray[np.float32], labels: LabelSet) -> tuple[LabelMap, Confidence]:
    """(K, H, W) -> the most probable ids (H, W), and their probability (H, W)."""
    return labels.most_probable(probabilities), np.asarray(probabilities.max(axis=0))
