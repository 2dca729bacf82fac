"""Scores by their protocol's name: different numbers of this field are all called "mIoU".

They are pure functions of confusion matrices, (..., K, K) with rows for the true class and columns for the predicted
one, so that a thousand resampled data sets are scored at once. A class that neither occurs nor is predicted has no IoU
(0 / 0 is NaN) and is left out of means. A protocol that bears another's name does as that one does, in this too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.labels import LabelSet

Counts = NDArray[np.int64]
Table = NDArray[np.float64]

BATCH = 24


@dataclass(frozen=True)
class Protocol:
    """A published way to turn confusion matrices into one number: the mean of the IoU of some classes.

    Args:
        meaning: in a line, for tables.
        class_names: of the classes that the mean goes over, from a label set.
        class_ious: tables (..., K, K) and a label set -> (..., C) in 0..1, one for each of those names.
        of_true_classes: whether the mean goes over the classes that occur in the truth only, so that one which is
            merely predicted does not count.
    """

    meaning: str
    class_names: Callable[[LabelSet], tuple[str, ...]]
    class_ious: Callable[[Table, LabelSet], Table]
    of_true_classes: bool = False

    def score(self, tables: Table, labels: LabelSet) -> Table:
        """Tables (..., K, K) -> mean IoU (...) in 0..1.

        Example:
            >>> float(PROTOCOLS["strict3"].score(np.diag([1.0, 2.0, 3.0]), BDD100K_DRIVABLE))
            1.0
        """
        ious = self.class_ious(tables, labels)
        if self.of_true_classes:
            ids = [labels.names.index(name) for name in self.class_names(labels)]
            ious = np.where(tables.sum(axis=-1)[..., ids] > 0, ious, np.nan)
        return mean_iou(ious)


def strict3(tables: Table, labels: LabelSet) -> Table:
    """IoU of all classes, background included. The name is that of the three-class task and stays for others."""
    return iou(tables)


def bdd_official(tables: Table, labels: LabelSet) -> Table:
    """IoU as BDD100K's evaluator computes it (bdd100k/eval/seg.py): rows of true background count nothing.

    False positives on background cost nothing. There, a true 255 becomes background, which is dropped likewise, and a
    prediction of 3 or more becomes background; both come to the same here, where ignored pixels never enter and
    predictions are classes. A class that does not occur has 0, and its mean is that of the classes that do. What it
    prints as ``Acc`` is precision.
    """
    dropped = tables.copy()
    dropped[..., labels.background_id, :] = 0
    return np.nan_to_num(foreground2(dropped, labels))


def foreground2(tables: Table, labels: LabelSet) -> Table:
    """IoU of the classes that are road, false positives on background counted."""
    return np.asarray(iou(tables)[..., list(labels.foreground_ids)])


def binary(tables: Table, labels: LabelSet) -> Table:
    """IoU of road (all classes but background) and of background."""
    return iou(two_sided(tables, labels))


def binary_per_batch(tables: Table, labels: LabelSet) -> Table:
    """``binary`` of each batch of 24 pictures, averaged by their size; a side that a batch lacks counts as 0.

    So YOLOP validates (lib/core/evaluate.py and function.py): the number depends on the batch size and on the order of
    the pictures. Of a single table it is that of a single batch.

    Args:
        tables: (..., N, K, K), one a picture, in order.
        labels: the classes; one of them is background.

    Returns:
        (..., 2) in 0..1: road, background.
    """
    return per_batch_ious(two_sided(tables, labels))


def per_batch_ious(sides: Table) -> Table:
    """The same from tables of road against background, (..., N, 2, 2) -> (..., 2)."""
    num_pictures = sides.shape[-3]
    starts = np.arange(0, num_pictures, BATCH)
    per_batch = np.nan_to_num(iou(np.add.reduceat(sides, starts, axis=-3)))
    weights = np.minimum(BATCH, num_pictures - starts) / num_pictures
    return np.asarray((per_batch * weights[:, None]).sum(axis=-2))


def _road_and_background(labels: LabelSet) -> tuple[str, ...]:
    return ("road", labels.names[labels.background_id or 0])


def _foreground_names(labels: LabelSet) -> tuple[str, ...]:
    return tuple(labels.names[k] for k in labels.foreground_ids)


PROTOCOLS = {
    "strict3": Protocol(
        "all classes, background included, one matrix over the data set", lambda labels: labels.names, strict3
    ),
    "bdd-official": Protocol(
        "BDD100K's evaluator: pixels of true background are dropped, classes without a label not in the mean",
        _foreground_names,
        bdd_official,
        of_true_classes=True,
    ),
    "foreground2": Protocol(
        "direct and alternative, false positives on background counted", _foreground_names, foreground2
    ),
    "binary": Protocol("road against background, one matrix over the data set", _road_and_background, binary),
    "binary-per-batch": Protocol(
        "the same, averaged over batches of 24 pictures as the YOLOP family does",
        _road_and_background,
        binary_per_batch,
    ),
}
# The one that is not a function of the sum of all pictures' matrices.
PER_BATCH = "binary-per-batch"


def known_protocols(labels: LabelSet) -> dict[str, Protocol]:
    """The protocols that a label set has a meaning for: without background that is ``strict3`` alone."""
    return PROTOCOLS if labels.background_id is not None else {"strict3": PROTOCOLS["strict3"]}


def iou(tables: Table) -> Table:
    """TP / (TP + FP + FN) per class: (..., K, K) -> (..., K); NaN for a class that neither occurs nor is predicted."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    union = tables.sum(axis=-1) + tables.sum(axis=-2) - hits
    return np.asarray(np.divide(hits, union, out=np.full(hits.shape, np.nan), where=union > 0))


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class, 0..1; NaN where the class neither occurs nor is predicted."""

    name: str
    iou: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """What one confusion matrix says.

    Args:
        protocols: by published name, 0..1; only those that the label set has a meaning for.
        pixel_accuracy: share of pixels that are right.
        classes: per class.
        num_pixels: counted pixels.
    """

    protocols: dict[str, float]
    pixel_accuracy: float
    classes: tuple[ClassScores, ...]
    num_pixels: int

    @property
    def strict3(self) -> float:
        """The headline."""
        return self.protocols["strict3"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, protocols under their published names; undefined scores become ``None``."""
        return {
            "protocols": {name: _plain(value) for name, value in self.protocols.items()},
            "pixel_accuracy": _plain(self.pixel_accuracy),
            "classes": {
                scores.name: {key: _plain(value) for key, value in asdict(scores).items() if key != "name"}
                for scores in self.classes
            },
            "num_pixels": self.num_pixels,
        }


def compute_scores(counts: Counts, labels: LabelSet) -> Scores:
    """All protocols of a confusion matrix.

    Args:
        counts: (K, K), truth by prediction, without ignored pixels.
        labels: the label set of those K classes.

    Returns:
        The scores.

    Example:
        >>> round(compute_scores(np.array([[5, 0, 5], [0, 5, 0], [0, 0, 85]]), BDD100K_DRIVABLE).strict3, 3)
        0.815
    """
    table = counts.astype(np.float64)
    hits, actual, predicted = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.stack([iou(table), hits / predicted, hits / actual, 2 * hits / (actual + predicted)])
        accuracy = float(hits.sum() / table.sum())
    return Scores(
        protocols={
            name: float(protocol.score(table, labels))
            for name, protocol in known_protocols(labels).items()
            if name != PER_BATCH
        },
        pixel_accuracy=accuracy,
        classes=tuple(ClassScores(name, *map(float, values[:, k])) for k, name in enumerate(labels.names)),
        num_pixels=int(counts.sum()),
    )


def two_sided(tables: Table, labels: LabelSet) -> Table:
    """Tables (..., K, K) -> (..., 2, 2): road, background."""
    is_road = np.zeros(labels.num_classes)
    is_road[list(labels.foreground_ids)] = 1
    sides = np.stack([is_road, 1 - is_road])
    return np.asarray(sides @ tables @ sides.T)


def mean_iou(ious: Table) -> Table:
    """(..., C) -> (...): mean over the classes that have one; NaN where none has."""
    with warnings.catch_warnings():
        # All absent: the mean is absent too.
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(ious, axis=-1))


def _plain(value: float) -> float | None:
    return None if value != value else value
