"""Label Studio's JSON export: polygons in percent and brush strokes in run lengths of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from numpy.typing import NDArray

from drivable.data.annotations.frames import Bitmap, Frame, Polygon, Shape, Size
from drivable.data.annotations.label_files import read_json
from drivable.data.pictures import PICTURE_SUFFIXES, Pixels
from drivable.errors import DataError

_HEAD = 2**16
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


def read_label_studio(file: Path, pictures: Mapping[str, Path]) -> list[Frame] | None:
    """Read polygons and brush strokes; of each task the first annotation that was not cancelled counts.

    Args:
        file: the JSON export.
        pictures: by file name. A task's own name, without the eight digits that an upload puts before it where need be,
            leads to one of them.

    Returns:
        Annotated pictures by the names that they have in ``pictures``, ``None`` where the JSON is not Label Studio's.

    Raises:
        DataError: where the file is broken or a task cannot be understood; the message says where.
    """
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as fault:
        raise DataError(f"{file}: not a readable label file: {fault}") from fault
    if not head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[") or b'"annotations"' not in head:
        return None
    tasks = read_json(file)
    if not all(isinstance(task, dict) and {"data", "annotations"} <= task.keys() for task in tasks):
        return None
    frames = []
    for number, task in enumerate(tasks, 1):
        try:
            annotation = next((entry for entry in task["annotations"] if not entry.get("was_cancelled")), None)
            if annotation is not None:
                frames.append(_frame(task, annotation["result"], pictures))
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as fault:
            said = f"no key {fault}" if isinstance(fault, KeyError) else str(fault)
            raise DataError(f"{file}, task {task.get('id', number)}: {said}") from fault
    return frames


def _frame(task: dict[str, Any], result: list[dict[str, Any]], pictures: Mapping[str, Path]) -> Frame:
    names = list(_names(task))
    if not names:
        raise ValueError(f"no picture among its data ({', '.join(task['data'])})")
    name = next((name for name in names if name in pictures), names[0])
    shapes: list[Shape] = []
    size: Size | None = None
    for entry in result:
        kind = entry.get("type")
        if kind not in ("polygonlabels", "brushlabels"):
            continue
        if entry.get("image_rotation"):
            raise ValueError(
                f"labelled on a picture turned by {entry['image_rotation']} degrees; turn the picture itself"
            )
        size = (int(entry["original_height"]), int(entry["original_width"]))
        classes = entry["value"][kind]
        if len(classes) != 1:
            raise ValueError(f"a region of the classes {classes}; each needs one")
        shapes.append(_polygon(classes[0], entry["value"], size) if kind == "polygonlabels" else _brush(entry, size))
    return Frame(PurePosixPath(name).stem, tuple(shapes), size, picture=name)


def _polygon(label: str, value: dict[str, Any], size: Size) -> Polygon:
    if not value.get("closed", True):
        raise ValueError(f"a polygon of class {label} that is not closed; close or remove it")
    height, width = size
    # Percent are counted from the corner of the first pixel, a polygon from its centre.
    points = tuple((float(x) / 100 * width - 0.5, float(y) / 100 * height - 0.5) for x, y in value["points"])
    return Polygon(label, points, "L" * len(points))


def _brush(entry: dict[str, Any], size: Size) -> Brush:
    value = entry["value"]
    if value.get("format") != "rle":
        raise ValueError(f"a brush in format {value.get('format')!r}; expected 'rle'")
    return Brush(value["brushlabels"][0], bytes(value["rle"]), size)


def _names(task: dict[str, Any]) -> Iterator[str]:
    """File names that a task's picture may have, the likeliest first."""
    data = task["data"]
    for told in (data.get("image"), task.get("file_upload"), *data.values()):
        if not isinstance(told, str):
            continue
        url = urlsplit(told.replace("\\", "/"))
        # Files of a local storage stand in the query: /data/local-files/?d=folder/name.jpg
        name = PurePosixPath(parse_qs(url.query).get("d", [unquote(url.path)])[0]).name
        if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
            yield name
            yield re.sub(r"^[0-9a-f]{8}-", "", name)
