"""Recipes: their parts, their defaults, and how they are read."""

from drivable.config.loading import find_recipe, load_recipe, parse_recipe, with_data_path
from drivable.config.models import ModelSpec, Normalization
from drivable.config.recipe import Recipe
from drivable.config.study import Study, load_study

__all__ = [
    "ModelSpec",
    "Normalization",
    "Recipe",
    "Study",
    "find_recipe",
    "load_recipe",
    "load_study",
    "parse_recipe",
    "with_data_path",
]
