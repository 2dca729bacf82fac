"""What is done to valid files: bytes flipped, cut, inserted, repeated and exchanged for telling ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Literal

import pytest
from hypothesis import strategies as st

from drivable.errors import DataError

_TELLING = st.sampled_from(
    [b"\0", b"\xff", b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xda", b"IDAT", b"\n", b"nan"]
)


@dataclass(frozen=True)
class Bytes:
    """A file that lies in memory."""

    content: bytes

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Its bytes."""
        return BytesIO(self.content)

    def __str__(self) -> str:
        return "any.png"


@st.composite
def mutated(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """A valid file with up to eight changes, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(0, 8))):
        # The beginning says what the rest is.
        place = draw(st.integers(0, min(len(content), 200) if draw(st.booleans()) else len(content)))
        match draw(st.sampled_from(["flip", "cut", "insert", "replace", "repeat"])):
            case "flip" if place < len(content):
                content[place] ^= draw(st.integers(1, 255))
            case "cut":
                del content[place : place + draw(st.sampled_from([1, 2, 10, 10_000]))]
            case "insert":
                content[place:place] = draw(_TELLING | st.binary(max_size=8))
            case "replace":
                new = draw(_TELLING)
                content[place : place + len(new)] = new
            case "repeat":
                content[place:place] = content[place : place + draw(st.integers(1, 40))]
    return bytes(content)


def outcome(read: Callable[[], object]) -> object:
    """What a reader gives, or the fault that it tells in one line; nothing else may be thrown."""
    try:
        return read()
    except DataError as fault:
        return fault if "\n" not in str(fault) and len(str(fault)) < 2000 else pytest.fail(str(fault))
