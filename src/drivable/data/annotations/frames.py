"""One labelled picture as its label file describes it: shapes of classes, not yet pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from drivable.data.annotations.rasterize import fill_ring, flatten_poly2d, stroke_ring
from drivable.data.pictures import Pixels
from drivable.errors import DataError

Size = tuple[int, int]
IGNORE = "ignore"


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
        outlined: whether its one-pixel outline belongs to it, as BDD100K's masks were drawn in 2018.
    """

    name: str
    vertices: tuple[tuple[float, float], ...]
    types: str
    outlined: bool = False

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Its pixels: (H, W)."""
        ring = flatten_poly2d(self.vertices, self.types)
        inside = fill_ring(ring, size)
        return inside | stroke_ring(ring, size) if self.outlined else inside


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
        if isinstance(self.counts, str):
            try:
                return np.asarray(coco_mask.decode({"counts": self.counts.encode(), "size": list(size)}), dtype=bool)
            except ValueError as fault:
                raise DataError(f"run lengths that cannot be read: {fault}") from fault
        if min(self.counts, default=0) < 0 or sum(self.counts) != size[0] * size[1]:
            raise DataError(f"run lengths add up to {sum(self.counts)} pixels, expected {size[0] * size[1]}")
        values = np.arange(len(self.counts)) % 2 == 1
        return np.repeat(values, self.counts).reshape(size[::-1]).T


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
        if min(top, left) < 0 or top + height > size[0] or left + width > size[1]:
            raise DataError(f"a mask of {height}x{width} at row {top}, column {left} leaves the picture")
        whole = np.zeros(size, dtype=bool)
        whole[top : top + height, left : left + width] = self.pixels
        return whole


@dataclass(frozen=True)
class Frame:
    """A picture's labels.

    Args:
        id: the picture's name without its suffix.
        shapes: in the order of drawing; later ones cover earlier ones.
        size: (height, width) where the label file says it.
        attributes: such as weather, scene and timeofday.
        picture: the picture's file name where the label file says it.
    """

    id: str
    shapes: tuple[Shape, ...]
    size: Size | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    picture: str | None = None

    def draw(self, classes: Mapping[str, int], size: Size, rest: int) -> Pixels:
        """Draw all shapes into a label map.

        Args:
            classes: id by class name; ``ignore`` among them.
            size: (height, width) in pixels.
            rest: id of the pixels that no shape covers.

        Returns:
            ids (H, W) uint8.

        Raises:
            DataError: where a shape is none.
        """
        label_map = np.full(size, rest, dtype=np.uint8)
        for shape in self.shapes:
            label_map[shape.mask(size)] = classes[shape.name]
        return label_map
