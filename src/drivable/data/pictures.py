"""Read and resize pictures and label maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from drivable.errors import DataError

Pixels = NDArray[np.uint8]
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
_ORIENTATION = 274  # Of EXIF; 1 is upright, 5 to 8 lie on their side.


class Stored(Protocol):
    """Bytes under a name: a ``Path``, a ``UPath`` of a remote place, or a member of a shard."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Open for reading."""
        ...


def open_picture(file: Stored) -> Image.Image:
    """Open and fully decode a picture in its own mode, upright.

    Raises:
        DataError: where the file is missing, not a picture, or ends before the picture does.
    """
    with _told(file), file.open("rb") as stream, Image.open(stream) as picture:
        # Pillow, not OpenCV: the latter returns a truncated JPEG half grey and says nothing.
        return ImageOps.exif_transpose(picture)


def read_image(file: Stored | str, at_least: tuple[int, int] | None = None) -> Pixels:
    """Read a picture.

    Args:
        file: in any format that Pillow reads.
        at_least: (height, width) in pixels that the caller shrinks to in any case. A JPEG of twice that or more is
            decoded at 1/2, 1/4 or 1/8, which its cosine transform gives for less than the full picture costs.

    Returns:
        RGB (H, W, 3) uint8, upright as its EXIF orientation says.

    Raises:
        DataError: see :func:`open_picture`.

    Example:
        >>> read_image(Path("road.jpg")).shape
        (720, 1280, 3)
    """
    file = Path(file) if isinstance(file, str) else file
    with _told(file), file.open("rb") as stream:
        content = stream.read()
        with Image.open(BytesIO(content)) as picture:
            upright = picture.getexif().get(_ORIENTATION, 1) == 1
            if picture.format == "JPEG" and picture.mode in ("RGB", "L") and upright:
                height, width = _reduced((picture.height, picture.width), at_least)
                try:
                    return np.asarray(simplejpeg.decode_jpeg(content, "RGB", min_height=height, min_width=width))
                except ValueError:
                    pass  # It also refuses what is merely odd; Pillow decides and finds the words.
            return _to_rgb(ImageOps.exif_transpose(picture), file)


def _reduced(size: tuple[int, int], at_least: tuple[int, int] | None) -> tuple[int, int]:
    """The smallest of a JPEG's sizes at 1/8, 1/4, 1/2 and 1 that is at least so large.

    The decoder knows eighths in between, which take longer than the whole picture.
    """
    for divisor in (8, 4, 2):
        height, width = -(-size[0] // divisor), -(-size[1] // divisor)
        if at_least is not None and height >= at_least[0] and width >= at_least[1]:
            return height, width
    return size


def picture_size(file: Stored) -> tuple[int, int]:
    """(height, width) of a picture as shown, from its header.

    Raises:
        DataError: where the file is missing or not a picture.
    """
    with _told(file), file.open("rb") as stream, Image.open(stream) as picture:
        turned = picture.getexif().get(_ORIENTATION, 1) >= 5
        return picture.size if turned else (picture.height, picture.width)


def _to_rgb(picture: Image.Image, file: Stored) -> Pixels:
    if picture.mode.startswith("I;16"):
        # Pillow would clip all above 255.
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise DataError(f"{file}: picture of mode {picture.mode}; 8 or 16 bits a channel expected, so convert it")
    return np.array(picture.convert("RGB"))


@contextmanager
def _told(file: Stored) -> Iterator[None]:
    """Say in one line what is wrong with a file."""
    try:
        yield
    except FileNotFoundError as fault:
        raise DataError(f"{file}: no such picture") from fault
    except UnidentifiedImageError as fault:
        raise DataError(f"{file}: not a picture (JPEG, PNG, BMP, WebP or TIFF expected)") from fault
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as fault:
        raise DataError(
            f"{file}: broken picture: {fault}; replace the file or leave it out with --skip-broken"
        ) from fault


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
