"""Score predictions on labelled pictures."""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.data.samples import Sample, read_pair
from drivable.errors import DataError, one_line
from drivable.evaluation.label_errors import Doubt, doubt
from drivable.evaluation.predictions import Confidence, ModelPredictions, Predictor, StoredPredictions
from drivable.evaluation.slices import SliceScore, slice_scores
from drivable.imaging.images import Pixels, resize_image, resize_label_map
from drivable.labels import LabelSet
from drivable.metrics import (
    COLUMNS,
    PER_BATCH,
    GroundCamera,
    Interval,
    Reliability,
    Scores,
    compute_scores,
    count_pixels,
    draws,
    interval,
    iou,
    known_protocols,
    mean_iou,
    measures,
    per_batch_ious,
    resampled_sums,
    safety_row,
    two_sided,
)
from drivable.segmenter import LabelMap, Segmenter

_log = logging.getLogger(__name__)
_BATCH = 8
# Confidence is a smooth function of place: every fourth pixel of every fourth row tells as much.
STEP = 4


@dataclass(frozen=True)
class PictureScore:
    """What one picture adds; small, since there is one for every picture.

    Args:
        id: of the picture.
        counts: (K, K) pixels, truth by prediction.
        safety: row of :data:`drivable.metrics.COLUMNS`; empty without a background class.
        brightness: mean grey, 0..255.
        attributes: weather, scene, time of day and the like, where known.
        doubt: how much a sure model contradicts the label; ``None`` where confidence is not known.
        checksum: of the picture's and the label map's pixels.
    """

    id: str
    counts: NDArray[np.int64]
    safety: NDArray[np.float64]
    brightness: float
    attributes: Mapping[str, str]
    doubt: Doubt | None
    checksum: int

    @property
    def mean_iou(self) -> float:
        """``strict3`` of this picture alone; NaN where all pixels are ignored."""
        return float(mean_iou(iou(self.counts.astype(np.float64))))


@dataclass(frozen=True)
class Evaluation:
    """Scores on a set of pictures.

    Args:
        labels: the classes.
        pictures: what each picture adds, in order.
        num_broken: pictures left out because they could not be read.
        size: (height, width) at which masks were compared, ``None`` for each picture's own.
        reliability: how sure the model is and how often right; ``None`` where confidence is not known.
    """

    labels: LabelSet
    pictures: tuple[PictureScore, ...]
    num_broken: int
    size: tuple[int, int] | None
    reliability: Reliability | None

    @property
    def num_pictures(self) -> int:
        """Pictures scored."""
        return len(self.pictures)

    @cached_property
    def counts(self) -> NDArray[np.float64]:
        """(N, K, K) pixels of every picture."""
        return np.stack([picture.counts for picture in self.pictures]).astype(np.float64)

    @cached_property
    def scores(self) -> Scores:
        """Precision, recall and the rest of all pixels together."""
        return compute_scores(self.counts.sum(axis=0).astype(np.int64), self.labels)

    @cached_property
    def protocols(self) -> dict[str, Interval]:
        """Every protocol's mean IoU with its interval over pictures."""
        return {name: value for name, (value, _) in self._resampled.items()}

    @cached_property
    def class_ious(self) -> dict[str, dict[str, Interval]]:
        """Every protocol's IoU by class."""
        return {name: classes for name, (_, classes) in self._resampled.items()}

    @cached_property
    def _resampled(self) -> dict[str, tuple[Interval, dict[str, Interval]]]:
        sums = resampled_sums(self.counts)
        result = {}
        for name, protocol in known_protocols(self.labels).items():
            if name == PER_BATCH:
                ious = protocol.class_ious(self.counts, self.labels)
                sides = two_sided(self.counts, self.labels)
                drawn = np.concatenate([per_batch_ious(sides[chunk]) for chunk in draws(self.num_pictures)])
                mean, means = mean_iou(ious), mean_iou(drawn)
            else:
                total = self.counts.sum(axis=0)
                ious, mean = protocol.class_ious(total, self.labels), protocol.score(total, self.labels)
                drawn, means = protocol.class_ious(sums, self.labels), protocol.score(sums, self.labels)
            classes = {
                label: interval(float(ious[k]), drawn[:, k])
                for k, label in enumerate(protocol.class_names(self.labels))
            }
            result[name] = (interval(float(mean), means), classes)
        return result

    @cached_property
    def safety(self) -> dict[str, Interval]:
        """Every safety measure with its interval; empty without a background class."""
        if self.labels.background_id is None:
            return {}
        rows = np.stack([picture.safety for picture in self.pictures])
        values, drawn = measures(rows.sum(axis=0)), measures(resampled_sums(rows))
        return {name: interval(float(values[name]), drawn[name]) for name in values if values[name] == values[name]}

    @cached_property
    def slices(self) -> list[SliceScore]:
        """By weather, scene, time of day, brightness and share of road; the worst first."""
        return slice_scores(self.pictures, self.labels)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know of classes that are not there."""
        table = self.counts.sum(axis=0)
        notes = []
        for k, name in enumerate(self.labels.names):
            if table[k].sum() == 0:
                num_seen = int(table[:, k].sum())
                said = (
                    f"predicted in {num_seen:,} pixels, so its IoU is 0; bdd-official leaves it out of its mean"
                    if num_seen
                    else "absent, so no mean has it"
                )
                notes.append(f"{name}: no pixel of it is labelled; {said}")
        return notes

    @property
    def data_fingerprint(self) -> str:
        """The same for the same ids, pictures and label maps, wherever they lie and in whatever order."""
        lines = sorted(f"{picture.id} {picture.checksum:08x}" for picture in self.pictures)
        return hashlib.blake2b("\n".join(lines).encode(errors="surrogateescape"), digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        size = "own" if self.size is None else list(self.size)
        scores = self.scores.to_dict()
        return {
            "protocols": {
                name: {
                    **mean.to_dict(),
                    "per_class": {label: value.to_dict() for label, value in self.class_ious[name].items()},
                }
                for name, mean in self.protocols.items()
            },
            "classes": scores["classes"],
            "pixel_accuracy": scores["pixel_accuracy"],
            "confusion": self.counts.sum(axis=0).astype(int).tolist(),
            "safety": {name: value.to_dict() for name, value in self.safety.items()},
            "slices": [part.to_dict() for part in self.slices],
            "calibration": None if self.reliability is None else self.reliability.to_dict(),
            "notes": self.notes,
            "num_pixels": scores["num_pixels"],
            "num_pictures": self.num_pictures,
            "num_broken": self.num_broken,
            "size": size,
            "data_fingerprint": self.data_fingerprint,
        }


def evaluate(
    predictor: Predictor | Segmenter,
    samples: Sequence[Sample],
    labels: LabelSet,
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    size: tuple[int, int] | None = None,
    skip_broken: bool = False,
    camera: GroundCamera | None = None,
    on_sample: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Compare an answer to every picture with its label map.

    Args:
        predictor: what is scored: a segmenter, which is then also asked how sure it is, or a predictor.
        samples: labelled pictures.
        labels: the classes of their label maps; names must equal the predictor's.
        attributes: of the pictures by id, for slices.
        size: resize pictures and label maps to this (height, width) first, as the course's own numbers were taken;
            ``None`` compares at each picture's own size.
        skip_broken: leave out pictures that cannot be read, and count them.
        camera: for distances in metres.
        on_sample: called after each picture.

    Returns:
        The scores.

    Raises:
        DataError: where the classes differ, no picture is left, every pixel is ignored, or, without ``skip_broken``,
            a picture is broken.

    Example:
        >>> evaluate(load(), select_split(data, "test"), data.labels).protocols["strict3"].value
    """
    if isinstance(predictor, Segmenter):
        predictor = ModelPredictions(predictor)
    if predictor.labels.names != labels.names:
        raise DataError(
            f"the model knows {list(predictor.labels.names)}, the data has {list(labels.names)}; these must "
            "be the same classes"
        )
    if isinstance(predictor, StoredPredictions) and (surplus := predictor.surplus(samples)):
        _log.warning(
            "%s: %d of %d label maps belong to none of the %d labelled pictures and are not scored, '%s' first; is it "
            "another split?",
            predictor.folder,
            len(surplus),
            len(predictor.files),
            len(samples),
            one_line(surplus[0].name, 80),
        )
    pictures: list[PictureScore] = []
    reliability = Reliability()
    num_broken = 0
    waiting: list[tuple[Sample, Pixels, LabelMap]] = []

    def score_waiting() -> None:
        answers = predictor.answer([sample for sample, _, _ in waiting], [image for _, image, _ in waiting])
        for (sample, image, actual), (predicted, confidence) in zip(waiting, answers, strict=True):
            known = (attributes or {}).get(sample.id, {})
            pictures.append(
                score_picture(sample.id, image, actual, predicted, confidence, labels, known, camera, reliability)
            )
        waiting.clear()

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
            waiting.append((sample, image, label_map))
        if len(waiting) == _BATCH:
            score_waiting()
        on_sample()
    if waiting:
        score_waiting()
    if not pictures:
        raise DataError(f"none of {len(samples)} pictures could be scored")
    if not any(picture.counts.any() for picture in pictures):
        raise DataError(f"every pixel of {len(pictures)} pictures is ignored (id {labels.ignore_id}); nothing to score")
    known = reliability if reliability.counts.any() else None
    return Evaluation(labels, tuple(pictures), num_broken, size, known)


def score_picture(
    key: str,
    image: Pixels,
    actual: LabelMap,
    predicted: LabelMap,
    confidence: Confidence | None,
    labels: LabelSet,
    attributes: Mapping[str, str],
    camera: GroundCamera | None,
    reliability: Reliability,
) -> PictureScore:
    """Everything that one picture adds.

    Args:
        key: id of the picture.
        image: RGB (H, W, 3) uint8.
        actual: true ids (H, W).
        predicted: ids of the same shape.
        confidence: their probability (H, W), where known.
        labels: the classes.
        attributes: of the picture, where known.
        camera: for distances in metres.
        reliability: receives the confidence.
    """
    doubted = None
    if confidence is not None:
        places = (slice(None, None, STEP),) * 2
        near = actual[places], predicted[places], confidence[places]
        counted = near[0] != labels.ignore_id
        reliability.update(near[2][counted], (near[0] == near[1])[counted])
        doubted = doubt(*near, labels)
    return PictureScore(
        key,
        count_pixels(actual, predicted, labels.num_classes, labels.ignore_id),
        _safety(actual, predicted, labels, camera),
        float(image[::STEP, ::STEP].mean()),
        attributes,
        doubted,
        _checksum(image, actual),
    )


def _checksum(image: Pixels, label_map: LabelMap) -> int:
    return zlib.crc32(np.ascontiguousarray(label_map).data, zlib.crc32(np.ascontiguousarray(image).data))


def _safety(
    actual: LabelMap, predicted: LabelMap, labels: LabelSet, camera: GroundCamera | None
) -> NDArray[np.float64]:
    if labels.background_id is None:
        return np.zeros(len(COLUMNS))
    return safety_row(actual, predicted, labels, camera)
