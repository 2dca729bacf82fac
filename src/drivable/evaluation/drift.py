"""Domain shift and temporal stability, estimated on images and films without labels.

Neither number knows the truth: a model that is wrong with confidence shows no shift, and one that never changes its
answer is perfectly stable. Both rank films and models; they do not replace labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.checkpoint import Calibration
from drivable.errors import DataError
from drivable.evaluation.predictions import most_probable
from drivable.imaging.images import Pixels, read_image, resize_image, resize_label_map
from drivable.imaging.sources import Sources
from drivable.imaging.video import read_frames, read_video_info
from drivable.labels import LabelSet
from drivable.metrics import PROTOCOLS, Interval, count_pixels, interval, resampled_sums
from drivable.progress import progress
from drivable.segmenter import LabelMap, Segmenter

# Motion is estimated on pictures of this height; it need not be exact to the pixel.
_FLOW_HEIGHT = 180
# Of either side, in pixels: OpenCV's flow crashes on narrower ones.
_LEAST_FLOW_SIZE = 32


@dataclass(frozen=True)
class DriftScores:
    """What can be measured without labels.

    Args:
        num_frames: looked at.
        estimated_accuracy: share of pixels that are as sure as right ones are on labelled pictures (average
            thresholded confidence, Garg et al. 2022), with its interval over frames.
        accuracy_at_home: pixel accuracy on the labelled pictures that the model was calibrated on.
        stability: ``strict3`` between each frame's label map and the one before, moved along the optical flow; NaN for
            pictures that do not follow each other or are too small.
        flicker: share of pixels that change class between two frames, likewise.
        road: mean share of a frame that is called drivable; ``None`` without a background class, since all would be.
    """

    num_frames: int
    estimated_accuracy: Interval
    accuracy_at_home: float
    stability: Interval
    flicker: Interval
    road: float | None

    @property
    def out_of_domain(self) -> float:
        """Share of the accuracy at home that is estimated to be lost here; 0 is at home."""
        return 1 - self.estimated_accuracy.value / self.accuracy_at_home

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "num_frames": self.num_frames,
            "out_of_domain": self.out_of_domain,
            "estimated_accuracy": self.estimated_accuracy.to_dict(),
            "accuracy_at_home": self.accuracy_at_home,
            "stability": self.stability.to_dict(),
            "flicker": self.flicker.to_dict(),
            "road": self.road,
        }


def score_frames(
    segmenter: Segmenter, calibration: Calibration, frames: Iterable[Pixels], are_consecutive: bool
) -> DriftScores:
    """Estimate domain shift and stability.

    Args:
        segmenter: the model, calibrated.
        calibration: of that model.
        frames: RGB (H, W, 3) uint8.
        are_consecutive: whether each follows the one before, as in a film.

    Raises:
        DataError: where there is no frame.
    """
    labels = segmenter.labels
    sure: list[float] = []
    road: list[float] = []
    agreements: list[NDArray[np.int64]] = []
    before: tuple[Pixels, LabelMap] | None = None
    for frame in frames:
        label_map, confidence = most_probable(segmenter.probabilities(frame), labels)
        sure.append(float((confidence >= calibration.threshold).mean()))
        if labels.background_id is not None:
            road.append(float((label_map != labels.background_id).mean()))
        is_large = min(_flow_size(frame)) >= _LEAST_FLOW_SIZE
        if are_consecutive and is_large and before is not None and before[0].shape == frame.shape:
            agreements.append(_agreement(before, (frame, label_map), labels))
        before = frame, label_map
    if not sure:
        raise DataError("no frame to look at")
    shares = np.array(sure)[:, None]
    estimated = interval(float(shares.mean()), resampled_sums(shares)[:, 0] / len(sure))
    stability = flicker = Interval(float("nan"), float("nan"), float("nan"))
    if agreements:
        counts = np.stack(agreements).astype(np.float64)
        drawn = resampled_sums(counts)
        strict3 = PROTOCOLS["strict3"]
        stability = interval(float(strict3.score(counts.sum(axis=0), labels)), strict3.score(drawn, labels))
        flicker = interval(float(_changed(counts.sum(axis=0))), _changed(drawn))
    return DriftScores(
        len(sure), estimated, calibration.accuracy, stability, flicker, float(np.mean(road)) if road else None
    )


def score_sources(segmenter: Segmenter, calibration: Calibration, sources: Sources) -> dict[str, DriftScores]:
    """Estimate domain shift and stability of each film, and of all image files together.

    Args:
        segmenter: the model, calibrated.
        calibration: of that model.
        sources: image files and films.

    Returns:
        Scores by film, and under ``images`` for the image files, which do not follow each other.

    Raises:
        DataError: where a file cannot be read.

    Example:
        >>> found = score_sources(segmenter, segmenter.origin.calibration, find_sources(["drive.mp4"]))
        >>> found["drive.mp4"].out_of_domain
        0.02
    """
    found = {}
    for path in sources.videos:
        with progress(f"scoring {path}", read_video_info(path).num_frames) as advance:
            frames = (frame.pixels for frame in read_frames(path))
            found[str(path)] = score_frames(segmenter, calibration, _counted(frames, advance), are_consecutive=True)
    if sources.pictures:
        with progress("scoring images", len(sources.pictures)) as advance:
            images = _counted((read_image(path) for path in sources.pictures), advance)
            found["images"] = score_frames(segmenter, calibration, images, are_consecutive=False)
    return found


def _counted(frames: Iterable[Pixels], advance: Callable[[], None]) -> Iterator[Pixels]:
    for frame in frames:
        yield frame
        advance()


def _agreement(before: tuple[Pixels, LabelMap], now: tuple[Pixels, LabelMap], labels: LabelSet) -> NDArray[np.int64]:
    """(K, K): pixels by class before, moved along with the picture, and class now."""
    small = _flow_size(now[0])
    greys = [cv2.cvtColor(resize_image(image, small), cv2.COLOR_RGB2GRAY) for image, _ in (now, before)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(greys[0], greys[1], None)  # type: ignore[call-overload]
    rows, columns = np.mgrid[: small[0], : small[1]].astype(np.float32)
    source_columns, source_rows = columns + flow[..., 0], rows + flow[..., 1]
    old, new = (resize_label_map(label_map, small) for _, label_map in (before, now))
    moved = cv2.remap(
        old,
        source_columns,
        source_rows,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=labels.ignore_id,
    )
    # What comes into the picture from outside was not there before.
    return count_pixels(np.asarray(moved, dtype=np.uint8), new, labels.num_classes, labels.ignore_id)


def _flow_size(frame: Pixels) -> tuple[int, int]:
    height, width, _ = frame.shape
    return min(_FLOW_HEIGHT, height), max(1, round(width * min(_FLOW_HEIGHT, height) / height))


def _changed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    stayed = np.trace(counts, axis1=-2, axis2=-1)
    return np.asarray(1 - stayed / counts.sum(axis=(-2, -1)))
