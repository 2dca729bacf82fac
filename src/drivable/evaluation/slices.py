"""Scores of parts of a data set: by weather, scene, time of day, brightness and share of road."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drivable.labels import LabelSet
from drivable.metrics import PROTOCOLS, Interval, interval, resampled_sums

# A part of fewer pictures is shown, and left out of the headline.
LEAST_PICTURES = 20
_UNKNOWN = {"", "undefined", "unknown"}
# (name, up to and without), mean grey 0..255 and share of the labelled pixels.
_BRIGHTNESS = (("dark (< 60)", 60.0), ("medium (60 to 110)", 110.0), ("bright (> 110)", 256.0))
_ROAD = (("none", 1e-9), ("< 10 %", 0.1), ("10 to 25 %", 0.25), ("> 25 %", 1.01))


class Sliceable(Protocol):
    """What a slice needs to know of a picture."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """(K, K) pixels, truth by prediction."""
        ...

    @property
    def brightness(self) -> float:
        """Mean grey, 0..255."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """Where known."""
        ...


@dataclass(frozen=True)
class SliceScore:
    """One part.

    Args:
        by: what the pictures were parted by.
        value: which part.
        num_pictures: in it.
        strict3: over its pictures.
        class_ious: over its pictures, by class.
    """

    by: str
    value: str
    num_pictures: int
    strict3: Interval
    class_ious: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ious = {name: None if value != value else value for name, value in self.class_ious.items()}
        return {
            "by": self.by,
            "value": self.value,
            "num_pictures": self.num_pictures,
            "strict3": self.strict3.to_dict(),
            "per_class": ious,
        }


@dataclass(frozen=True)
class Gap:
    """The best and the worst part of at least 20 pictures."""

    best: SliceScore
    worst: SliceScore

    @property
    def size(self) -> float:
        """``strict3`` of the best less that of the worst."""
        return self.best.strict3.value - self.worst.strict3.value


def slice_scores(pictures: Sequence[Sliceable], labels: LabelSet) -> list[SliceScore]:
    """Score every part; the worst first. A value that is not known puts a picture into no part."""
    members: dict[tuple[str, str], list[int]] = {}
    for index, picture in enumerate(pictures):
        for place in _places(picture, labels):
            members.setdefault(place, []).append(index)
    strict3 = PROTOCOLS["strict3"]
    parts = []
    for (by, value), indices in members.items():
        counts = np.stack([pictures[index].counts for index in indices]).astype(np.float64)
        total = counts.sum(axis=0)
        parts.append(
            SliceScore(
                by,
                value,
                len(indices),
                interval(float(strict3.score(total, labels)), strict3.score(resampled_sums(counts), labels)),
                dict(zip(labels.names, map(float, strict3.class_ious(total, labels)), strict=True)),
            )
        )
    return sorted(parts, key=lambda part: part.strict3.value)


def widest_gap(parts: Sequence[SliceScore], by: str | None = None) -> Gap | None:
    """Between the best and the worst part of at least 20 pictures; ``None`` where there are not two.

    Args:
        parts: of one evaluation.
        by: only parts by this; all that the data's attributes say where ``None``. Parts by share of road are left out
            then: where there is no road, two of three classes are missing and the mean is another number.
    """
    known = [
        part
        for part in parts
        if part.num_pictures >= LEAST_PICTURES
        and (part.by == by if by is not None else part.by != "share of road")
        and part.strict3.value == part.strict3.value
    ]
    if len(known) < 2:
        return None
    ordered = sorted(known, key=lambda part: part.strict3.value)
    return Gap(best=ordered[-1], worst=ordered[0])


def _places(picture: Sliceable, labels: LabelSet) -> Iterator[tuple[str, str]]:
    for by, value in picture.attributes.items():
        if by in ("weather", "scene", "timeofday") and value not in _UNKNOWN:
            yield by, value
    yield "brightness", _bin(picture.brightness, _BRIGHTNESS)
    num_pixels = picture.counts.sum()
    if labels.background_id is not None and num_pixels:
        yield "share of road", _bin(1 - picture.counts[labels.background_id].sum() / num_pixels, _ROAD)


def _bin(value: float, bins: tuple[tuple[str, float], ...]) -> str:
    return next(name for name, end in bins if value < end)
