"""Mapillary Vistas, and what is laid out like it: palette masks whose classes a config file lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drivable.data.encodings import MaskConvention
from drivable.data.formats.label_json import read_json
from drivable.data.road_data import RoadData, files_in, merged, pair_masks, pictures_in
from drivable.errors import DataError
from drivable.labels import RGB, LabelSet
from drivable.reading import reading

_SPLITS = {"training": "train", "validation": "val"}
# Folders of the masks, newest first, each with the config that goes with it.
_VERSIONS = (("v2.0/labels", "config_v2.0.json"), ("v1.2/labels", "config_v1.2.json"), ("labels", "config.json"))
_MAX_LABELS, _MAX_CLASSES = 256, 254


def open_mapillary(root: Path) -> RoadData | None:
    """``<split>/images/<id>.jpg`` with ``<split>/v2.0/labels/<id>.png`` and ``config_v2.0.json``, or an older version.

    A mask's value is a place in the config's list of labels; those that are not to be evaluated are ignored.
    """
    folders = [root / folder for folder in _SPLITS if (root / folder / "images").is_dir()]
    versions = [version for version in _VERSIONS if any((folder / version[0]).is_dir() for folder in folders)]
    configs = list(files_in(root, ".json", "config").values())
    if not versions or not configs:
        return None
    place, name = versions[0]
    file = next((config for config in configs if config.name == name), configs[0] if len(configs) == 1 else None)
    if file is None:
        found = ", ".join(config.name for config in configs)
        raise DataError(f"{root}: the masks in {place} need {name}, and there are only {found}; add it")
    values = read_json(file)
    if not isinstance(values, dict) or "labels" not in values:
        return None
    labels, convention = _read_labels(file, values["labels"])
    parts = {
        split: pair_masks(pictures_in(root / folder / "images"), files_in(root / folder / place, ".png"), convention)
        for folder, split in _SPLITS.items()
    }
    return merged(root, "mapillary", labels, parts)


def _read_labels(file: Path, entries: Any) -> tuple[LabelSet, MaskConvention]:
    names: list[str] = []
    colors: list[RGB] = []
    ids: dict[int, int] = {}
    if not isinstance(entries, list) or len(entries) > _MAX_LABELS:
        raise DataError(f"{file}: labels must be a list of at most {_MAX_LABELS}, which is what masks of 8 bits hold")
    for value, entry in enumerate(entries):
        wanted = "every label needs a name and a color of three numbers"
        with reading(file, DataError, f"label {value} is not described as expected", wanted):
            if not entry.get("evaluate", True):
                ids[value] = 255
                continue
            ids[value] = len(names)
            names.append(_unique(str(entry["name"]), names))
            red, green, blue = entry["color"]
            colors.append((red, green, blue))
    if len(names) > _MAX_CLASSES:
        raise DataError(f"{file}: {len(names)} classes to evaluate, and masks of 8 bits hold at most {_MAX_CLASSES}")
    with reading(file):
        return LabelSet(tuple(names), tuple(colors)), MaskConvention(f"Mapillary's {file.name}", values=ids)


def _unique(name: str, taken: list[str]) -> str:
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} {number}", number + 1
    return candidate
