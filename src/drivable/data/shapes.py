"""One labelled picture as its label file describes it: shapes of classes, not yet pixels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from drivable.errors import DataError, PlacelessError, one_line
from drivable.imaging.images import Pixels
from drivable.imaging.rasterize import cover_ring, fill_ring, flatten_poly2d, stroke_ring
from drivable.reading import check_limit

Size = tuple[int, int]
IGNORE = "ignore"
_MOST_CHARACTERS = 7  # Of one run length in COCO's text, five bits each.
_LONGEST_ATTRIBUTE = 10_000  # Tables of attributes are read with csv, which takes 131,072.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


class Shape(Protocol):
    """A part of the picture that belongs to one class."""

    @property
    def name(self) -> str:
        """The class, or ``ignore``."""
        ...

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels in a picture of ``size`` (height, width): (H, W).

        Raises:
            DataError: where the shape is none, or of another size.
        """
        ...


@dataclass(frozen=True)
class Polygon:
    """A closed ring of corners and Bezier curves.

    Args:
        name: the class.
        vertices: (x, y) in pixels, from the centre of the first pixel.
        types: ``L`` or ``C`` for each vertex, see :func:`flatten_poly2d`.
        filled: which pixels belong to it: those whose ``centres`` it holds; those and its one-pixel outline
            (``outlined``), as BDD100K's masks were drawn in 2018; all that it ``covers`` a part of, its corners rounded
            to corners of pixels, as BDD100K's toolkit of 2021 draws.
    """

    name: str
    vertices: tuple[tuple[float, float], ...]
    types: str
    filled: Literal["centres", "outlined", "covers"] = "centres"

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels: (H, W)."""
        if self.filled == "covers":
            # Its coordinates count from the corner of the first pixel.
            rounded = np.floor(np.array(self.vertices) + 0.5) - 0.5
            return cover_ring(flatten_poly2d(rounded, self.types), size)
        ring = flatten_poly2d(self.vertices, self.types)
        inside = fill_ring(ring, size)
        return inside | stroke_ring(ring, size) if self.filled == "outlined" else inside


@dataclass(frozen=True)
class Rle:
    """Run lengths of COCO, column by column.

    Args:
        name: the class.
        counts: COCO's compressed text, or the plain run lengths, background first.
        size: (height, width) in pixels.
    """

    name: str
    counts: str | tuple[int, ...]
    size: Size

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels: (H, W)."""
        if size != self.size:
            raise DataError(f"run lengths of {self.size[0]}x{self.size[1]} for a picture of {size[0]}x{size[1]}")
        num = size[0] * size[1]
        counts = unpack_counts(self.counts) if isinstance(self.counts, str) else self.counts
        # Before NumPy sees them: run lengths of others may be of any size.
        if min(counts, default=0) < 0 or sum(counts) != num:
            raise DataError(f"run lengths add up to {one_line(sum(counts), 24)} pixels, expected {num}")
        values = np.arange(len(counts)) % 2 == 1
        return np.repeat(values, counts).reshape(size[::-1]).T


def unpack_counts(text: str) -> list[int]:
    """COCO's compressed text as plain run lengths.

    Each is written in groups of five bits, the lowest first, a bit of 32 saying that another follows, 48 added to make
    it a character; the last group's highest bit is the sign. From the fourth on they are differences to the one before
    the last. What they add up to is left to the caller.

    Raises:
        DataError: where the text is of another form.

    Example:
        >>> unpack_counts("PP3")
        [48]
    """
    groups = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((groups & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(groups) == 0:
        return []
    is_text = groups.min() >= 0 and groups.max() < 64 and len(ends) > 0 and ends[-1] == len(groups) - 1
    if not is_text or (ends - starts).max() >= _MOST_CHARACTERS:
        raise DataError(f"run lengths that are not COCO's compressed text: '{one_line(text, 40)}'")
    bits = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    values = np.add.reduceat((groups & 31) << bits, starts)
    negative = (groups[ends] & 16) > 0
    values[negative] -= np.int64(32) << bits[ends][negative]
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    return values.tolist()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Bitmap:
    """A rectangle of pixels.

    Args:
        name: the class.
        pixels: (h, w) of truth values.
        origin: (row, column) of its first pixel in the picture.
    """

    name: str
    pixels: NDArray[np.bool_]
    origin: tuple[int, int] = (0, 0)

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels: (H, W)."""
        (top, left), (height, width) = self.origin, self.pixels.shape
        require_room(self.origin, (height, width), size)
        whole = np.zeros(size, dtype=bool)
        whole[top : top + height, left : left + width] = self.pixels
        return whole


def require_room(origin: tuple[int, int], size: Size, picture: Size) -> None:
    """Refuse a rectangle that begins at ``origin`` (row, column) and leaves a picture of (height, width).

    Raises:
        DataError: there.
    """
    (top, left), (height, width) = origin, size
    if min(top, left) < 0 or top + height > picture[0] or left + width > picture[1]:
        raise DataError(
            f"a mask of {height}x{width} at row {one_line(top, 24)}, column {one_line(left, 24)} leaves the picture"
        )


@dataclass(frozen=True)
class Frame:
    """A picture's labels.

    Args:
        id: the picture's name without its suffix.
        shapes: in the order of drawing; later ones cover earlier ones.
        size: (height, width) where the label file says it.
        attributes: such as weather, scene and timeofday.
        picture: the picture's file name where the label file says it.
        undrawn: how many regions of each kind are there that cannot be drawn, such as key points.
    """

    id: str
    shapes: tuple[Shape, ...]
    size: Size | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    picture: str | None = None
    undrawn: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_labelled(self) -> bool:
        """Whether what is drawn can be all that its annotator meant; not where only other regions are there."""
        return bool(self.shapes) or not self.undrawn

    def draw(self, classes: Mapping[str, int], size: Size, rest: int) -> Pixels:
        """Draw all shapes into a label map.

        Args:
            classes: id by class name; ``ignore`` among them.
            size: (height, width) in pixels.
            rest: id of the pixels that no shape covers.

        Returns:
            ids (H, W) uint8.

        Raises:
            DataError: where a shape is none, or there are more of them than ``DRIVABLE_MAX_DRAWN`` allows.
        """
        check_limit("DRIVABLE_MAX_DRAWN", len(self.shapes) * size[0] * size[1], "pixels to draw, all shapes together")
        label_map = np.full(size, rest, dtype=np.uint8)
        for shape in self.shapes:
            label_map[shape.mask(size)] = classes[shape.name]
        return label_map


def text_attributes(said: Mapping[Any, Any]) -> dict[str, str]:
    """An image's attributes as they are kept: text by name.

    Passed over are values that are no text, and what has no name or is called ``id``, since a table of attributes has
    the image's own id in that column.

    Raises:
        DataError: where a name or a text has more than 10,000 characters, or characters that no file in UTF-8 has.

    Example:
        >>> text_attributes({"weather": "rainy", "lanes": 3, "id": "7"})
        {'weather': 'rainy'}
    """
    kept = {name: text for name, text in said.items() if name and name != "id" and isinstance(text, str)}
    for name, text in kept.items():
        if max(len(name), len(text)) > _LONGEST_ATTRIBUTE:
            raise PlacelessError(
                f"attribute '{one_line(name, 40)}': {max(len(name), len(text))} characters, more than "
                f"{_LONGEST_ATTRIBUTE}; leave it out"
            )
        if _NO_TEXT.search(name) or _NO_TEXT.search(text):
            raise PlacelessError(
                f"attribute '{one_line(name, 40)}': expected text in UTF-8, got {one_line(ascii(text), 80)}"
            )
    return kept


def undrawn_regions(frames: Iterable[Frame]) -> str | None:
    """Say how many regions were left out because they cannot be drawn, ``None`` where there are none.

    Example:
        >>> undrawn_regions([Frame("a", (), undrawn={"polyline": 2})])
        'regions that cannot be drawn are left out (2 polyline, in 1 images); 1 of these have nothing else ...'
    """
    affected = [frame for frame in frames if frame.undrawn]
    if not affected:
        return None
    nums: Counter[str] = Counter()
    for frame in affected:
        nums.update(frame.undrawn)
    kinds = ", ".join(f"{num} {one_line(kind, 40)}" for kind, num in nums.most_common(8))
    left = sum(not frame.is_labelled for frame in affected)
    rest = f"; {left} of these have nothing else and count as not labelled" if left else ""
    return f"regions that cannot be drawn are left out ({kinds}, in {len(affected)} images){rest}"
