"""What is left of a score when the camera's picture goes bad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivable.data.samples import Sample, read_pair
from drivable.errors import DataError
from drivable.imaging.corruptions import corrupt
from drivable.labels import LabelSet
from drivable.metrics import PROTOCOLS, count_pixels
from drivable.segmenter import Segmenter


@dataclass(frozen=True)
class Robustness:
    """``strict3`` on clean and on corrupted pictures.

    Args:
        clean: on the pictures as they are, 0..1.
        corrupted: by corruption and strength.
        num_pictures: scored.
    """

    clean: float
    corrupted: dict[str, dict[int, float]]
    num_pictures: int

    def drop(self, name: str) -> float:
        """Mean over the strengths of (clean - corrupted) / clean of one corruption."""
        return 1 - float(np.mean(list(self.corrupted[name].values()))) / self.clean

    @property
    def mean_drop(self) -> float:
        """Mean over the corruptions of their drops: the headline."""
        return float(np.mean([self.drop(name) for name in self.corrupted]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "clean": self.clean,
            "corrupted": {
                name: {str(strength): value for strength, value in by_strength.items()}
                for name, by_strength in self.corrupted.items()
            },
            "drops": {name: self.drop(name) for name in self.corrupted},
            "mean_relative_drop": self.mean_drop,
            "num_pictures": self.num_pictures,
        }


def robustness(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    labels: LabelSet,
    names: Sequence[str],
    strengths: Sequence[int],
    on_sample: Callable[[], None] = lambda: None,
) -> Robustness:
    """Score a segmenter on clean pictures and on each of them corrupted.

    Args:
        segmenter: what is scored.
        samples: labelled pictures; each is segmented once for every corruption and strength, and once clean.
        labels: the classes of their label maps; names must equal the segmenter's.
        names: corruptions, see :data:`drivable.imaging.corruptions.CORRUPTIONS`.
        strengths: of 1..5.
        on_sample: called after each picture.

    Raises:
        ConfigError: where a corruption or a strength is unknown.
        DataError: where there is no picture, the classes differ or a picture is broken.
    """
    if not samples:
        raise DataError("no pictures to score")
    if segmenter.labels.names != labels.names:
        raise DataError(f"the model knows {list(segmenter.labels.names)}, the data has {list(labels.names)}")
    size = (labels.num_classes, labels.num_classes)
    clean = np.zeros(size)
    corrupted = {(name, strength): np.zeros(size) for name in names for strength in strengths}
    for sample in samples:
        image, actual = read_pair(sample)
        clean += count_pixels(actual, segmenter.segment(image), labels.num_classes, labels.ignore_id)
        for (name, strength), counts in corrupted.items():
            predicted = segmenter.segment(corrupt(image, name, strength, sample.id))
            counts += count_pixels(actual, predicted, labels.num_classes, labels.ignore_id)
        on_sample()
    strict3 = PROTOCOLS["strict3"]
    return Robustness(
        float(strict3.score(clean, labels)),
        {name: {s: float(strict3.score(corrupted[name, s], labels)) for s in strengths} for name in names},
        len(samples),
    )
