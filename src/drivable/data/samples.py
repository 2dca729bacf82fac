"""One labelled picture, wherever it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from drivable.data.conventions import MaskConvention
from drivable.data.pictures import Pixels, read_image
from drivable.errors import DataError


class Sample(Protocol):
    """A picture with its label map; reading is left until it is asked for."""

    @property
    def id(self) -> str:
        """Name of the picture, unique in its data set."""
        ...

    def read_image(self) -> Pixels:
        """RGB (H, W, 3) uint8."""
        ...

    def read_label_map(self) -> Pixels:
        """Ids (H, W) uint8."""
        ...


def read_pair(sample: Sample) -> tuple[Pixels, Pixels]:
    """Read a sample's picture and label map and check that they belong together.

    Returns:
        RGB (H, W, 3) and ids (H, W), both uint8.

    Raises:
        DataError: where either is missing or broken, or their sizes differ.
    """
    image, label_map = sample.read_image(), sample.read_label_map()
    if image.shape[:2] != label_map.shape:
        raise DataError(
            f"{sample.id}: the mask is {_size(label_map)} and the picture {_size(image)} (height x width); they must "
            "be of one size"
        )
    return image, label_map


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[0]}x{pixels.shape[1]}"


@dataclass(frozen=True)
class FileSample:
    """A picture file and its mask file."""

    id: str
    image: Path
    mask: Path
    convention: MaskConvention

    def read_image(self) -> Pixels:
        """RGB (H, W, 3) uint8."""
        return read_image(self.image)

    def read_label_map(self) -> Pixels:
        """Ids (H, W) uint8."""
        return self.convention.decode(self.mask)


@dataclass(frozen=True)
class ArraySample:
    """One entry of a pair of ``.npy`` arrays; they are mapped, not read, so worker processes share them."""

    id: str
    images: Path
    label_maps: Path
    index: int

    def read_image(self) -> Pixels:
        """RGB (H, W, 3) uint8."""
        return np.array(np.load(self.images, mmap_mode="r")[self.index])

    def read_label_map(self) -> Pixels:
        """Ids (H, W) uint8."""
        return np.array(np.load(self.label_maps, mmap_mode="r")[self.index])
