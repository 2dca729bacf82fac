"""Is the exported model the same model?"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.imaging.images import Pixels, resize_image
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.metrics import compute_scores, count_pixels
from drivable.segmenter import ExportedSegmenter, Segmenter
from drivable.synthetic import render, sample_scene

_log = logging.getLogger(__name__)

# Small and large, of other shapes than the network's, odd.
SIZES = ((360, 640), (720, 1280), (375, 1242), (97, 131))
# Share of the pixels that must get the same class, and what strict3 may lose.
LEAST_AGREEMENT = 0.999
MOST_LOSS = 0.01
# By how much probabilities may be off on average, in float and in what is rounded to fewer bits.
MOST_OFF = (0.001, 0.02)
_NUM_COMPARED = 3
_NUM_RENDERED = 24
_ROUNDS = 15


@dataclass(frozen=True)
class LabelledPictures:
    """What an export is calibrated and checked on.

    Args:
        train: pictures (H, W, 3), to see the ranges of the activations on.
        check: pictures and label maps, to score on.
        labels: the classes of the label maps.
        name: what they are.
    """

    train: Sequence[Pixels]
    check: Sequence[tuple[Pixels, Pixels]]
    labels: LabelSet
    name: str


def rendered_pictures() -> LabelledPictures:
    """Rendered roads, where there are no real ones."""
    frames = [render(sample_scene(np.random.default_rng(seed), (360, 640))) for seed in range(2 * _NUM_RENDERED)]
    return LabelledPictures(
        [frame.image for frame in frames[:_NUM_RENDERED]],
        [(frame.image, frame.label_map) for frame in frames[_NUM_RENDERED:]],
        BDD100K_DRIVABLE,
        "rendered roads",
    )


def agreement(
    reference: Callable[[Pixels], Pixels], exported: Segmenter, pictures: LabelledPictures
) -> dict[str, float]:
    """Share of the pixels that get the same class from both, by size of picture: of three each, two in one pass.

    Example:
        >>> agreement(load().segment, load("lite.onnx"), rendered_pictures())["360x640"]
        1.0
    """
    shares: dict[str, float] = {}
    seen: set[int] = set()
    for size in SIZES:
        images = _resized(pictures, size)
        expected = [reference(image) for image in images]
        answers = [*exported.segment_batch(images[:-1]), exported.segment(images[-1])]
        equal = [(one == other).mean() for one, other in zip(expected, answers, strict=True)]
        shares[f"{size[0]}x{size[1]}"] = float(np.mean(equal))
        seen.update(*(np.unique(ids).tolist() for ids in expected))
    if len(seen) == 1:
        _log.warning("the model sees one class only in %s, so that agreement proves little", pictures.name)
    return shares


def most_off(
    reference: Callable[[Pixels], NDArray[Any]], exported: ExportedSegmenter, pictures: LabelledPictures
) -> float:
    """By how much probabilities are off on average, over pictures of the worst size."""
    off = []
    for size in SIZES:
        pairs = [(reference(image), exported.probabilities(image)) for image in _resized(pictures, size)]
        off.append(float(np.mean([np.abs(one - other).mean() for one, other in pairs])))
    return max(off)


def _resized(pictures: LabelledPictures, size: tuple[int, int]) -> list[Pixels]:
    return [resize_image(image, size) for image, _ in pictures.check[:_NUM_COMPARED]]


def strict3(segment: Callable[[Pixels], Pixels], pairs: Iterable[tuple[Pixels, Pixels]], labels: LabelSet) -> float:
    """``strict3``, 0..1, of a function from picture to label map on pictures and their labels."""
    counts = sum(count_pixels(truth, segment(image), labels.num_classes, labels.ignore_id) for image, truth in pairs)
    return float(compute_scores(np.asarray(counts), labels).strict3)


def medians_ms(segmenters: Sequence[Segmenter], image: Pixels) -> list[float]:
    """Median time of a picture with each, in turns, after three rounds to warm up."""
    times: list[list[float]] = [[] for _ in segmenters]
    for round_number in range(_ROUNDS + 3):
        for segmenter, own in zip(segmenters, times, strict=True):
            start = time.perf_counter()
            segmenter.segment(image)
            if round_number >= 3:
                own.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(own) for own in times]
