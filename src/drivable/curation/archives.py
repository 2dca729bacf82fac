"""Archives of others, zip and tar: unpacked into a new folder, and nowhere else.

Neither module of Python's is trusted to write: its tar filters let links out (CVE-2025-4517). Here an archive holds
files and folders, each name once, and every byte is written by us below the destination.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from drivable.errors import DataError, OutputError, one_line
from drivable.files import check_name, inside
from drivable.reading import limit, open_regular, reading

_CHUNK = 2**16
# What an entry costs at least, so that millions of empty ones count too; and what small archives may hold anyway.
_ENTRY_BYTES, _ALLOWANCE = 512, 2**26
_STREAMS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@dataclass(frozen=True)
class _Member:
    """A file or folder of an archive.

    Args:
        name: as it stands there.
        kind: ``file``, ``folder``, or what it is in words.
        num_bytes: unpacked, as the archive has it.
        num_done: bytes of the archive that are read once it is unpacked.
        open: its content.
    """

    name: str
    kind: str
    num_bytes: int
    num_done: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, report: Callable[[int, int], None] = lambda *_: None) -> None:
    """Unpack into an empty folder.

    Args:
        archive: a zip, or a tar in gzip, bzip2, xz or none.
        folder: an empty folder; of a failure it keeps what was unpacked until then.
        report: told how many bytes of how many of the archive are done.

    Raises:
        DataError: where it is no archive, is damaged, holds anything but files and folders, a name that leads
            elsewhere or stands twice, also where only its case differs, or unpacks to more than
            ``DRIVABLE_MAX_UNPACKED_RATIO`` times its size.
        OutputError: where the disk is full.

    Example:
        >>> unpack(Path("camvid.tgz"), Path("camvid"))
    """
    size = archive.stat().st_size
    known: dict[str, tuple[str, bool]] = {}
    num_bytes = 0
    for member in _members(archive):
        num_bytes += member.num_bytes + _ENTRY_BYTES
        num_known = len(known)
        parts = _checked(archive, member, known)
        # A name may stand for many folders.
        num_bytes += _ENTRY_BYTES * (len(known) - num_known)
        _check_amount(archive, num_bytes, size)
        require_space(folder, member.num_bytes)
        if parts:
            _write(archive, member, inside(folder, *parts))
        report(member.num_done, size)


def require_space(folder: Path, num_bytes: int) -> None:
    """Refuse to write what does not fit on the disk.

    Raises:
        OutputError: where less than ``num_bytes`` is free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise OutputError(f"{folder}: {free / 1e6:.0f} MB free, {num_bytes / 1e6:.0f} MB needed; choose another --out")


def _check_amount(archive: Path, num_bytes: int, size: int) -> None:
    most = limit("DRIVABLE_MAX_UNPACKED_RATIO")
    if num_bytes > _ALLOWANCE + most * size:
        raise DataError(
            f"{archive}: unpacks to more than {most} times its {size} bytes; DRIVABLE_MAX_UNPACKED_RATIO raises it"
        )


def _checked(archive: Path, member: _Member, known: dict[str, tuple[str, bool]]) -> list[str]:
    """The parts of a member's path, if it is one that may be written."""
    name, is_folder = member.name, member.kind == "folder"

    def refused(why: str) -> DataError:
        return DataError(f"{archive}: member '{one_line(name, 80)}' {why}; get it from where it can be trusted")

    if not is_folder and member.kind != "file":
        raise refused(f"is a {member.kind}; files and folders are expected")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
        raise refused("reaches outside")
    if len(parts) > limit("DRIVABLE_MAX_DEPTH"):
        raise refused("lies in too many folders")
    for part in parts:
        try:
            check_name(part, "name")
        except (DataError, UnicodeEncodeError) as fault:
            raise refused("has a name that no file may have") from fault
    for depth in range(1, len(parts) + 1):
        path, holds_others = "/".join(parts[:depth]), depth < len(parts) or is_folder
        # As systems see it to which Road.png and road.png are one file.
        key = unicodedata.normalize("NFC", path).casefold()
        if key not in known:
            known[key] = path, holds_others
        elif known[key][0] != path:
            raise refused(f"differs from '{one_line(known[key][0], 80)}' by its case alone")
        elif not (known[key][1] and holds_others):
            raise refused("stands there twice")
    if not parts and not is_folder:
        raise refused("has no name")
    return parts


def _write(archive: Path, member: _Member, target: Path) -> None:
    if member.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    num_bytes = 0
    with target.open("xb") as file:
        for chunk in _chunks(archive, member):
            num_bytes += len(chunk)
            if num_bytes > member.num_bytes:
                break
            file.write(chunk)
    if num_bytes != member.num_bytes:
        raise DataError(f"{archive}: member '{one_line(member.name, 80)}' has another size than the archive says")


# Faults of an archive become ours here; those of writing, in the loops that take what these yield, do not.
def _chunks(archive: Path, member: _Member) -> Iterator[bytes]:
    with _damaged(archive), member.open() as content:
        while chunk := content.read(_CHUNK):
            yield chunk


def _members(archive: Path) -> Iterator[_Member]:
    with _damaged(archive), open_regular(archive) as file:
        if zipfile.is_zipfile(file):
            yield from _members_of_zip(file)
        else:
            yield from _members_of_tar(archive, file)


def _damaged(archive: Path) -> Any:
    return reading(archive, DataError, "cannot be unpacked", "fetch it again")


def _members_of_zip(file: BinaryIO) -> Iterator[_Member]:
    done = 0
    with zipfile.ZipFile(file) as packed:
        for entry in packed.infolist():
            # Archives made on Unix keep what a file was; 0 is a file, or a folder by its name.
            mode = stat.S_IFMT(entry.external_attr >> 16)
            kind = "folder" if entry.is_dir() else "file"
            if mode and mode != (stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
                kind = "link" if mode == stat.S_IFLNK else "special file"
            done += entry.compress_size
            # Python cuts the name at a zero byte; what stood behind it is in orig_filename.
            yield _Member(entry.orig_filename, kind, entry.file_size, done, lambda entry=entry: packed.open(entry))  # type: ignore[misc]


def _members_of_tar(archive: Path, file: BinaryIO) -> Iterator[_Member]:
    file.seek(0)
    begin = file.read(20)
    file.seek(0)
    unpacked = next((opened for magic, opened in _STREAMS.items() if begin.startswith(magic)), None)
    stream = file if unpacked is None else unpacked(file)
    try:
        packed = tarfile.open(fileobj=_Modest(stream), mode="r:")  # noqa: SIM115 - entered below.
    except tarfile.ReadError as fault:
        if unpacked is None:
            raise DataError(f"{archive}: neither zip nor tar, begins with {begin!r}; it was removed") from fault
        raise
    with packed:
        for entry in packed:
            kind = "file" if entry.isreg() else "folder" if entry.isdir() else "special file"
            if entry.issym() or entry.islnk():
                kind = "link"
            yield _Member(entry.name, kind, entry.size, file.tell(), lambda entry=entry: packed.extractfile(entry))  # type: ignore[misc, arg-type]
        # The members end before the stream does, and only its end has the checksum of what was unpacked.
        while stream.read(2**20):
            _check_amount(archive, stream.tell(), archive.stat().st_size)


class _Modest(io.RawIOBase):
    """A stream for tarfile that is not asked for gigabytes at once, which a header may say that a name has."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """As of any stream, but for at most a mebibyte."""
        if not 0 <= size <= 2**20:
            raise ValueError(f"a header of {size} bytes")
        data: bytes = self._stream.read(size)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any stream."""
        place: int = self._stream.seek(offset, whence)
        return place

    def tell(self) -> int:
        """As of any stream."""
        place: int = self._stream.tell()
        return place
