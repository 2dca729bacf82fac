"""JSON label files of drivable area: BDD100K's four generations, recognised by their content, and COCO's."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from drivable.data.outlines import number
from drivable.data.shapes import IGNORE, Frame, Polygon, Rle, Shape, text_attributes
from drivable.errors import DataError, PlacelessError, one_line
from drivable.files import check_name
from drivable.imaging.images import PICTURE_SUFFIXES
from drivable.reading import check_size, parse_json, read_text, reading

NATIVE_SIZE = (720, 1280)
# Category, or area type of the category "drivable area", to class. Whether "unknown" may be driven on nobody knows.
_CLASSES = {
    "area/drivable": "direct",
    "area/direct": "direct",
    "area/alternative": "alternative",
    "area/unknown": IGNORE,
    "direct": "direct",
    "alternative": "alternative",
    "unknown": IGNORE,
}
_DRIVABLE_AREA = "drivable area"
# What is called so is meant as drivable area, whatever its class.
_MEANT = re.compile(r"^area/|drive?able|direct(?!ion)|alternative")


def read_frames(file: Path) -> list[Frame]:
    """Read the drivable area of all pictures of a JSON file.

    Known are BDD100K's one file per picture (2018), ``bdd100k_labels_images_*.json`` (2018-08), polygons and run
    lengths (2021; a list of frames, or ``frames`` in a mapping), and COCO's ``images`` with ``annotations``. Classes
    may be in capital letters; a drivable area of an unknown class counts as undrawn. Objects of other categories are
    passed over.

    Raises:
        DataError: where the file is missing, cut off or of another form; the message says where.

    Example:
        >>> read_frames(Path("labels/drivable/polygons/drivable_val.json"))[0].id
        'b1c66a42-6f7d68ca'
    """
    values = read_json(file)
    expected = "JSON, but not of drivable-area labels"
    hint = "expected BDD100K's frames with labels and poly2d or rle, its one file per picture, or COCO's images with "
    with reading(file, DataError, expected, hint + "annotations"):
        if isinstance(values, dict) and {"images", "annotations", "categories"} <= values.keys():
            return list(_coco_frames(values))
        if isinstance(values, dict) and isinstance(values.get("frames"), list) and "name" in values:
            return [_frame_2018(values)]
        frames = values["frames"] if isinstance(values, dict) else values
        return [_frame(entry) for entry in frames]


def read_json(file: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: where it is missing, no text, cut off or nested too deeply.
    """
    with reading(file, DataError, "not a readable label file"):
        text = read_text(file)
        try:
            return parse_json(text)
        except json.JSONDecodeError as fault:
            raise DataError(
                f"{file}: broken JSON at line {fault.lineno}, column {fault.colno} ({fault.msg}); was its copy cut off?"
            ) from fault


def image_id(name: str) -> str:
    """Name of a picture without its folders, of Windows too, and its suffix.

    Raises:
        DataError: where that is no name of a file.

    Example:
        >>> image_id("val\\\\cam_000.JPG")
        'cam_000'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return check_name(path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name, "image id")


def _frame_2018(values: dict[str, Any]) -> Frame:
    """One picture in one file: ``poly2d`` is a list of [x, y, letter]."""
    shapes: list[Shape] = []
    undrawn: Counter[str] = Counter()
    for entry in values["frames"][0]["objects"]:
        name = _class_of(entry["category"], undrawn)
        if name is None:
            continue
        if not entry.get("poly2d"):
            undrawn["without poly2d"] += 1
            continue
        points = tuple((number(x), number(y)) for x, y, _ in entry["poly2d"])
        letters = "".join(letter for _, _, letter in entry["poly2d"])
        shapes.append(Polygon(name, points, letters, "outlined"))
    return Frame(image_id(values["name"]), tuple(shapes), _size(values), _attributes(values), undrawn=undrawn)


def _frame(values: dict[str, Any]) -> Frame:
    """One entry of a list of frames, 2018-08 or 2021."""
    shapes: list[Shape] = []
    undrawn: Counter[str] = Counter()
    size = _size(values)
    for entry in values.get("labels") or []:
        category = entry["category"]
        # The masks of the drivable area were drawn in 2018, with an outline; the toolkit of 2021 draws otherwise.
        of_2018 = isinstance(category, str) and category.casefold() == _DRIVABLE_AREA
        name = _class_of(f"area/{entry['attributes']['areaType']}" if of_2018 else category, undrawn)
        if name is None:
            continue
        for ring in entry.get("poly2d") or []:
            points = tuple((number(x), number(y)) for x, y in ring["vertices"])
            shapes.append(Polygon(name, points, _text(ring["types"]), "outlined" if of_2018 else "covers"))
        if entry.get("rle"):
            rle = _rle(name, entry["rle"])
            shapes.append(rle)
            size = rle.size
        elif not entry.get("poly2d"):
            undrawn["without poly2d and rle"] += 1
    return Frame(image_id(values["name"]), tuple(shapes), size, _attributes(values), values["name"], undrawn)


def _coco_frames(values: dict[str, Any]) -> Iterator[Frame]:
    for kind in ("categories", "images"):
        twice = [key for key, num in Counter(entry["id"] for entry in values[kind]).items() if num > 1]
        if twice:
            raise PlacelessError(f"the id {one_line(twice[0], 40)} stands for several of the {kind}; number them anew")
    categories = {entry["id"]: entry["name"] for entry in values["categories"]}
    shapes: dict[Any, list[Shape]] = {entry["id"]: [] for entry in values["images"]}
    undrawn: dict[Any, Counter[str]] = {entry["id"]: Counter() for entry in values["images"]}
    for entry in values["annotations"]:
        category = categories[entry["category_id"]]
        name = _class_of(category, undrawn[entry["image_id"]])
        if name is None:
            continue
        segmentation, drawn = entry.get("segmentation"), shapes[entry["image_id"]]
        if not segmentation:
            undrawn[entry["image_id"]]["without segmentation"] += 1
            continue
        if isinstance(segmentation, dict):
            drawn.append(_rle(name, segmentation))
            continue
        for flat in segmentation:
            # COCO counts from the corner of the first pixel, a polygon from its centre.
            if len(flat) % 2:
                raise ValueError(f"a segmentation of {len(flat)} coordinates; expected x, y, x, y, ...")
            places = [number(value) - 0.5 for value in flat]
            points = tuple(zip(places[::2], places[1::2], strict=True))
            drawn.append(Polygon(name, points, "L" * len(points)))
    for image in values["images"]:
        size, key = check_size(image["height"], image["width"]), image["id"]
        yield Frame(
            image_id(image["file_name"]),
            tuple(shapes[key]),
            size,
            _attributes(image),
            image["file_name"],
            undrawn[key],
        )


def _class_of(category: object, undrawn: Counter[str]) -> str | None:
    """The class of a category in capital or small letters, ``None`` where there is nothing to draw.

    An area whose class nobody knows is counted in ``undrawn``, so that its picture does not count as empty.
    """
    if not isinstance(category, str):
        return None
    said = category.strip().casefold()
    if said not in _CLASSES and _MEANT.search(said):
        undrawn[f"of the unknown class '{one_line(category, 24)}'"] += 1
    return _CLASSES.get(said)


def _size(values: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) that the coordinates mean: as the frame says, or those of all BDD100K's pictures."""
    if values.get("size"):
        return check_size(values["size"]["height"], values["size"]["width"])
    return NATIVE_SIZE if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}", image_id(values["name"])) else None


def _rle(name: str, values: dict[str, Any]) -> Rle:
    counts, (height, width) = values["counts"], values["size"]
    size = check_size(height, width)
    if isinstance(counts, str):
        return Rle(name, counts, size)
    if not all(type(count) is int for count in counts):
        raise ValueError("run lengths that are no whole numbers")
    return Rle(name, tuple(counts), size)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {one_line(value, 40)}")
    return value


def _attributes(values: dict[str, Any]) -> dict[str, str]:
    return text_attributes(values.get("attributes") or {})
