"""What a segmenter answers, and all that a person does with it. Imports no torch."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from pycocotools import mask as coco_mask

from drivable.errors import ConfigError, DataError, nearest_match, one_line
from drivable.files import written_whole
from drivable.imaging.images import resize_image
from drivable.imaging.overlay import draw_overlay
from drivable.imaging.polygonize import outline_mask
from drivable.labels import LabelSet

# By what is saved: a JPEG would change ids.
_SUFFIXES = {"labels": (".png",), "overlay": (".jpg", ".jpeg", ".png", ".webp")}
_JPEG_QUALITY = 92
_MOST_SHOWN = 1280  # Pixels of the longer side in a notebook.


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """One image and the class of each of its pixels.

    Args:
        image: RGB (H, W, 3) uint8.
        label_map: ids (H, W) uint8.
        labels: the classes that the ids mean.
        probabilities: (K, H, W) float32, over the classes each pixel sums to 1; ``None`` where they were not asked for.
        source: the path that the image came from, ``None`` where that is not known.

    Raises:
        DataError: where the arrays do not belong together.

    Example:
        >>> drivable.load()("road.jpg")
        Segmentation(720x1280, direct 17.0 %, alternative 5.9 %, background 77.1 %, source='road.jpg')
    """

    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    labels: LabelSet
    probabilities: NDArray[np.float32] | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        height, width = size = self.label_map.shape[:2] if self.label_map.ndim == 2 else (0, 0)
        if 0 in size or self.image.shape != (height, width, 3):
            raise DataError(
                f"segmentation: a label map {self.label_map.shape} does not belong to an image {self.image.shape}; "
                "expected (H, W) and (H, W, 3)"
            )
        expected = (self.labels.num_classes, height, width)
        if self.probabilities is not None and self.probabilities.shape != expected:
            raise DataError(f"segmentation: expected probabilities {expected}, got {self.probabilities.shape}")

    def __repr__(self) -> str:
        height, width = self.size
        parts = [f"{height}x{width}", *(f"{name} {100 * self.share(name):.1f} %" for name in self.labels.names)]
        return f"Segmentation({', '.join(parts)}{'' if self.source is None else f', source={self.source!r}'})"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.label_map.shape
        return height, width

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The highest probability of each pixel: (H, W) float32, 0..1.

        Raises:
            ConfigError: where probabilities were not asked for.

        Example:
            >>> segmenter("road.jpg", probabilities=True).confidence.mean()
            0.97
        """
        if self.probabilities is None:
            raise ConfigError(
                "confidence needs probabilities, which were not asked for: call segmenter(image, probabilities=True)"
            )
        highest: NDArray[np.float32] = self.probabilities.max(axis=0)
        return highest

    def mask(self, name: str) -> NDArray[np.bool_]:
        """The pixels of a class.

        Args:
            name: of the class.

        Returns:
            (H, W) bool.

        Raises:
            ConfigError: where there is no such class; names the nearest.

        Example:
            >>> result.image[result.mask("direct")].shape
            (156672, 3)
        """
        return np.asarray(self.label_map == self._id(name))

    def share(self, name: str) -> float:
        """Share of the pixels that belong to a class, 0..1.

        Args:
            name: of the class.

        Raises:
            ConfigError: where there is no such class; names the nearest.

        Example:
            >>> result.share("direct")
            0.170
        """
        return float(self.mask(name).mean())

    def polygons(self, name: str, tolerance: float = 1.0) -> list[NDArray[np.float64]]:
        """The outlines of a class.

        Args:
            name: of the class.
            tolerance: how far in pixels a corner that is left out may lie from the polygon; 0 keeps the steps of the
                pixels' borders, so that the polygons cover exactly the mask.

        Returns:
            Corners (N, 2) of x, y in pixels, for each region whose pixels touch each other; (j, i) is the centre of the
            pixel in row i and column j. A region with holes is one ring, with a seam of no width to each hole. Regions
            that are nothing within the tolerance are left out.

        Raises:
            ConfigError: where there is no such class, or the tolerance is negative or no number.

        Example:
            >>> [len(polygon) for polygon in result.polygons("direct")]
            [31]
        """
        if not 0 <= tolerance < math.inf:
            raise ConfigError(f"tolerance must be pixels, 0 or more, got {one_line(tolerance, 24)}")
        rings = outline_mask(self.mask(name))
        if tolerance == 0:
            return rings
        simplified = [
            np.asarray(cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0], dtype=np.float64)
            for ring in rings
        ]
        return [ring for ring in simplified if len(ring) >= 3]

    def overlay(self, opacity: float = 0.45) -> NDArray[np.uint8]:
        """The image tinted by class; the background stays as it is.

        Args:
            opacity: share of the class's colour, 0..1.

        Returns:
            RGB (H, W, 3) uint8, a new array.

        Raises:
            ConfigError: where the opacity is out of its range.

        Example:
            >>> result.overlay(opacity=0.3).shape
            (720, 1280, 3)
        """
        if not 0 <= opacity <= 1:
            raise ConfigError(f"opacity must be 0..1, got {one_line(opacity, 24)}")
        return draw_overlay(self.image, self.label_map, self.labels, opacity)

    def save(self, path: str | os.PathLike[str], what: Literal["labels", "overlay"] = "labels") -> Path:
        """Write the label map or the overlay to a file; an atomic write.

        Args:
            path: of the file. Its suffix chooses the format: ``.png`` for labels; ``.jpg``, ``.jpeg``, ``.png`` or
                ``.webp`` for an overlay.
            what: ``labels`` writes one channel of ids, ``overlay`` what :meth:`overlay` draws.

        Returns:
            The path.

        Raises:
            ConfigError: where there is no such ``what``, or the suffix is not one of its formats.
            OutputError: where the place is not writable or the disk is full.

        Example:
            >>> result.save("overlay.jpg", what="overlay")
            PosixPath('overlay.jpg')
        """
        if what not in _SUFFIXES:
            raise ConfigError(f"what='{one_line(what, 80)}': {nearest_match(str(what), _SUFFIXES)}")
        drawers: dict[str, Callable[[], NDArray[np.uint8]]] = {
            "labels": lambda: self.label_map, "overlay": self.overlay
        }  # fmt: skip
        target = Path(path)
        if target.suffix.lower() not in _SUFFIXES[what]:
            hint = "; or what='overlay'" if target.suffix.lower() in _SUFFIXES["overlay"] else ""
            ending = target.suffix or "no suffix"
            raise ConfigError(
                f"{target}: {what} cannot be saved as {ending}; choose {' or '.join(_SUFFIXES[what])}{hint}"
            )
        with written_whole(target) as temporary:
            Pillow.fromarray(drawers[what]()).save(temporary, quality=_JPEG_QUALITY)  # PNG takes no notice of it.
        return target

    def to_dict(self) -> dict[str, Any]:
        """All but the pixels' values, ready for JSON.

        Returns:
            ``source``; ``size`` [height, width]; ``labels``, see :meth:`LabelSet.to_dict`; and for each class in
            ``classes`` its ``id``, ``name``, ``share`` 0..1 and ``rle``, COCO's compressed run lengths with ``size``
            and ``counts``.

        Example:
            >>> json.dumps(result.to_dict())[:40]
            '{"source": "road.jpg", "size": [720, 128'
        """
        return {
            "source": self.source,
            "size": list(self.size),
            "labels": self.labels.to_dict(),
            "classes": [
                {"id": k, "name": name, "share": self.share(name), "rle": _run_lengths(self.mask(name))}
                for k, name in enumerate(self.labels.names)
            ],
        }

    def _repr_png_(self) -> bytes:
        """The overlay, for notebooks."""
        height, width = self.size
        shrink = min(1, _MOST_SHOWN / max(height, width))
        shown = resize_image(self.overlay(), (max(1, round(height * shrink)), max(1, round(width * shrink))))
        stream = BytesIO()
        Pillow.fromarray(shown).save(stream, "PNG")
        return stream.getvalue()

    def _id(self, name: str) -> int:
        if name not in self.labels.names:
            raise ConfigError(f"class '{one_line(name, 80)}': {nearest_match(str(name), self.labels.names)}")
        return self.labels.names.index(name)


def _run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}
