"""Is the exported model the same model?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from drivable.data.pictures import Pixels, resize_image
from drivable.data.rendered import render, sample_scene
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.metrics import compute_scores, count_pixels
from drivable.segmenter import Segmenter

# Small and large, of other shapes than the network's, odd.
SIZES = ((360, 640), (720, 1280), (375, 1242), (97, 131))
# Share of the pixels that must get the same class, and what strict3 may lose.
LEAST_AGREEMENT = 0.999
MOST_LOSS = 0.01
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


def agreement(reference: Segmenter, exported: Segmenter, pictures: LabelledPictures) -> dict[str, float]:
    """Share of the pixels that get the same class from both, by size of picture, two pictures each.

    Example:
        >>> agreement(load(), load("lite.onnx"), rendered_pictures())["360x640"]
        1.0
    """
    shares = {}
    for size in SIZES:
        images = [resize_image(image, size) for image, _ in pictures.check[:2]]
        equal = [(reference.segment(image) == exported.segment(image)).mean() for image in images]
        shares[f"{size[0]}x{size[1]}"] = float(np.mean(equal))
    return shares


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
