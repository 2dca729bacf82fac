"""JSON label files of drivable area: BDD100K's four generations, recognised by their content, and COCO's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from drivable.data.annotations.frames import IGNORE, Frame, Polygon, Rle, Shape
from drivable.errors import DataError

NATIVE_SIZE = (720, 1280)
# Category, or area type of the category "drivable area", to class. Whether "unknown" may be driven on nobody knows.
_CLASSES = {
    "area/drivable": "direct",
    "area/alternative": "alternative",
    "area/unknown": IGNORE,
    "direct": "direct",
    "alternative": "alternative",
    "unknown": IGNORE,
}


def read_frames(file: Path) -> list[Frame]:
    """Read the drivable area of all pictures of a JSON file.

    Known are BDD100K's one file per picture (2018), ``bdd100k_labels_images_*.json`` (2018-08), polygons and run
    lengths (2021; a list of frames, or ``frames`` in a mapping), and COCO's ``images`` with ``annotations``. Objects of
    other categories are passed over.

    Raises:
        DataError: where the file is missing, cut off or of another form; the message says where.

    Example:
        >>> read_frames(Path("labels/drivable/polygons/drivable_val.json"))[0].id
        'b1c66a42-6f7d68ca'
    """
    values = read_json(file)
    try:
        if isinstance(values, dict) and {"images", "annotations", "categories"} <= values.keys():
            return list(_coco_frames(values))
        if isinstance(values, dict) and isinstance(values.get("frames"), list) and "name" in values:
            return [_frame_2018(values)]
        frames = values["frames"] if isinstance(values, dict) else values
        return [_frame(entry) for entry in frames]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
        said = f"no key {fault}" if isinstance(fault, KeyError) else str(fault)
        raise DataError(
            f"{file}: JSON, but not of drivable-area labels ({said}); expected BDD100K's frames with labels and "
            "poly2d or rle, its one file per picture, or COCO's images with annotations"
        ) from fault


def read_json(file: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: where it is missing, no text, or cut off.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{file}: not a readable label file: {fault}") from fault
    except json.JSONDecodeError as fault:
        raise DataError(
            f"{file}: broken JSON at line {fault.lineno}, column {fault.colno} ({fault.msg}); was its copy cut off?"
        ) from fault


def _frame_2018(values: dict[str, Any]) -> Frame:
    """One picture in one file: ``poly2d`` is a list of [x, y, letter]."""
    shapes = [
        Polygon(
            _CLASSES[entry["category"]],
            tuple((float(x), float(y)) for x, y, _ in entry["poly2d"]),
            "".join(letter for _, _, letter in entry["poly2d"]),
            outlined=True,
        )
        for entry in values["frames"][0]["objects"]
        if entry["category"] in _CLASSES and "poly2d" in entry
    ]
    return Frame(_id(values["name"]), tuple(shapes), _size(values), _attributes(values))


def _frame(values: dict[str, Any]) -> Frame:
    """One entry of a list of frames, 2018-08 or 2021."""
    shapes: list[Shape] = []
    size = _size(values)
    for entry in values.get("labels") or []:
        category = entry["category"]
        # The masks of the drivable area were drawn in 2018, with an outline; the tool of 2021 draws none.
        outlined = category == "drivable area"
        if outlined:
            category = entry["attributes"]["areaType"]
        if category not in _CLASSES:
            continue
        name = _CLASSES[category]
        shapes += [
            Polygon(name, tuple((float(x), float(y)) for x, y in ring["vertices"]), ring["types"], outlined)
            for ring in entry.get("poly2d") or []
        ]
        if entry.get("rle"):
            rle = _rle(name, entry["rle"])
            shapes.append(rle)
            size = rle.size
    return Frame(_id(values["name"]), tuple(shapes), size, _attributes(values), values["name"])


def _coco_frames(values: dict[str, Any]) -> Iterator[Frame]:
    categories = {entry["id"]: entry["name"] for entry in values["categories"]}
    shapes: dict[Any, list[Shape]] = {entry["id"]: [] for entry in values["images"]}
    for entry in values["annotations"]:
        category = categories[entry["category_id"]]
        if category not in _CLASSES:
            continue
        name, segmentation = _CLASSES[category], entry["segmentation"]
        if isinstance(segmentation, dict):
            shapes[entry["image_id"]].append(_rle(name, segmentation))
            continue
        for flat in segmentation:
            # COCO counts from the corner of the first pixel, BDD100K from its centre.
            points = tuple((flat[i] - 0.5, flat[i + 1] - 0.5) for i in range(0, len(flat) - 1, 2))
            shapes[entry["image_id"]].append(Polygon(name, points, "L" * len(points)))
    for image in values["images"]:
        size = _checked(image["height"], image["width"])
        yield Frame(_id(image["file_name"]), tuple(shapes[image["id"]]), size, _attributes(image), image["file_name"])


def _size(values: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) that the coordinates mean: as the frame says, or those of all BDD100K's pictures."""
    if values.get("size"):
        return _checked(values["size"]["height"], values["size"]["width"])
    return NATIVE_SIZE if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}", _id(values["name"])) else None


def _rle(name: str, values: dict[str, Any]) -> Rle:
    counts, (height, width) = values["counts"], values["size"]
    return Rle(name, counts if isinstance(counts, str) else tuple(int(n) for n in counts), _checked(height, width))


def _checked(height: Any, width: Any) -> tuple[int, int]:
    size = int(height), int(width)
    if min(size) < 1:
        raise ValueError(f"a picture of {size[0]}x{size[1]}")
    return size


def _id(name: str) -> str:
    return PurePosixPath(name).name.removesuffix(".jpg").removesuffix(".png")


def _attributes(values: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in (values.get("attributes") or {}).items() if isinstance(value, str)}
