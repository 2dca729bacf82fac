"""Scores by their protocol's name: three different numbers of this field are all called "mIoU".

All of them are pure functions of a confusion matrix ``counts`` (K, K) int64 with rows for the true class and columns
for the predicted one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from drivable.labels import LabelSet

# Published names and what they mean, for tables.
PROTOCOLS = {
    "strict3": "all classes, background included, one matrix over the data set",
    "bdd-official": "BDD100K's evaluator: pixels of true background are dropped",
    "binary": "road against background",
}


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
    """What a confusion matrix says, each mean under its protocol's name; all 0..1.

    Args:
        strict3: mean IoU over all classes, background included, over the whole data set. The headline; the name
            is that of the three-class task and stays for label sets of other sizes.
        bdd_official: BDD100K's own evaluator: pixels whose truth is background are dropped, then the mean IoU over
            the other classes. False positives on background cost nothing. ``None`` without a background class.
        binary: all classes but background merged into road; mean of the IoU of road and of background. ``None``
            without a background class.
        pixel_accuracy: share of pixels that are right.
        classes: per class.
        num_pixels: counted pixels.
    """

    strict3: float
    bdd_official: float | None
    binary: float | None
    pixel_accuracy: float
    classes: tuple[ClassScores, ...]
    num_pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, protocols under their published names; undefined scores become ``None``."""
        return {
            "protocols": {
                "strict3": _plain(self.strict3),
                "bdd-official": _plain(self.bdd_official),
                "binary": _plain(self.binary),
            },
            "pixel_accuracy": _plain(self.pixel_accuracy),
            "classes": {
                scores.name: {key: _plain(value) for key, value in asdict(scores).items() if key != "name"}
                for scores in self.classes
            },
            "num_pixels": self.num_pixels,
        }


def compute_scores(counts: Tensor, labels: LabelSet) -> Scores:
    """All protocols of a confusion matrix.

    Classes that neither occur nor are predicted have no IoU and are left out of means.

    Args:
        counts: (K, K) int64, truth by prediction, without ignored pixels.
        labels: the label set of those K classes.

    Returns:
        The scores.

    Example:
        >>> round(compute_scores(torch.tensor([[5, 0, 5], [0, 5, 0], [0, 0, 85]]), BDD100K_DRIVABLE).strict3, 3)
        0.815
    """
    table = counts.cpu().double()
    iou = _iou(table)
    hits, actual, predicted = table.diagonal(), table.sum(dim=1), table.sum(dim=0)
    classes = tuple(
        ClassScores(
            name,
            iou=float(iou[k]),
            precision=float(hits[k] / predicted[k]),
            recall=float(hits[k] / actual[k]),
            f1=float(2 * hits[k] / (actual[k] + predicted[k])),
        )
        for k, name in enumerate(labels.names)
    )
    return Scores(
        strict3=float(iou.nanmean()),
        bdd_official=None if labels.background_id is None else bdd_official(table, labels),
        binary=None if labels.background_id is None else binary(table, labels),
        pixel_accuracy=float(hits.sum() / table.sum()),
        classes=classes,
        num_pixels=int(counts.sum()),
    )


def bdd_official(table: Tensor, labels: LabelSet) -> float:
    """Mean IoU as BDD100K's evaluator computes it (bdd100k/eval/seg.py): rows of true background count nothing.

    There, a true 255 becomes background, which is dropped likewise, and a prediction of 3 or more becomes
    background; both come to the same here, where ignored pixels never enter and predictions are classes.
    """
    assert labels.background_id is not None
    dropped = table.clone()
    dropped[labels.background_id] = 0
    return float(_iou(dropped)[list(labels.foreground_ids)].nanmean())


def binary(table: Tensor, labels: LabelSet) -> float:
    """Mean of the IoU of road (all classes but background) and of background, over the whole data set."""
    assert labels.background_id is not None
    is_road = torch.zeros(len(table), dtype=torch.double)
    is_road[list(labels.foreground_ids)] = 1
    sides = torch.stack([is_road, 1 - is_road])
    return float(_iou(sides @ table @ sides.T).nanmean())


def _iou(table: Tensor) -> Tensor:
    """TP / (TP + FP + FN) per class (K,); 0 / 0 is NaN."""
    hits = table.diagonal()
    return hits / (table.sum(dim=0) + table.sum(dim=1) - hits)


def _plain(value: float | None) -> float | None:
    return None if value != value else value
