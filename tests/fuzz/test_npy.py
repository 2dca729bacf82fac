"""Arrays of any bytes are read, or refused in one line; none ends the process."""

from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drivable.data import open_data, read_pair
from drivable.data.samples import open_array

from .mutations import mutated, outcome


def encoded(array: np.ndarray) -> bytes:
    content = BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


IMAGES = np.zeros((3, 4, 5, 3), dtype=np.uint8)
LABELS = np.full((3, 4, 5), 2, dtype=np.uint8)
VALID_IMAGES = [encoded(IMAGES), encoded(np.asfortranarray(IMAGES)), encoded(np.array([{}], dtype=object))]
VALID_LABELS = [encoded(LABELS), encoded(LABELS.astype(np.int64))]
SHAPES = st.sampled_from(
    ["(3, 4, 5, 3)", "(-3, 4, 5, 3)", "(0, 4, 5, 3)", "(3, 0, 0, 3)", "(9999999999999, 4, 5, 3)", "(1e308, 4, 5, 3)",
     "(3, 99999, 99999, 3)", "()", "(3,)", "3", "None", "[3, 4, 5, 3]", "(" * 90 + ")" * 90, "9" * 5000]
)  # fmt: skip


@st.composite
def with_another_shape(draw: st.DrawFn) -> bytes:
    """A valid array whose header says something else."""
    header = f"{{'descr': '|u1', 'fortran_order': {draw(st.booleans())}, 'shape': {draw(SHAPES)}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + IMAGES.tobytes()


@given(
    images=with_another_shape() | mutated(VALID_IMAGES) | st.just(VALID_IMAGES[0]),
    labels=mutated(VALID_LABELS) | st.just(VALID_LABELS[0]),
)
def test_any_bytes(images: bytes, labels: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "image_4_5.npy").write_bytes(images)
        (Path(folder) / "label_4_5.npy").write_bytes(labels)
        open_array.cache_clear()
        data = outcome(lambda: open_data(folder))
        for sample in getattr(data, "all_samples", ())[:3]:
            pair = outcome(lambda sample=sample: read_pair(sample))
            if isinstance(pair, tuple):
                assert pair[0].shape == (*pair[1].shape, 3)
                assert set(np.unique(pair[1])) <= {0, 1, 2, 255}
