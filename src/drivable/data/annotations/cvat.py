"""CVAT's export "CVAT for images 1.1": one XML file of polygons and masks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from drivable.data.annotations.frames import Bitmap, Frame, Polygon, Rle, Shape, Size
from drivable.errors import DataError, nearest_match
from drivable.labels import RGB

# Labels for other shapes cover no area. The tool's older exports say nothing of the kind.
_AREA_TYPES = ("any", "polygon", "mask", None)


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
        # Row by row is column by column of the transposed rectangle.
        turned = self.size[::-1]
        return Bitmap(self.name, Rle(self.name, self.counts, turned).mask(turned).T, self.origin).mask(size)


@dataclass(frozen=True)
class CvatImages:
    """What an ``annotations.xml`` says.

    Args:
        colors: colour by label, ``None`` where the file has none.
        frames: pictures that something is drawn in, each with its subset in CVAT's words (``""`` where it has none).
    """

    colors: Mapping[str, RGB | None]
    frames: tuple[tuple[str, Frame], ...]


def read_cvat(file: Path) -> CvatImages | None:
    """Read polygons and masks; all other shapes are passed over.

    Returns:
        What is there, ``None`` where the XML is not CVAT's.

    Raises:
        DataError: where the file is broken, of another form, or has a document type.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{file}: not a readable label file: {fault}") from fault
    if "<annotations" not in text:
        return None
    if "<!DOCTYPE" in text:
        # Entities of a few lines can unfold to more than the memory holds.
        raise DataError(f"{file}: XML with a DOCTYPE, which CVAT never writes; export it again")
    try:
        root = ElementTree.fromstring(text)
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
        try:
            frame = _frame(image, colors)
        except (KeyError, ValueError) as fault:
            said = f"no attribute {fault}" if isinstance(fault, KeyError) else str(fault)
            raise DataError(f"{file}, image '{image.get('name')}': {said}") from fault
        if not frame.shapes:
            continue
        if frame.id in ids:
            raise DataError(
                f"{file}: two pictures named '{frame.picture}', from several tasks; export these one by one"
            )
        ids.add(frame.id)
        frames.append((image.get("subset", task_subset or ""), frame))
    return CvatImages(colors, tuple(frames))


def picture_id(name: str) -> str:
    """Name of a picture without its suffix; its folders become part of it, since names recur in several.

    Example:
        >>> picture_id("front/0001.jpg")
        'front_0001'
    """
    return "_".join(part for part in PurePosixPath(name).with_suffix("").parts if part not in ("/", ".."))


def _frame(image: ElementTree.Element, colors: Mapping[str, RGB | None]) -> Frame:
    name = image.attrib["name"]
    drawn: list[tuple[int, Shape]] = []
    for element in image:
        if element.tag not in ("polygon", "mask"):
            continue
        label = element.attrib["label"]
        if label not in colors:
            raise ValueError(f"label '{label}' is none of the file's own; {nearest_match(label, colors)}")
        shape = _polygon(label, element) if element.tag == "polygon" else _mask(label, element)
        drawn.append((int(element.get("z_order", 0)), shape))
    shapes = tuple(shape for _, shape in sorted(drawn, key=lambda entry: entry[0]))
    return Frame(picture_id(name), shapes, (int(image.attrib["height"]), int(image.attrib["width"])), picture=name)


def _polygon(label: str, element: ElementTree.Element) -> Polygon:
    points = element.attrib["points"]
    try:
        pairs = [(float(x), float(y)) for x, y in (pair.split(",") for pair in points.split(";"))]
    except ValueError as fault:
        raise ValueError(f"a polygon's points must be 'x,y;x,y;...', got '{points[:40]}'") from fault
    # CVAT counts from the corner of the first pixel, a polygon here from its centre.
    return Polygon(label, tuple((x - 0.5, y - 0.5) for x, y in pairs), "L" * len(pairs))


def _mask(label: str, element: ElementTree.Element) -> RowRle:
    top, left, height, width = (int(element.attrib[key]) for key in ("top", "left", "height", "width"))
    return RowRle(label, tuple(int(count) for count in element.attrib["rle"].split(",")), (top, left), (height, width))


def _color(text: str | None) -> RGB | None:
    found = re.fullmatch(r"#([0-9a-fA-F]{6})", (text or "").strip())
    if found is None:
        return None
    red, green, blue = bytes.fromhex(found[1])
    return red, green, blue
