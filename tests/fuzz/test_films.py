"""Films of others: read, or refused as a :class:`DataError`. FFmpeg runs in the process of the test."""

from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivable.errors import DataError
from drivable.imaging.video import read_frames, read_video_info

CODECS = {"mp4": "libx264", "mkv": "mpeg4", "avi": "mjpeg", "ts": "mpeg2video"}
# What headers hold: lengths, sizes, times, counts.
HOSTILE = st.sampled_from([0, 1, 7, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000, 20_000])
EDITS = st.lists(
    st.tuples(
        st.integers(0, 2**20 - 1),  # Where, in parts of the file.
        st.integers(0, 12),  # Bytes taken out.
        st.binary(min_size=1, max_size=4)
        | st.builds(lambda value, order: value.to_bytes(4, order), HOSTILE, st.sampled_from(["big", "little"])),
    ),
    max_size=4,
)


@cache
def film(suffix: str) -> bytes:
    """Four small frames of noise, so that much of the file is headers."""
    noise = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"film.{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(CODECS[suffix], rate=25)
            stream.width, stream.height = 16, 16
            stream.pix_fmt = "yuvj420p" if suffix == "avi" else "yuv420p"
            for _ in range(4):
                pixels = noise.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        return path.read_bytes()


def readable(content: bytes, suffix: str) -> int:
    """How many frames were read."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"film.{suffix}"
        path.write_bytes(content)
        num_frames = 0
        with suppress(DataError):
            read_video_info(path)
        with suppress(DataError):
            for _ in islice(read_frames(path), 100):
                num_frames += 1
        return num_frames


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of a size that is quickly converted."""
    monkeypatch.setenv("DRIVABLE_MAX_PIXELS", "1000000")


@pytest.mark.parametrize("suffix", CODECS)
def test_the_film_that_is_changed_is_whole(suffix: str) -> None:
    assert readable(film(suffix), suffix) == 4


@given(suffix=st.sampled_from(sorted(CODECS)), edits=EDITS, share=st.just(1.0) | st.floats(0, 1), data=st.data())
def test_changed_films(suffix: str, edits: list[tuple[int, int, bytes]], share: float, data: st.DataObject) -> None:
    content = film(suffix)
    content = content[: int(share * len(content))]
    for place, num_out, put_in in edits:
        at = place * len(content) >> 20
        # As a rule as long as before, so that what follows is still understood.
        num_out = data.draw(st.just(len(put_in)) | st.just(num_out))
        content = content[:at] + put_in + content[at + num_out :]
    readable(content, suffix)


@given(content=st.binary(max_size=2000), suffix=st.sampled_from(sorted(CODECS)))
def test_bytes_that_are_no_film(content: bytes, suffix: str) -> None:
    readable(content, suffix)
