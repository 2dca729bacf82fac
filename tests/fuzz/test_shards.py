"""Any bytes as a shard or as its index: read, or refused in one line; nothing is read beyond the file."""

import io
import json
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from drivable.data import open_data, read_pair

from .mutations import mutated, outcome
from .trees import changed


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


MEMBERS = {
    "a.jpg": encoded(np.zeros((8, 8, 3), dtype=np.uint8), "JPEG"),
    "a.png": encoded(np.full((8, 8), 2, dtype=np.uint8), "PNG"),
    "a.json": b'{"weather": "rainy"}',
}


def tar_of(form: int, **extra: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as packed:
        for name, content in MEMBERS.items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(content), extra
            packed.addfile(member, io.BytesIO(content))
    return stream.getvalue()


TARS = [
    tar_of(tarfile.GNU_FORMAT),
    tar_of(tarfile.PAX_FORMAT),
    tar_of(tarfile.PAX_FORMAT, comment="x" * 50),
    tar_of(tarfile.PAX_FORMAT, size="-1536"),
    tar_of(tarfile.PAX_FORMAT, **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
]
INDEX = [{"train-000000.tar": [["a.jpg", 512, 100], ["a.png", 2048, 50], ["a.json", 3072, 20]]}]
SIZES = st.sampled_from(
    [b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\x01", b"77777777777\0", b"-0000000777\0", b"\x80" + b"\xff" * 11]
)


@st.composite
def with_another_size(draw: st.DrawFn) -> bytes:
    """A shard in which the head of one member states another size."""
    content = bytearray(draw(st.sampled_from(TARS)))
    place = 512 * draw(st.integers(0, len(content) // 512 - 1))
    content[place + 124 : place + 136] = draw(SIZES)
    content[place + 148 : place + 156] = b" " * 8
    content[place + 148 : place + 156] = b"%06o\0 " % sum(content[place : place + 512])
    return bytes(content)


@given(
    shard=mutated(TARS) | with_another_size(),
    index=st.none() | changed(INDEX) | mutated([json.dumps(INDEX[0]).encode()]),
)
def test_any_bytes(shard: bytes, index: bytes | None) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "shards").mkdir()
        (Path(folder) / "shards/train-000000.tar").write_bytes(shard)
        if index is not None:
            (Path(folder) / "shards/index.json").write_bytes(index)
        data = outcome(lambda: open_data(folder, confirmed=False))
        for sample in getattr(data, "all_samples", ())[:3]:
            assert not set(sample.id) & set("/\\\0\n")
            pair = outcome(lambda sample=sample: read_pair(sample))
            if isinstance(pair, tuple):
                assert pair[0].shape == (*pair[1].shape, 3)
