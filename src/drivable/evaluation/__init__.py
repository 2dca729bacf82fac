"""Score predictions, say where they fail, and put models side by side."""

from drivable.evaluation.compare import (
    ComparedModel,
    Difference,
    compared,
    differences,
    measure_latency,
    write_comparison,
)
from drivable.evaluation.evaluate import Evaluation, PictureScore, evaluate
from drivable.evaluation.predictions import ModelPredictions, Predictor, StoredPredictions

__all__ = [
    "ComparedModel",
    "Difference",
    "Evaluation",
    "ModelPredictions",
    "PictureScore",
    "Predictor",
    "StoredPredictions",
    "compared",
    "differences",
    "evaluate",
    "measure_latency",
    "write_comparison",
]
