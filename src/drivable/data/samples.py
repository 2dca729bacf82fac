"""One labelled picture, wherever it is stored: a source of pixels and a source of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from drivable.data.encodings import MaskConvention
from drivable.data.shapes import Frame
from drivable.errors import DataError, one_line
from drivable.imaging.images import Pixels, Stored, picture_size, read_image, resize_label_map
from drivable.reading import check_size, reading, require_regular

Size = tuple[int, int]


class ImageSource(Protocol):
    """Where a picture comes from."""

    @property
    def file(self) -> Stored:
        """The file to name in messages."""
        ...

    def read(self, at_least: Size | None = None) -> Pixels:
        """RGB (H, W, 3) uint8; see :func:`read_image` for ``at_least``."""
        ...

    def size(self) -> Size:
        """(height, width) in pixels, without decoding."""
        ...


class LabelSource(Protocol):
    """Where a label map comes from."""

    @property
    def file(self) -> Stored:
        """The file to name in messages."""
        ...

    def read(self) -> Pixels:
        """Ids (H, W) uint8."""
        ...


@dataclass(frozen=True)
class Sample:
    """A picture with its label map; reading is left until it is asked for.

    Args:
        id: name of the picture, unique in its data set.
        image: the picture.
        label: its label map.
    """

    id: str
    image: ImageSource
    label: LabelSource


def read_pair(sample: Sample, at_least: Size | None = None) -> tuple[Pixels, Pixels]:
    """Read a sample's picture and label map and check that they belong together.

    Args:
        sample: what to read.
        at_least: (height, width) in pixels that the caller shrinks to; pictures may then come smaller than stored.

    Returns:
        RGB (H, W, 3) and ids (H, W), both uint8; of one size unless ``at_least`` is given.

    Raises:
        DataError: where either is missing or broken, or their sizes differ.
    """
    image, label_map = sample.image.read(at_least), sample.label.read()
    if image.shape[:2] != label_map.shape:
        require_one_size(sample.id, label_map.shape, sample.image.size() if at_least is not None else image.shape[:2])
    return image, label_map


def require_one_size(key: str, label_map: tuple[int, ...], image: tuple[int, ...]) -> None:
    """Refuse a label map and an image of two sizes, (height, width) each.

    Raises:
        DataError: there.
    """
    if label_map != image:
        raise DataError(
            f"{key}: the mask is {label_map[0]}x{label_map[1]} and the picture {image[0]}x{image[1]} (height x width); "
            "they must be of one size",
            kind="size-mismatch",
        )


@dataclass(frozen=True)
class ImageFile:
    """A picture file."""

    file: Stored

    def read(self, at_least: Size | None = None) -> Pixels:
        """RGB (H, W, 3) uint8."""
        return read_image(self.file, at_least)

    def size(self) -> Size:
        """(height, width)."""
        return picture_size(self.file)


@dataclass(frozen=True)
class NoImage:
    """The picture that a label file speaks of, where there are only labels.

    Args:
        file: the label file.
        assumed_size: (height, width) that shapes are drawn at where the label file does not say it.
    """

    file: Stored
    assumed_size: Size

    def read(self, at_least: Size | None = None) -> Pixels:
        """Refuse."""
        raise DataError(f"{self.file}: labels without pictures; give a data root that has both")

    def size(self) -> Size:
        """(height, width)."""
        return self.assumed_size


@dataclass(frozen=True)
class MaskFile:
    """A mask file and what its values mean."""

    file: Stored
    convention: MaskConvention

    def read(self) -> Pixels:
        """Ids (H, W) uint8."""
        return self.convention.decode(self.file)


@dataclass(frozen=True)
class DrawnLabels:
    """Shapes, drawn when they are asked for.

    Args:
        file: the label file.
        frame: the shapes.
        image: tells the size where the label file does not.
        classes: id by class name, ``ignore`` among them.
        rest: id of the pixels that no shape covers.
    """

    file: Stored
    frame: Frame
    image: ImageSource
    classes: Mapping[str, int]
    rest: int

    def read(self) -> Pixels:
        """Ids (H, W) uint8, of the picture's size where that is the labels' at another scale."""
        size = self.image.size()
        drawn_at = self.frame.size or size
        # A copy of the pictures may have been shrunk, and shapes stay where they were.
        is_scaled = abs(size[0] * drawn_at[1] - size[1] * drawn_at[0]) < max(drawn_at)
        try:
            if not is_scaled and not isinstance(self.image, NoImage):
                require_one_size(self.frame.id, drawn_at, size)  # Before they are drawn, which may take long.
            label_map = self.frame.draw(self.classes, drawn_at, self.rest)
        except DataError as fault:
            raise DataError(f"{self.file}, '{self.frame.id}': {fault}", kind=fault.kind) from fault
        return resize_label_map(label_map, size) if is_scaled else label_map


@dataclass(frozen=True)
class RenamedLabels:
    """Label maps of one label set as ids of another.

    Args:
        source: the label maps.
        ids: id of the new label set by id of the old one.
    """

    source: LabelSource
    ids: tuple[int, ...]

    @property
    def file(self) -> Stored:
        """The file to name in messages."""
        return self.source.file

    def read(self) -> Pixels:
        """Ids (H, W) uint8."""
        return np.asarray(np.array(self.ids, dtype=np.uint8)[self.source.read()])


@cache
def open_array(file: Path) -> np.memmap[tuple[int, ...], np.dtype[np.uint8]]:
    """Map an ``.npy`` array of uint8; worker processes share it.

    Raises:
        DataError: where it is missing, no such array, or shorter than its header says.
    """
    with reading(file, DataError, "not a readable .npy array"):
        require_regular(file)
        array = np.lib.format.open_memmap(file, mode="r")  # Never objects, which would be code.
        if array.dtype != np.uint8 or array.ndim not in (3, 4):
            raise DataError(
                f"{file}: got {array.dtype} {one_line(array.shape)}, expected uint8 (N, H, W, 3) or (N, H, W)"
            )
        check_size(*array.shape[1:3])
        return array


def _entry(file: Path, index: int) -> Pixels:
    """A copy of one entry."""
    array = open_array(file)
    with reading(file, DataError, "not a readable .npy array"):
        num_bytes = file.stat().st_size
        if num_bytes < array.offset + array.nbytes:
            raise DataError(
                f"{file}: {num_bytes} bytes left of {array.offset + array.nbytes}; restore it, since another program "
                "has cut it off"
            )
        return np.array(array[index])


@dataclass(frozen=True)
class ArrayImage:
    """One picture of an ``.npy`` array; it is mapped, not read, so worker processes share it."""

    file: Path
    index: int

    def read(self, at_least: Size | None = None) -> Pixels:
        """RGB (H, W, 3) uint8."""
        return _entry(self.file, self.index)

    def size(self) -> Size:
        """(height, width)."""
        height, width = open_array(self.file).shape[1:3]
        return height, width


@dataclass(frozen=True)
class ArrayLabels:
    """One label map of an ``.npy`` array, and what its values mean."""

    file: Path
    index: int
    convention: MaskConvention

    def read(self) -> Pixels:
        """Ids (H, W) uint8."""
        return self.convention.from_numbers(_entry(self.file, self.index), f"{self.file}, entry {self.index}")
