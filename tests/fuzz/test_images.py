"""Image files of any bytes are read, or refused in one line."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drivable.errors import DataError
from drivable.imaging.images import open_picture, picture_size, read_image

from .mutations import Bytes, mutated, outcome


def encoded(kind: str, mode: str, **options: object) -> bytes:
    content = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (13, 21, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).convert(mode).save(content, kind, exif=exif, **options)  # type: ignore[arg-type]
    return content.getvalue()


VALID = [
    encoded("JPEG", "RGB"),
    encoded("JPEG", "L", progressive=True),
    encoded("JPEG", "CMYK"),
    encoded("PNG", "RGB"),
    encoded("PNG", "P"),
    encoded("PNG", "1"),
    encoded("PNG", "I;16"),
    encoded("BMP", "RGB"),
    encoded("BMP", "P"),
    encoded("WEBP", "RGB", lossless=True),
    encoded("WEBP", "RGBA"),
    encoded("TIFF", "RGB"),
    encoded("TIFF", "L", compression="tiff_lzw"),
    encoded("TIFF", "YCbCr", compression="jpeg"),
    encoded("TIFF", "1", compression="group4"),
    encoded("AVIF", "RGB", speed=10),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n",
]


@pytest.mark.filterwarnings("ignore")  # Of Pillow, about what it reads all the same.
@given(content=mutated(VALID), at_least=st.sampled_from([None, (1, 1), (6, 10)]))
def test_any_bytes(content: bytes, at_least: tuple[int, int] | None) -> None:
    file = Bytes(content)
    image, picture, size = (
        outcome(lambda: read_image(file, at_least)),
        outcome(lambda: open_picture(file)),
        outcome(lambda: picture_size(file)),
    )
    if not isinstance(picture, DataError):
        # An image that can be decoded has the size that its header says.
        assert size == picture.size[::-1]
    if not isinstance(image, DataError):
        assert (image.ndim, image.dtype) == (3, np.uint8)
        assert at_least is not None or size == image.shape[:2]
