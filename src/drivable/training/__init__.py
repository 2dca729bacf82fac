"""Fit a model by a recipe."""

from drivable.training.train import TrainingResult, resumed_recipe, train

__all__ = ["TrainingResult", "resumed_recipe", "train"]
