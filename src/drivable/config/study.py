"""A study: one recipe, trained with one thing changed at a time, or with a search over some of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from drivable.config.loading import MOST_FAULTS, load_recipe
from drivable.config.recipe import Count, Recipe
from drivable.config.section import Name, Section
from drivable.errors import ConfigError, one_line
from drivable.reading import parse_yaml, read_text, reading


class RangeSpec(Section):
    """Numbers to search among."""

    low: float
    high: float
    log: bool = Field(default=False, description="Evenly over the logarithm.")

    @model_validator(mode="after")
    def _is_a_range(self) -> RangeSpec:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"a range needs low < high, and low > 0 with log; got {self.low} and {self.high}")
        return self


class ChoiceSpec(Section):
    """Values to search among."""

    choices: tuple[Any, ...] = Field(min_length=2)


class Study(Section):
    """What ``drivable sweep`` runs.

    Args:
        name: of the study, and of what it writes.
        question: what it asks, the title of its table.
        recipe: the recipe that all runs start from, a file or a shipped recipe's name.
        set: ``{"a.b": value}``, changed in all runs.
        runs: by name, ``{"a.b": value}`` of what that run changes.
        search: ``{"a.b": range or choices}`` that a search draws from; instead of ``runs``.
        trials: how many runs the search may take.

    Example:
        >>> Study(name="losses", recipe="lite", runs={"dice": {"loss": [{"name": "dice"}]}}).recipe_of("dice").name
        'losses-dice'
    """

    name: Name
    question: str = ""
    recipe: str
    set: dict[str, Any] = Field(default_factory=dict)
    runs: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    search: dict[str, RangeSpec | ChoiceSpec] = Field(default_factory=dict)
    trials: Count | Literal[0] = 0

    @model_validator(mode="after")
    def _runs_or_searches(self) -> Study:
        if bool(self.runs) == bool(self.search) or bool(self.search) != bool(self.trials):
            raise ValueError("a study has either runs, or search and trials")
        return self

    def recipe_of(self, run: str, changes: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe of one run.

        Args:
            run: its name.
            changes: what it changes; those under ``runs`` where not given.

        Raises:
            ConfigError: where the changes do not make a recipe.
        """
        wanted = {**self.set, **(self.runs[run] if changes is None else changes), "name": f"{self.name}-{run}"}
        try:
            return load_recipe(self.recipe, wanted)
        except ConfigError as fault:
            raise ConfigError(f"study {self.name}, run {run}: {fault}") from fault


def load_study(path: Path) -> Study:
    """Read and check a study, and the recipe of every run that it names.

    Raises:
        ConfigError: where the file, the study or one of its recipes is wrong.
    """
    with reading(path, ConfigError, "not readable as YAML"):
        values = parse_yaml(read_text(path))
    try:
        study = Study.model_validate(values)
    except ValidationError as fault:
        lines = [
            f"{path}: {one_line('.'.join(str(part) for part in error['loc'])) or 'study'}: "
            f"{one_line(error['msg'].removeprefix('Value error, '))}"
            for error in fault.errors()[:MOST_FAULTS]
        ]
        raise ConfigError("\n".join(lines)) from fault
    for run in study.runs:
        study.recipe_of(run)
    return study
