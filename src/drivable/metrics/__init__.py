"""The confusion matrix and the scores that are computed from it."""

from drivable.metrics.confusion import ConfusionMatrix
from drivable.metrics.protocols import PROTOCOLS, ClassScores, Scores, compute_scores

__all__ = ["PROTOCOLS", "ClassScores", "ConfusionMatrix", "Scores", "compute_scores"]
