"""Pictures in which a sure model and the label contradict each other: one of the two is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from drivable.errors import ConfigError
from drivable.files import write_json, write_text
from drivable.labels import LabelSet

# A pixel is doubted where the model gives another class at least this probability.
SURE = 0.9
KINDS = {
    "swapped lanes": "label and model see road, of another class",
    "missing road": "the model sees road, the label background",
    "surplus road": "the label has road, the model sees background",
}


@dataclass(frozen=True)
class Doubt:
    """Share of a picture's labelled pixels, 0..1, that a sure model contradicts, by kind.

    Args:
        swapped: road of another class; of classes without a background all that is contradicted.
        missing: road that is labelled background.
        surplus: background that is labelled road.
    """

    swapped: float
    missing: float
    surplus: float

    @property
    def kind(self) -> str:
        """The kind with the largest share."""
        return max(zip((self.swapped, self.missing, self.surplus), KINDS, strict=True))[1]

    @property
    def share(self) -> float:
        """Of that kind."""
        return max(self.swapped, self.missing, self.surplus)


@dataclass(frozen=True)
class Suspect:
    """A picture whose label should be looked at.

    Args:
        id: of the picture.
        kind: what seems wrong.
        share: of its pixels, 0..1.
    """

    id: str
    kind: str
    share: float


def doubt(
    actual: NDArray[np.uint8], predicted: NDArray[np.uint8], confidence: NDArray[np.float32], labels: LabelSet
) -> Doubt:
    """How much a model that is sure contradicts a label.

    Args:
        actual: true ids, any shape.
        predicted: the model's ids, same shape.
        confidence: their probability, same shape.
        labels: the classes.
    """
    counted = actual != labels.ignore_id
    contradicted = (actual != predicted) & counted & (confidence >= SURE)
    labelled, seen = actual != labels.background_id, predicted != labels.background_id
    num = max(1, int(counted.sum()))
    return Doubt(
        swapped=float((contradicted & labelled & seen).sum()) / num,
        missing=float((contradicted & ~labelled).sum()) / num,
        surplus=float((contradicted & ~seen).sum()) / num,
    )


def suspects(doubts: Sequence[tuple[str, Doubt]], least_share: float = 0.01) -> list[Suspect]:
    """Pictures whose label is contradicted over at least ``least_share`` of their pixels, the most doubtful first."""
    found = [Suspect(key, doubted.kind, doubted.share) for key, doubted in doubts if doubted.share >= least_share]
    return sorted(found, key=lambda suspect: -suspect.share)


def write_work_list(
    path: Path, form: Literal["scalabel", "cvat"], found: Sequence[Suspect], urls: dict[str, str]
) -> None:
    """Write what is to be looked at in the form an annotation tool takes.

    Args:
        path: of the file.
        form: ``scalabel``, a list of frames with the address of their picture, or ``cvat``, the list of files of
            which a task is made ("Select files", by share).
        found: what is to be looked at, in order.
        urls: address or path of each picture by its id.

    Raises:
        ConfigError: where the form is unknown.
        OutputError: where the place is not writable.
    """
    if form == "scalabel":
        write_json(path, [_frame(suspect, urls[suspect.id]) for suspect in found])
    elif form == "cvat":
        write_text(path, "".join(f"{urls[suspect.id]}\n" for suspect in found))
    else:
        raise ConfigError(f"work list '{form}': expected scalabel or cvat")


def _frame(suspect: Suspect, url: str) -> dict[str, Any]:
    return {
        "name": suspect.id,
        "url": url,
        "attributes": {"suspicion": suspect.kind, "share": f"{suspect.share:.4f}"},
        "labels": [],
    }
