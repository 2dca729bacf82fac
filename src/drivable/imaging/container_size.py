"""How long a video file should be, by what its container says of itself."""

from __future__ import annotations

from typing import BinaryIO

# An MP4 is a row of boxes; anything else after the film was appended by someone.
_BOXES = frozenset(b"ftyp moov mdat moof mfra sidx styp ssix emsg prft free skip wide meta uuid pdin pnot".split())
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MOST_PARTS = 100_000


def stated_bytes(file: BinaryIO) -> int | None:
    """Bytes that an MP4, Matroska or AVI file says it has, to tell one that was cut off.

    Args:
        file: open for reading bytes, seekable.

    Returns:
        The end of the last part that begins within the file; beyond the file's own end where it was cut off. ``None``
        where the container does not say, as those of recorders that were switched off, and MPEG streams.

    Example:
        >>> stated_bytes(Path("drive.mp4").open("rb"))
        2641803
    """
    file.seek(0)
    head = file.read(8)
    if head[:4] == b"RIFF":
        return _riff(file)
    if head[:4] == _EBML:
        return _matroska(file)
    return _boxes(file) if head[4:] in _BOXES else None


def _boxes(file: BinaryIO) -> int | None:
    end = 0
    for _ in range(_MOST_PARTS):
        file.seek(end)
        head = file.read(16)
        if len(head) < 8:
            return end
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8 or head[4:8] not in _BOXES:
            return None
        end += size
    return None


def _riff(file: BinaryIO) -> int | None:
    """An AVI of more than a gigabyte is several of them."""
    end = 0
    for _ in range(_MOST_PARTS):
        file.seek(end)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return end
        size = int.from_bytes(head[4:], "little")
        if size in (0, 2**32 - 1):
            return None
        end += 8 + size + size % 2
    return None


def _matroska(file: BinaryIO) -> int | None:
    file.seek(len(_EBML))
    header = _length(file)
    if header is None:
        return None
    file.seek(header, 1)
    if file.read(4) != _SEGMENT:
        return None
    segment = _length(file)
    return None if segment is None else file.tell() + segment


def _length(file: BinaryIO) -> int | None:
    """A length of EBML: as many bytes as its first one has leading zeros, and one. All ones: not known."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    num_bytes = 9 - first[0].bit_length()
    bits = int.from_bytes(first + file.read(num_bytes - 1), "big")
    value = bits & ((1 << 7 * num_bytes) - 1)
    return None if value == (1 << 7 * num_bytes) - 1 else value
