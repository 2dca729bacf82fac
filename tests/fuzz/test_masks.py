"""Mask files of any bytes become known ids, or are refused in one line."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drivable.data.encodings import COLORS_2018, CURRENT_IDS, YES_OR_NO, MaskConvention, identity_convention
from drivable.data.formats.yolop import GreyMasks
from drivable.errors import DataError
from drivable.labels import BDD100K_DRIVABLE

from .mutations import Bytes, mutated, outcome


def encoded(values: list[int], mode: str = "L", kind: str = "PNG", **options: object) -> bytes:
    content = BytesIO()
    pixels = np.array(values, dtype=np.uint8)[np.arange(35).reshape(5, 7) % len(values)]
    picture = Image.fromarray(pixels)
    if mode == "P":
        picture.putpalette([217, 83, 79, 91, 192, 222, 0, 0, 0])
    elif mode == "colors":
        picture = Image.fromarray(np.array([[0, 0, 0], [217, 83, 79], [0, 0, 255]], dtype=np.uint8)[pixels])
    elif mode != "L":
        picture = picture.convert(mode)
    picture.save(content, kind, **options)  # type: ignore[arg-type]
    return content.getvalue()


VALID = [
    encoded([0, 1, 2]),
    encoded([0, 1, 2, 255]),
    encoded([0, 255]),
    encoded([0, 255], "1"),
    encoded([0, 1, 2], "P", bits=2),
    encoded([0, 1, 2], "P", transparency=0),
    encoded([0, 1, 2], "colors"),
    encoded([0, 127, 255], "LA"),
    encoded([0, 127, 255], "RGBA"),
    encoded([0, 1, 2], kind="TIFF"),
    encoded([0, 1, 2], kind="BMP"),
]
CONVENTIONS = [
    CURRENT_IDS,
    YES_OR_NO,
    COLORS_2018,
    identity_convention(BDD100K_DRIVABLE),
    GreyMasks("grey masks"),
    MaskConvention("any ids", values={value: value % 3 for value in range(256)}),
]


@pytest.mark.filterwarnings("ignore")
@given(content=mutated(VALID), convention=st.sampled_from(CONVENTIONS))
def test_any_bytes(content: bytes, convention: MaskConvention) -> None:
    label_map = outcome(lambda: convention.decode(Bytes(content)))
    if not isinstance(label_map, DataError):
        assert (label_map.ndim, label_map.dtype) == (2, np.uint8)
        assert set(np.unique(label_map)) <= {0, 1, 2, 255}
