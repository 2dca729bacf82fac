"""``labels.yaml``: what the values, colours or classes of a data folder mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from drivable.data.conventions import MaskConvention, identity_convention
from drivable.errors import ConfigError, DataError, nearest_match
from drivable.labels import RGB, LabelSet

_KEYS = ("names", "colors", "background", "ignore_id", "ids", "mask_colors", "classes")


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
    try:
        values: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise DataError(f"{file}: not readable as YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(values, dict) or "names" not in values:
        raise DataError(f"{file}: expected names, colors, background and, where mask values differ, ids")
    for key in values:
        if key not in _KEYS:
            raise DataError(f"{file}: unknown key '{key}'; {nearest_match(str(key), _KEYS)}")
    if sum(key in values for key in ("ids", "mask_colors", "classes")) > 1:
        raise DataError(f"{file}: ids, mask_colors and classes exclude each other; keep the one that the masks have")
    try:
        labels = LabelSet.from_dict(values)
    except ConfigError as fault:
        raise DataError(f"{file}: {fault}") from fault
    known = {name: index for index, name in enumerate(labels.names)} | {"ignore": labels.ignore_id}
    convention, classes = identity_convention(labels), None
    if "ids" in values:
        convention = MaskConvention(str(file), values=_ids(file, values["ids"], known))
    elif "mask_colors" in values:
        convention = MaskConvention(str(file), colors=_mask_colors(file, values["mask_colors"], known))
    elif "classes" in values:
        classes = values["classes"]
        if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes):
            raise DataError(f"{file}: classes must lead from a layout's class names to names, got {classes!r}")
        for name in classes.values():
            _id(file, "classes", name, known)
    return DescribedLabels(labels, convention, classes)


def _ids(file: Path, given: Any, known: Mapping[str, int]) -> dict[int, int]:
    if not isinstance(given, dict) or not all(type(value) is int and 0 <= value <= 255 for value in given):
        raise DataError(f"{file}: ids must lead from mask values 0..255 to class names or 'ignore', got {given!r}")
    return {value: _id(file, "ids", name, known) for value, name in given.items()}


def _mask_colors(file: Path, given: Any, known: Mapping[str, int]) -> dict[RGB, int]:
    colors: dict[RGB, int] = {}
    for entry in given if isinstance(given, list) else [given]:
        match entry:
            case [[int(r), int(g), int(b)], str(name)] if all(0 <= v <= 255 for v in (r, g, b)):
                colors[r, g, b] = _id(file, "mask_colors", name, known)
            case _:
                raise DataError(f"{file}: mask_colors must be a list of [[R, G, B], class], got {entry!r}")
    return colors


def _id(file: Path, key: str, name: object, known: Mapping[str, int]) -> int:
    if not isinstance(name, str) or name not in known:
        raise DataError(f"{file}: {key} lead to '{name}', which is no class; {nearest_match(str(name), known)}")
    return known[name]
