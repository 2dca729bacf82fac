"""Label Studio's JSON export: shapes in percent, and brush strokes in run lengths of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from drivable.data.formats.label_json import read_json
from drivable.data.outlines import Corners, box_corners, ellipse_corners, number, turned
from drivable.data.shapes import Bitmap, Frame, Polygon, Shape, Size
from drivable.errors import DataError, one_line
from drivable.files import check_name
from drivable.imaging.images import PICTURE_SUFFIXES, Pixels
from drivable.reading import check_size, limit, open_regular, reading

_KEY = b'"annotations"'
_PIECE = 2**20  # Bytes.
_CHANNELS = 4


@dataclass(frozen=True)
class Brush:
    """A brush stroke in Label Studio's run lengths.

    Args:
        name: the class.
        packed: see :func:`unpack_rle`; RGBA pixel by pixel, and what is not transparent belongs to the class.
        size: (height, width) in pixels.
    """

    name: str
    packed: bytes
    size: Size

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels: (H, W)."""
        values = unpack_rle(self.packed, self.size[0] * self.size[1] * _CHANNELS)
        return Bitmap(self.name, values.reshape(*self.size, _CHANNELS)[..., -1] > 0).mask(size)


def unpack_rle(packed: bytes, num: int) -> Pixels:
    """Decode bit-packed run lengths (rle-pack of thi.ng/umbrella, as Label Studio writes them).

    The bits are: 32 of the number of values, 5 of a value's bits - 1, four times 4 of a length's bits - 1, then blocks
    of 1 (whether one value is repeated), 2 (which of the four), a length - 1, and the value or the values.

    Args:
        packed: the bytes.
        num: values expected.

    Returns:
        values (num,).

    Raises:
        DataError: where there are others than ``num`` values, or the bytes end before them.
    """
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
    text = (bits + ord("0")).tobytes().decode("ascii")
    place = 0

    def read(width: int) -> int:
        nonlocal place
        place += width
        if place > len(text):
            raise DataError(f"run lengths of a brush that end after {len(packed)} bytes; was the export cut off?")
        return int(text[place - width : place], 2)

    said = read(32)
    if said != num:
        raise DataError(f"run lengths of a brush for {said} values; its picture has {num}")
    word = read(5) + 1
    if word != 8:
        raise DataError(f"run lengths of a brush with values of {word} bits; expected 8")
    widths = [read(4) + 1 for _ in range(4)]
    values = np.zeros(num, dtype=np.uint8)
    start = 0
    while start < num:
        is_run = read(1)
        length = 1 + read(widths[read(2)])
        if is_run:
            values[start : start + length] = read(word)
        else:
            begin = place
            length = min(length, num - start)
            read(length * word)
            values[start : start + length] = np.packbits(bits[begin:place])
        start += length
    return values


def read_label_studio(file: Path, pictures: Collection[str]) -> list[Frame] | None:
    """Read polygons, brush strokes, rectangles and ellipses; all other regions are counted.

    Of each task the first annotation that was not cancelled counts.

    Args:
        file: the JSON export.
        pictures: file names. A task's own name, without the eight digits that an upload puts before it where need be,
            leads to one of them; where none is written so, to the only one that is but for capital letters.

    Returns:
        Annotated pictures by the names that they have in ``pictures``, ``None`` where the JSON is not Label Studio's.

    Raises:
        DataError: where the file is broken or a task cannot be understood; the message says where.
    """
    if not _may_be_export(file):
        return None
    tasks = read_json(file)
    if not all(isinstance(task, dict) and {"data", "annotations"} <= task.keys() for task in tasks):
        return None
    folded = only_folded(pictures)
    frames = []
    for position, task in enumerate(tasks, 1):
        with reading(f"{file}, task {one_line(task.get('id', position), 40)}"):
            annotation = next((entry for entry in task["annotations"] if not entry.get("was_cancelled")), None)
            if annotation is not None:
                frames.append(_frame(task, annotation["result"], pictures, folded))
    return frames


def only_folded(names: Collection[str]) -> dict[str, str]:
    """Names by what they are in small letters, but for those that others differ from in capital letters only.

    Example:
        >>> only_folded(["A.jpg", "b.jpg", "B.jpg"])
        {'a.jpg': 'A.jpg'}
    """
    nums = Counter(name.casefold() for name in names)
    return {name.casefold(): name for name in names if nums[name.casefold()] == 1}


def _may_be_export(file: Path) -> bool:
    """Whether a JSON file holds a list, and the word ``annotations`` somewhere; tells most others without parsing them.

    Raises:
        DataError: where it cannot be read.
    """
    with reading(file, DataError, "not a readable label file"), open_regular(file) as stream:
        piece = stream.read(_PIECE)
        if not piece.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"["):
            return False
        end, num = b"", 0
        # The first task may have much to say before its annotations. What is longer than the limit is not read anyway.
        while piece and num <= limit("DRIVABLE_MAX_FILE_BYTES"):
            if _KEY in end + piece:
                return True
            end, num, piece = piece[-len(_KEY) :], num + len(piece), stream.read(_PIECE)
    return False


def _frame(
    task: dict[str, Any], result: list[dict[str, Any]], pictures: Collection[str], folded: Mapping[str, str]
) -> Frame:
    names = list(_names(task))
    if not names:
        raise ValueError(f"no image among its data ({one_line(', '.join(task['data']))})")
    alike = (folded[name.casefold()] for name in names if name.casefold() in folded)
    name = next((name for name in names if name in pictures), None) or next(alike, names[0])
    shapes: list[Shape] = []
    undrawn: list[tuple[Any, str]] = []
    drawn = set[Any]()
    size: Size | None = None
    for entry in result:
        kind, value = entry.get("type"), entry.get("value") or {}
        geometry = next((geometry for key, geometry in _GEOMETRIES.items() if key in value), None)
        classes = value.get(kind) if isinstance(kind, str) and kind.endswith("labels") else None
        # A key point has a width and no height; all else without a class is a part of another entry, or of none.
        if geometry is None or classes is None:
            undrawn.append((entry.get("id"), str(kind)))
            continue
        if classes == []:
            undrawn.append((entry.get("id"), f"{kind} without a class"))
            continue
        if entry.get("image_rotation"):
            raise ValueError(
                f"labelled on an image turned by {one_line(entry['image_rotation'], 24)} degrees; turn the image itself"
            )
        size = check_size(entry["original_height"], entry["original_width"])
        if len(classes) != 1 or not isinstance(classes[0], str):
            raise ValueError(f"a region of the classes {one_line(classes)}; each needs one")
        shapes.append(geometry(classes[0], value, size))
        drawn.add(entry.get("id"))
    # Regions, their labels and what is said of each may be entries of their own, of one id.
    left = Counter(kind for key, kind in undrawn if key is None or key not in drawn)
    is_region = any(kind not in _NO_REGIONS for kind in left)
    return Frame(
        check_name(PurePosixPath(name).stem, "image id"),
        tuple(shapes),
        size,
        picture=name,
        undrawn=left if shapes or is_region else {},
    )


def _polygon(label: str, value: dict[str, Any], size: Size) -> Polygon:
    if not value.get("closed", True):
        raise ValueError(f"a polygon of class {label} that is not closed; close or remove it")
    height, width = size
    return _ring(label, tuple((number(x) / 100 * width, number(y) / 100 * height) for x, y in value["points"]))


def _rectangle(label: str, value: dict[str, Any], size: Size) -> Polygon:
    left, top, width, height = _in_pixels(value, ("x", "y", "width", "height"), size)
    # It is turned about its upper left corner.
    return _ring(label, turned(box_corners(left, top, width, height), (left, top), number(value.get("rotation", 0))))


def _ellipse(label: str, value: dict[str, Any], size: Size) -> Polygon:
    x, y, radius_x, radius_y = _in_pixels(value, ("x", "y", "radiusX", "radiusY"), size)
    return _ring(label, turned(ellipse_corners(x, y, radius_x, radius_y), (x, y), number(value.get("rotation", 0))))


def _in_pixels(value: dict[str, Any], keys: tuple[str, ...], size: Size) -> list[float]:
    """Percent of the picture's width and height, in turns."""
    return [number(value[key]) / 100 * size[1 - k % 2] for k, key in enumerate(keys)]


def _ring(label: str, corners: Corners) -> Polygon:
    # Percent are counted from the corner of the first pixel, a polygon from its centre.
    return Polygon(label, tuple((x - 0.5, y - 0.5) for x, y in corners), "L" * len(corners))


def _brush(label: str, value: dict[str, Any], size: Size) -> Brush:
    if value.get("format") != "rle":
        raise ValueError(f"a brush in format {one_line(repr(value.get('format')), 40)}; expected 'rle'")
    if not isinstance(value["rle"], list) or not all(type(byte) is int for byte in value["rle"]):
        raise ValueError("a brush whose run lengths are no list of numbers")
    return Brush(label, bytes(value["rle"]), size)


# By a key that only its values have.
_GEOMETRIES: Mapping[str, Callable[[str, dict[str, Any], Size], Shape]] = {
    "format": _brush,
    "radiusX": _ellipse,
    "points": _polygon,
    "height": _rectangle,
}
# What is said of a whole image, or of two regions; an image with nothing else was looked at and is empty.
_NO_REGIONS = frozenset(
    {"choices", "textarea", "taxonomy", "rating", "number", "datetime", "relation", "pairwise", "ranker"}
)


def _names(task: dict[str, Any]) -> Iterator[str]:
    """File names that a task's picture may have, the likeliest first."""
    data = task["data"]
    # Where the image is named, what else is among the data is no image that was labelled, even if that one is missing.
    named = _file_name(data.get("image"))
    for name in (named,) if named else map(_file_name, (task.get("file_upload"), *data.values())):
        if name:
            yield name
            yield re.sub(r"^[0-9a-f]{8}-", "", name)


def _file_name(told: object) -> str | None:
    """The file name of a picture that a path or an address leads to, ``None`` where it leads to none."""
    if not isinstance(told, str):
        return None
    url = urlsplit(told.replace("\\", "/"))
    # Files of a local storage stand in the query: /data/local-files/?d=folder/name.jpg
    name = PurePosixPath(parse_qs(url.query).get("d", [unquote(url.path)])[0]).name
    return name if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES else None
