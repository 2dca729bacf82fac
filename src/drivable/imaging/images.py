"""Read and resize pictures and label maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from drivable.errors import DataError
from drivable.reading import Readable, check_limit, check_size, open_regular, read_bytes, reading

Pixels = NDArray[np.uint8]
Stored = Readable
# Pillow reads forty more, through parsers that nobody needs here and of which one starts a program (EPS).
PICTURE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "AVIF")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".avif"})
_ORIENTATION = 274  # Of EXIF; 1 is upright.
_ON_THEIR_SIDE = (5, 6, 7, 8)
_BITS_OF_GREY = {"1": 1, "L;2": 2, "L;4": 4}  # Of a PNG, by what Pillow unpacks.
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # Of TIFF.


def open_picture(file: Stored) -> Image.Image:
    """Open and fully decode a picture in its own mode, upright.

    Raises:
        DataError: where the file is missing, no regular file, not a picture in one of :data:`PICTURE_FORMATS`, larger
            than ``DRIVABLE_MAX_PIXELS``, or ends before the picture does.
    """
    with _opened(file) as (picture, _):
        return _upright(picture)


def open_mask(file: Stored) -> tuple[Image.Image, int]:
    """Like :func:`open_picture`, and how many bits its greys have in the file.

    Pillow spreads greys of 1, 2 and 4 bits over 0..255, where a mask may mean the numbers.

    Returns:
        The picture, and 1, 2, 4 or 8; 8 also where there are no greys.
    """
    with _opened(file) as (picture, _):
        bits = _BITS_OF_GREY.get(str(picture.tile[0].args), 8) if picture.format == "PNG" and picture.tile else 8
        return _upright(picture), 1 if picture.mode == "1" else bits


def read_image(file: Stored | str, at_least: tuple[int, int] | None = None) -> Pixels:
    """Read a picture.

    Args:
        file: in one of :data:`PICTURE_FORMATS`.
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
    with _opened(file) as (picture, content):
        upright = picture.getexif().get(_ORIENTATION, 1) == 1
        if picture.format == "JPEG" and picture.mode in ("RGB", "L") and upright:
            try:
                if simplejpeg.decode_jpeg_header(content)[:2] == (picture.height, picture.width):
                    height, width = _reduced((picture.height, picture.width), at_least)
                    return np.asarray(simplejpeg.decode_jpeg(content, "RGB", min_height=height, min_width=width))
            except ValueError:
                pass  # It also refuses what is merely odd; Pillow decides and finds the words.
        return _to_rgb(_upright(picture), file)


def rgb_of_pillow(image: Image.Image, name: str = "image") -> Pixels:
    """Convert a Pillow image as :func:`read_image` converts a file's.

    Args:
        image: of any mode that 8 bits a channel can hold; it is not changed.
        name: what messages call it.

    Returns:
        RGB (H, W, 3) uint8, upright as its EXIF orientation says.

    Raises:
        DataError: where it cannot be decoded, its mode cannot become RGB, or it is larger than ``DRIVABLE_MAX_PIXELS``.

    Example:
        >>> rgb_of_pillow(Image.new("L", (160, 90))).shape
        (90, 160, 3)
    """
    with reading(name, DataError, "broken image", "replace it"):
        check_size(image.height, image.width)
        image.load()
        # Pillow has turned a TIFF when it was decoded.
        upright = image if image.format == "TIFF" else ImageOps.exif_transpose(image)
        return _to_rgb(upright, name)


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
        DataError: where the file is missing, not a picture, or larger than ``DRIVABLE_MAX_PIXELS``.
    """
    with _told(file), open_regular(file) as stream, _header(stream) as picture:
        turned = picture.getexif().get(_ORIENTATION, 1) in _ON_THEIR_SIDE
        # Of a TIFF's tag Pillow has made the size that is shown, of its XMP not.
        if picture.format == "TIFF" and _ORIENTATION in getattr(picture, "tag_v2", {}):
            turned = False
        return picture.size if turned else (picture.height, picture.width)


def _upright(picture: Image.Image) -> Image.Image:
    """Decoded, and turned as its EXIF says; Pillow has turned a TIFF when it is decoded."""
    picture.load()
    if picture.format != "TIFF":
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _to_rgb(picture: Image.Image, file: Stored | str) -> Pixels:
    if picture.mode.startswith("I;16"):
        # Pillow would clip all above 255.
        picture = Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise DataError(f"{file}: picture of mode {picture.mode}; 8 or 16 bits a channel expected, so convert it")
    return np.array(picture.convert("RGB"))


@contextmanager
def _opened(file: Stored) -> Iterator[tuple[ImageFile, bytes]]:
    """A picture that is not yet decoded, with the file's bytes."""
    with _told(file):
        content = read_bytes(file)
        with _header(BytesIO(content)) as picture:
            if picture.format in ("JPEG", "MPO"):
                # Each scan of a progressive JPEG goes over all of its pixels, and may take six bytes.
                check_limit("DRIVABLE_MAX_JPEG_SCANS", content.count(b"\xff\xda"), "scans")
            yield picture, content


@contextmanager
def _header(stream: BinaryIO) -> Iterator[ImageFile]:
    """A picture whose header was read and whose size is within the limit."""
    with _OWN_LIMIT, Image.open(stream, formats=PICTURE_FORMATS) as picture:
        check_size(picture.height, picture.width)
        tags = getattr(picture, "tag_v2", {})  # A TIFF's tiles may be larger than the TIFF.
        check_size(tags.get(_TILE_LENGTH, 1), tags.get(_TILE_WIDTH, 1))
        yield picture


class _OwnLimit:
    """Pillow's own limit on pixels, which is one of the whole process, is off while any thread of ours reads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._num_readers = 0
        self._pillows: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._num_readers == 0:
                self._pillows, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._num_readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_readers -= 1
            if self._num_readers == 0:
                Image.MAX_IMAGE_PIXELS = self._pillows


_OWN_LIMIT = _OwnLimit()


@contextmanager
def _told(file: Stored) -> Iterator[None]:
    """Say in one line what is wrong with a file."""
    with reading(file, DataError, "broken picture", "replace the file or leave it out with --skip-broken"):
        try:
            yield
        except FileNotFoundError as fault:
            raise DataError(f"{file}: no such picture") from fault
        except UnidentifiedImageError as fault:
            raise DataError(f"{file}: not a picture (JPEG, PNG, BMP, WebP, TIFF or AVIF expected)") from fault


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
