"""Score a segmenter on labelled pictures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from drivable.data.pictures import Pixels, resize_image, resize_label_map
from drivable.data.samples import Sample, read_pair
from drivable.errors import DataError
from drivable.labels import LabelSet
from drivable.metrics import ConfusionMatrix, Scores, compute_scores
from drivable.segmenter import Segmenter

_log = logging.getLogger(__name__)
_BATCH = 8


@dataclass(frozen=True)
class Evaluation:
    """Scores on a set of pictures.

    Args:
        scores: over all of their pixels.
        num_pictures: pictures scored.
        num_broken: pictures left out because they could not be read.
        size: (height, width) at which masks were compared, ``None`` for each picture's own.
    """

    scores: Scores
    num_pictures: int
    num_broken: int
    size: tuple[int, int] | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        size = "own" if self.size is None else list(self.size)
        return {
            **self.scores.to_dict(),
            "num_pictures": self.num_pictures,
            "num_broken": self.num_broken,
            "size": size,
        }


def evaluate(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    labels: LabelSet,
    size: tuple[int, int] | None = None,
    skip_broken: bool = False,
    on_sample: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Segment every picture and compare with its label map.

    Args:
        segmenter: what is scored.
        samples: labelled pictures.
        labels: the classes of their label maps; names must equal the segmenter's.
        size: resize pictures and label maps to this (height, width) first, as the course's own numbers were taken;
            ``None`` compares at each picture's own size.
        skip_broken: leave out pictures that cannot be read, and count them.
        on_sample: called after each picture.

    Returns:
        The scores.

    Raises:
        DataError: where the classes differ, no picture is left, or, without ``skip_broken``, one is broken.

    Example:
        >>> evaluate(load("runs/lite"), select_split(data, "test"), data.labels).scores.strict3
    """
    if segmenter.labels.names != labels.names:
        raise DataError(
            f"the model knows {list(segmenter.labels.names)}, the data has {list(labels.names)}; these must "
            "be the same classes"
        )
    matrix = ConfusionMatrix(labels.num_classes, labels.ignore_id)
    num_pictures = num_broken = 0
    pairs: list[tuple[Pixels, Pixels]] = []

    def score_pairs() -> None:
        for predicted, (_, actual) in zip(segmenter.segment_batch([image for image, _ in pairs]), pairs, strict=True):
            matrix.update(torch.from_numpy(actual), torch.from_numpy(predicted))
        pairs.clear()

    for sample in samples:
        try:
            image, label_map = read_pair(sample)
        except DataError as fault:
            if not skip_broken:
                raise
            _log.warning("left out: %s", fault)
            num_broken += 1
        else:
            if size is not None:
                image, label_map = resize_image(image, size), resize_label_map(label_map, size)
            pairs.append((image, label_map))
            num_pictures += 1
        if len(pairs) == _BATCH:
            score_pairs()
        on_sample()
    score_pairs()
    if num_pictures == 0:
        raise DataError(f"none of {len(samples)} pictures could be scored")
    return Evaluation(compute_scores(matrix.counts, labels), num_pictures, num_broken, size)
