"""Read and resize pictures and label maps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from drivable.errors import DataError

Pixels = NDArray[np.uint8]
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})

# The process may already decode in parallel; OpenCV's own pool only adds contention.
cv2.setNumThreads(0)


def open_picture(path: Path) -> Image.Image:
    """Open and fully decode a picture in its own mode, upright.

    Raises:
        DataError: where the file is missing, not a picture, or ends before the picture does.
    """
    try:
        # Pillow, not OpenCV: the latter returns a truncated JPEG half grey and says nothing.
        with Image.open(path) as picture:
            return ImageOps.exif_transpose(picture)
    except FileNotFoundError as fault:
        raise DataError(f"{path}: no such picture") from fault
    except UnidentifiedImageError as fault:
        raise DataError(f"{path}: not a picture (JPEG, PNG, BMP, WebP or TIFF expected)") from fault
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as fault:
        raise DataError(
            f"{path}: broken picture: {fault}; replace the file or leave it out with --skip-broken"
        ) from fault


def read_image(path: Path) -> Pixels:
    """Read a picture.

    Args:
        path: a file in any format that Pillow reads.

    Returns:
        RGB (H, W, 3) uint8, upright as its EXIF orientation says.

    Raises:
        DataError: see :func:`open_picture`.

    Example:
        >>> read_image(Path("road.jpg")).shape
        (720, 1280, 3)
    """
    picture = open_picture(path)
    if picture.mode.startswith("I;16"):
        # Pillow would clip all above 255.
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise DataError(f"{path}: picture of mode {picture.mode}; 8 or 16 bits a channel expected, so convert it")
    return np.array(picture.convert("RGB"))


def resize_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize RGB (H, W, 3) to ``size`` (height, width): area average when shrinking, bilinear when growing."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=interpolation), dtype=np.uint8)


def resize_label_map(label_map: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize ids (H, W) to ``size`` (height, width) by the nearest pixel's centre; no id is invented."""
    if label_map.shape == size:
        return label_map
    # INTER_NEAREST takes the pixel's corner and shifts the map by half a pixel.
    return np.asarray(cv2.resize(label_map, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)
