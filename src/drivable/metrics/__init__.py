"""Confusion matrices and everything that is computed from them, with intervals; safety and calibration."""

from drivable.metrics.calibration import Margins, Reliability, fit_temperature
from drivable.metrics.confusion import ConfusionMatrix, count_pixels
from drivable.metrics.protocols import (
    PER_BATCH,
    PROTOCOLS,
    ClassScores,
    Protocol,
    Scores,
    compute_scores,
    iou,
    known_protocols,
    mean_iou,
    per_batch_ious,
    two_sided,
)
from drivable.metrics.resampling import Interval, PairedTest, draws, interval, paired_test, resampled_sums
from drivable.metrics.safety import COLUMNS, MEASURES, GroundCamera, measures, safety_row

__all__ = [
    "COLUMNS",
    "MEASURES",
    "PER_BATCH",
    "PROTOCOLS",
    "ClassScores",
    "ConfusionMatrix",
    "GroundCamera",
    "Interval",
    "Margins",
    "PairedTest",
    "Protocol",
    "Reliability",
    "Scores",
    "compute_scores",
    "count_pixels",
    "draws",
    "fit_temperature",
    "interval",
    "iou",
    "known_protocols",
    "mean_iou",
    "measures",
    "paired_test",
    "per_batch_ious",
    "resampled_sums",
    "safety_row",
    "two_sided",
]
