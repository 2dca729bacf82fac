"""CVAT's export "CVAT for images 1.1": one XML file of polygons, masks, boxes and ellipses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from drivable.data.outlines import Corners, box_corners, ellipse_corners, turned
from drivable.data.shapes import Bitmap, Frame, Polygon, Rle, Shape, Size, require_room
from drivable.errors import DataError, nearest_match, one_line
from drivable.files import check_name
from drivable.labels import RGB
from drivable.reading import check_limit, check_size, decimal, read_text, reading

# Labels for other shapes cover no area. The tool's older exports say nothing of the kind.
_AREA_TYPES = ("any", "polygon", "mask", "rectangle", "bbox", "ellipse", None)


@dataclass(frozen=True)
class RowRle:
    """A rectangle's run lengths row by row, background first.

    Args:
        name: the class.
        counts: lengths of the runs.
        origin: (row, column) of the rectangle's first pixel in the picture.
        size: (height, width) of the rectangle.
    """

    name: str
    counts: tuple[int, ...]
    origin: tuple[int, int]
    size: Size

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels: (H, W)."""
        require_room(self.origin, self.size, size)
        # Row by row is column by column of the transposed rectangle.
        transposed = self.size[::-1]
        return Bitmap(self.name, Rle(self.name, self.counts, transposed).mask(transposed).T, self.origin).mask(size)


@dataclass(frozen=True)
class CvatImages:
    """What an ``annotations.xml`` says.

    Args:
        colors: colour by label, ``None`` where the file has none.
        frames: pictures that something is drawn in, areas or not, each with its subset in CVAT's words (``""`` where it
            has none).
    """

    colors: Mapping[str, RGB | None]
    frames: tuple[tuple[str, Frame], ...]


class _Builder(ElementTree.TreeBuilder):
    """Builds elements whose nesting is within ``DRIVABLE_MAX_DEPTH``."""

    level = 0

    def start(self, tag: Any, attrs: Any, /) -> Any:
        self.level += 1
        check_limit("DRIVABLE_MAX_DEPTH", self.level, "levels of XML")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Any:
        self.level -= 1
        return super().end(tag)


def read_cvat(file: Path) -> CvatImages | None:
    """Read polygons, masks, boxes and ellipses; all other shapes are counted.

    Returns:
        What is there, ``None`` where the XML is not CVAT's.

    Raises:
        DataError: where the file is broken, of another form, or has a document type.
    """
    with reading(file, DataError, "not a readable label file"):
        text = read_text(file)
        if "<annotations" not in text:
            return None
        if "<!DOCTYPE" in text:
            # Entities of a few lines can unfold to more than the memory holds.
            raise DataError(f"{file}: XML with a DOCTYPE, which CVAT never writes; export it again")
        try:
            root = ElementTree.fromstring(text, ElementTree.XMLParser(target=_Builder()))
        except ElementTree.ParseError as fault:
            raise DataError(f"{file}: broken XML ({fault}); was its copy cut off?") from fault
        meta = root.find("meta")
        if root.tag != "annotations" or meta is None:
            return None
        if root.find("track") is not None:
            raise DataError(f"{file}: tracks of 'CVAT for video 1.1'; export the task as 'CVAT for images 1.1'")
        colors = {
            (label.findtext("name") or "").strip(): _color(label.findtext("color"))
            for label in meta.iter("label")
            # Parts of skeletons have a parent.
            if label.findtext("type") in _AREA_TYPES and label.find("parent") is None
        }
        task_subset = next((found.text for found in meta.iter("subset") if found.text), "")
    frames: list[tuple[str, Frame]] = []
    ids = set[str]()
    for image in root.iter("image"):
        with reading(f"{file}, image '{one_line(image.get('name', ''), 80)}'"):
            frame, subset = _frame(image, colors), image.get("subset", task_subset)
            if not (frame.shapes or frame.undrawn):
                continue
            if frame.id in ids:
                said = one_line(frame.picture or "", 80)
                raise ValueError(f"two images named '{said}', from several tasks; export these one by one")
            ids.add(frame.id)
            frames.append((subset and check_name(subset, "subset"), frame))
    return CvatImages(colors, tuple(frames))


def picture_id(name: str) -> str:
    """Name of a picture without its suffix; its folders become part of it, since names recur in several.

    Raises:
        DataError: where that is no name of a file.

    Example:
        >>> picture_id("front/0001.jpg")
        'front_0001'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    parts = (*path.parts[:-1], path.stem)
    return check_name("_".join(part for part in parts if part not in ("/", "//", "..")), "image id")


def _frame(image: ElementTree.Element, colors: Mapping[str, RGB | None]) -> Frame:
    name = image.attrib["name"]
    drawn: list[tuple[int, Shape]] = []
    undrawn: Counter[str] = Counter()
    for element in image:
        if element.tag not in _SHAPES:
            undrawn[element.tag] += 1
            continue
        label = element.attrib["label"]
        if label not in colors:
            raise ValueError(f"label '{one_line(label, 80)}' is none of the file's own; {nearest_match(label, colors)}")
        drawn.append((_whole(element.get("z_order", "0")), _SHAPES[element.tag](label, element)))
    shapes = tuple(shape for _, shape in sorted(drawn, key=lambda entry: entry[0]))
    size = check_size(_whole(image.attrib["height"]), _whole(image.attrib["width"]))
    return Frame(picture_id(name), shapes, size, picture=name, undrawn=undrawn)


def _whole(text: str) -> int:
    """A whole number that may be written as a float, such as -1.0."""
    value = decimal(text)
    if not value.is_integer():
        raise ValueError(f"expected a whole number, got '{one_line(text, 24)}'")
    return int(value)


def _polygon(label: str, element: ElementTree.Element) -> Polygon:
    points = element.attrib["points"]
    try:
        pairs = tuple((decimal(x), decimal(y)) for x, y in (pair.split(",") for pair in points.split(";")))
    except ValueError as fault:
        raise ValueError(f"a polygon's points must be 'x,y;x,y;...', got '{points[:40]}'") from fault
    return _ring(label, pairs)


def _ring(label: str, corners: Corners) -> Polygon:
    # CVAT counts from the corner of the first pixel, a polygon here from its centre.
    return Polygon(label, tuple((x - 0.5, y - 0.5) for x, y in corners), "L" * len(corners))


def _mask(label: str, element: ElementTree.Element) -> RowRle:
    top, left, height, width = (_whole(element.attrib[key]) for key in ("top", "left", "height", "width"))
    counts = tuple(_whole(count) for count in element.attrib["rle"].split(","))
    return RowRle(label, counts, (top, left), check_size(height, width))


def _box(label: str, element: ElementTree.Element) -> Polygon:
    left, top, right, bottom = (decimal(element.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    corners = box_corners(left, top, right - left, bottom - top)
    return _ring(label, turned(corners, ((left + right) / 2, (top + bottom) / 2), _rotation(element)))


def _ellipse(label: str, element: ElementTree.Element) -> Polygon:
    x, y, radius_x, radius_y = (decimal(element.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
    return _ring(label, turned(ellipse_corners(x, y, radius_x, radius_y), (x, y), _rotation(element)))


def _rotation(element: ElementTree.Element) -> float:
    return decimal(element.get("rotation", "0"))


_SHAPES: Mapping[str, Callable[[str, ElementTree.Element], Shape]] = {
    "polygon": _polygon,
    "mask": _mask,
    "box": _box,
    "ellipse": _ellipse,
}


def _color(text: str | None) -> RGB | None:
    found = re.fullmatch(r"#([0-9a-fA-F]{6})", (text or "").strip())
    if found is None:
        return None
    red, green, blue = bytes.fromhex(found[1])
    return red, green, blue
