"""Read a recipe from YAML, apply ``key=value`` changes, and report all its faults together."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drivable.config.recipe import Recipe
from drivable.errors import ConfigError, nearest_match, one_line
from drivable.reading import parse_yaml, read_text, reading

# A wheel carries the recipes inside the package, a checkout at its root.
_SHIPPED = (Path(__file__).parents[1] / "configs", Path(__file__).parents[3] / "configs")


# Lines of one message; a file of nonsense has thousands.
MOST_FAULTS = 20


def find_recipe(name: str) -> Path:
    """Path of a recipe given as a file or by a shipped recipe's name.

    Args:
        name: ``path/to/recipe.yaml``, or a name such as ``lite`` or ``course/unet``.

    Raises:
        ConfigError: where there is neither; the message lists the shipped ones.
    """
    with reading(f"recipe '{one_line(name)}'", ConfigError):
        if Path(name).is_file():
            return Path(name)
    shipped = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for folder in _SHIPPED
        for path in sorted(folder.rglob("*.yaml"))
        if path.parent.name != "studies"
    }
    bare = name.removeprefix("configs/").removesuffix(".yaml")
    if bare in shipped:
        return shipped[bare]
    raise ConfigError(f"recipe '{one_line(name)}': no such file and no shipped recipe; {nearest_match(bare, shipped)}")


def load_recipe(name: str | Path, changes: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """Read, change and check a recipe.

    Args:
        name: a YAML file, or a shipped recipe's name.
        changes: ``a.b=value`` each, the value read as YAML, or plain values by ``a.b``; they win over the file.

    Raises:
        ConfigError: with all faults, one a line, each with its key, the value got and the nearest known key.

    Example:
        >>> load_recipe("lite", ["training.epochs=1"]).training.epochs
        1
    """
    path = find_recipe(str(name))
    with reading(path, ConfigError, "not readable as YAML"):
        values = parse_yaml(read_text(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of keys to values, got {type(values).__name__}")
    for key, value in changes.items() if isinstance(changes, Mapping) else map(_parsed, changes):
        _apply(values, key, value)
    return parse_recipe(values, str(path))


def with_data_path(recipe: Recipe, path: str | Path | None) -> Recipe:
    """The recipe with its data at ``path``, made absolute unless an address; unchanged where that is ``None``."""
    if path is None:
        return recipe
    place = str(path) if "://" in str(path) else str(Path(path).resolve())
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"path": place})})


def parse_recipe(values: dict[str, Any], where: str) -> Recipe:
    """Check plain values against :class:`Recipe`.

    Raises:
        ConfigError: with all faults, each line beginning with ``where``.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as fault:
        lines = [f"{where}: {line}" for line in islice(_faults(fault), MOST_FAULTS)]
        if fault.error_count() > MOST_FAULTS:
            lines.append(f"{where}: and {fault.error_count() - MOST_FAULTS} more")
        raise ConfigError("\n".join(lines)) from fault


def _parsed(change: str) -> tuple[str, Any]:
    """``a.b=value`` -> the key and its value; what stands in quotes is text, as everywhere in YAML."""
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {one_line(change)}: expected key=value, such as training.epochs=3")
    with reading(f"--set {one_line(change)}", ConfigError, "the value is not YAML"):
        return key, parse_yaml(text)


def _apply(values: dict[str, Any], key: str, value: Any) -> None:
    here: Any = values
    *parents, last = key.split(".")
    for parent in parents:
        if isinstance(here, list) and _is_place(parent, here):
            here = here[int(parent)]
        elif isinstance(here, dict):
            here = here.setdefault(parent, {})
        else:
            raise ConfigError(f"change of {one_line(key)}: '{one_line(parent)}' leads nowhere")
    if isinstance(here, list) and _is_place(last, here):
        here[int(last)] = deepcopy(value)
    elif isinstance(here, dict):
        here[last] = deepcopy(value)
    else:
        raise ConfigError(f"change of {one_line(key)}: '{one_line(key)}' leads nowhere")


def _is_place(text: str, values: list[Any]) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) < len(values)


def _faults(fault: ValidationError) -> Iterable[str]:
    for error in fault.errors():
        path = error["loc"]
        key = one_line(".".join(str(part) for part in path)) or "recipe"
        if error["type"] == "extra_forbidden":
            hint = nearest_match(str(path[-1]), _known_keys(path[:-1]))
            yield f"unknown key '{_without_tags(path)}'; {hint}"
        elif error["type"] == "union_tag_invalid":
            got, known = str(error["ctx"]["tag"]), error["ctx"]["expected_tags"]
            hint = nearest_match(got, known.replace("'", "").split(", "))
            yield f"{key}.name: unknown '{one_line(got)}'; {hint}"
        elif error["type"] == "union_tag_not_found":
            known = sorted(tag for model in _models_in(_walk(path)[1]) for tag in _tags(model))
            yield f"{key}: has no name; it is one of {', '.join(known)}"
        else:
            got = error["input"]
            shown = "" if error["type"] == "missing" or isinstance(got, dict) else f", got {one_line(got)}"
            yield f"{_without_tags(path)}: {one_line(error['msg'].removeprefix('Value error, '))}{shown}"


def _without_tags(path: tuple[int | str, ...]) -> str:
    return one_line(".".join(_walk(path)[0])) or "recipe"


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    return sorted({key for model in _models_in(_walk(path)[1]) for key in model.model_fields})


def _walk(path: tuple[int | str, ...]) -> tuple[list[str], Any]:
    """Follow an error's path to the key as the user wrote it and to the annotation it leads to.

    pydantic puts the tag of a chosen variant into the path, after 'model', 'schedule' or 'loss.0'.
    """
    annotation: Any = Recipe
    written = []
    for part in path:
        variants = list(_models_in(annotation))
        tagged = [model for model in variants if str(part) in _tags(model)]
        if len(variants) > 1 and tagged:
            annotation = tagged[0]
            continue
        written.append(str(part))
        if isinstance(part, str) and len(variants) == 1 and part in variants[0].model_fields:
            annotation = variants[0].model_fields[part].annotation
    return written, annotation


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _models_in(part)


def _tags(model: type[BaseModel]) -> tuple[str, ...]:
    field = model.model_fields.get("name")
    return tuple(str(value) for value in typing.get_args(field.annotation)) if field is not None else ()
