"""Recipes: their parts, their defaults, and how they are read."""

from drivable.config.loading import find_recipe, load_recipe, parse_recipe, with_data_path
from drivable.config.models import ModelSpec, Normalization
from drivable.config.recipe import Recipe

__all__ = ["ModelSpec", "Normalization", "Recipe", "find_recipe", "load_recipe", "parse_recipe", "with_data_path"]
