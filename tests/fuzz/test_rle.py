"""Any run lengths: COCO's compressed and plain ones, CVAT's rows and Label Studio's brush."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivable.data.formats.cvat_xml import RowRle
from drivable.data.formats.label_studio_json import Brush
from drivable.data.shapes import Rle

from .mutations import mutated, outcome

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
COUNTS = st.lists(st.integers(-3, 60) | st.sampled_from([-(2**63), 2**31, 2**63, 2**64, 10**5000]), max_size=20)
# 18 values of 8 bits, from the tests of Label Studio's own converter, and a mask of 4 x 5 pixels.
STROKES = [
    bytes([0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]),
    bytes([0, 0, 0, 80, 57, 27, 254, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32] * 3),
]


@given(text=st.text() | st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=60), size=SIZES)
def test_compressed(text: str, size: tuple[int, int]) -> None:
    drawn = outcome(lambda: Rle("direct", text, size).mask(size))
    assert isinstance(drawn, Exception) or drawn.shape == size


@given(counts=COUNTS, size=SIZES, origin=st.tuples(st.integers(-5, 20), st.integers(-5, 20)))
def test_plain_and_by_rows(counts: list[int], size: tuple[int, int], origin: tuple[int, int]) -> None:
    drawn = outcome(lambda: Rle("direct", tuple(counts), size).mask(size))
    assert isinstance(drawn, Exception) or drawn.sum() == sum(counts[1::2])
    drawn = outcome(lambda: RowRle("direct", tuple(counts), origin, size).mask((40, 40)))
    assert isinstance(drawn, Exception) or drawn.sum() == sum(counts[1::2])


@given(data=st.data())
def test_runs_that_fit(data: st.DataObject) -> None:
    flat = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    ends = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]])))
    counts = np.diff(np.concatenate([[0], ends])).tolist()
    assert np.array_equal(Rle("direct", tuple(counts), (3, 4)).mask((3, 4)), flat.reshape(4, 3).T)
    assert np.array_equal(RowRle("direct", tuple(counts), (1, 1), (3, 4)).mask((5, 6))[1:4, 1:5], flat.reshape(3, 4))


@given(packed=mutated(STROKES), size=SIZES)
def test_brush(packed: bytes, size: tuple[int, int]) -> None:
    for stated in (size, (4, 5)):
        drawn = outcome(lambda stated=stated: Brush("road", packed, stated).mask(stated))
        assert isinstance(drawn, Exception) or drawn.shape == stated
