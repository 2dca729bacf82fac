"""``labels.yaml``: what the values, colours or classes of a data folder mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivable.data.encodings import MaskConvention, identity_convention
from drivable.errors import ConfigError, DataError, nearest_match, one_line
from drivable.labels import RGB, LabelSet
from drivable.reading import parse_yaml, read_text, reading

_KEYS = ("names", "colors", "background", "ignore_id", "ids", "mask_colors", "classes")
_NOTHING = ("null", "Null", "NULL", "~", "")


@dataclass(frozen=True)
class DescribedLabels:
    """What a ``labels.yaml`` says.

    Args:
        labels: the label set.
        convention: what the pixels of mask files mean.
        classes: class of the label set, or ``ignore``, by class of a known layout; ``None`` where not given. The
            class ``*`` stands for all others.
    """

    labels: LabelSet
    convention: MaskConvention
    classes: Mapping[str, str] | None


def read_labels_yaml(file: Path) -> DescribedLabels:
    """Read a ``labels.yaml``.

    Its keys are ``names``, ``colors``, ``background`` and ``ignore_id`` of the label set and, where masks do not hold
    its ids, one of ``ids`` (mask value to class), ``mask_colors`` ([[R, G, B], class] pairs) and ``classes`` (class of
    a known layout to class, such as ``road: drivable``); each may lead to ``ignore``.

    Raises:
        DataError: where the file cannot be read or contradicts itself.

    Example:
        >>> read_labels_yaml(Path("camera/labels.yaml")).labels.names
        ('road', 'rest')
    """
    with reading(file, DataError, "not readable as YAML"):
        values: Any = parse_yaml(read_text(file), as_text=True)
    if not isinstance(values, dict) or "names" not in values:
        raise DataError(f"{file}: expected names, colors, background and, where mask values differ, ids")
    for key in values:
        if key not in _KEYS:
            raise DataError(f"{file}: unknown key '{one_line(key, 40)}'; {nearest_match(str(key), _KEYS)}")
    if sum(key in values for key in ("ids", "mask_colors", "classes")) > 1:
        raise DataError(f"{file}: ids, mask_colors and classes exclude each other; keep the one that the masks have")
    labels = _label_set(file, values)
    known = {name: index for index, name in enumerate(labels.names)} | {"ignore": labels.ignore_id}
    convention, classes = identity_convention(labels), None
    if "ids" in values:
        convention = MaskConvention(str(file), values=_ids(file, values["ids"], known), is_told=True)
    elif "mask_colors" in values:
        convention = MaskConvention(str(file), colors=_mask_colors(file, values["mask_colors"], known), is_told=True)
    elif "classes" in values:
        classes = values["classes"]
        if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes):
            raise DataError(f"{file}: classes must lead from a layout's class names to names, got {one_line(classes)}")
        for name in classes.values():
            _id(file, "classes", name, known)
    return DescribedLabels(labels, convention, classes)


def _label_set(file: Path, values: Mapping[str, Any]) -> LabelSet:
    """The label set; its values are text as they were written, so that ``no`` and ``0`` are names of classes."""
    names, colors, background = (values.get(key) for key in ("names", "colors", "background"))
    # Whoever writes null means nothing by it, unless there is a class of that name.
    if isinstance(background, str) and background in _NOTHING and not (isinstance(names, list) and background in names):
        background = None
    is_list = isinstance(colors, list) and all(isinstance(color, list) for color in colors)
    try:
        return LabelSet.from_dict(
            {
                "names": names,
                "colors": [[_number(value) for value in color] for color in colors or ()] if is_list else colors,
                "background": background,
                "ignore_id": _number(values.get("ignore_id", 255)),
            }
        )
    except ConfigError as fault:
        raise DataError(f"{file}: {fault}") from fault


def _number(value: object) -> object:
    """The whole number that a text writes; anything else as it is, for whoever refuses it."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?(0x[0-9a-fA-F]{1,8}|[0-9]{1,9})", value):
        return int(value, 16 if "x" in value else 10)
    return value


def _ids(file: Path, given: Any, known: Mapping[str, int]) -> dict[int, int]:
    ids: dict[int, int] = {}
    for key, name in given.items() if isinstance(given, dict) else [(None, None)]:
        value = _number(key)
        if type(value) is not int or not 0 <= value <= 255 or value in ids:
            raise DataError(
                f"{file}: ids must lead from mask values 0..255, each once, to class names or 'ignore', got "
                f"{one_line(given)}"
            )
        ids[value] = _id(file, "ids", name, known)
    return ids


def _mask_colors(file: Path, given: Any, known: Mapping[str, int]) -> dict[RGB, int]:
    colors: dict[RGB, int] = {}
    for entry in given if isinstance(given, list) else [given]:
        match entry:
            case [[red, green, blue], name]:
                color = _number(red), _number(green), _number(blue)
            case _:
                color, name = (None, None, None), None
        if not all(type(value) is int and 0 <= value <= 255 for value in color) or color in colors:
            raise DataError(
                f"{file}: mask_colors must be a list of [[R, G, B], class], each colour once, got {one_line(entry)}"
            )
        colors[color] = _id(file, "mask_colors", name, known)  # type: ignore[index]
    return colors


def _id(file: Path, key: str, name: object, known: Mapping[str, int]) -> int:
    if not isinstance(name, str) or name not in known:
        raise DataError(
            f"{file}: {key} lead to '{one_line(name, 40)}', which is no class; {nearest_match(str(name), known)}"
        )
    return known[name]
