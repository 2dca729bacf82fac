"""Fit a model by a recipe."""

from drivable.training.average import average
from drivable.training.sweep import StudyRow, sweep
from drivable.training.train import TrainingResult, resumed_recipe, train

__all__ = ["StudyRow", "TrainingResult", "average", "resumed_recipe", "sweep", "train"]
