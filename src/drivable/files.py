"""Write results whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import io
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivable.errors import DataError, OutputError, PlacelessError, one_line, shown_address


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` and rename it to ``path`` when the block ends well.

    The temporary name keeps the suffix, since writers choose a format by it. Works for a file and for a folder
    that the block creates. Where the block fails, nothing is left; what a process that was killed has left in the
    same folder is cleared away first.

    Raises:
        OutputError: where the place is not writable or the disk is full. Any other fault of the block, such as an
            input that is missing, leaves as it is.

    Example:
        >>> with written_whole(Path("scores.json")) as temporary:
        ...     temporary.write_text("{}")
    """
    # "." has no name to derive one from.
    target = path.absolute()
    # A file system takes 255 bytes, and a name that has nearly so many must not grow.
    is_short = len(os.fsencode(target.name)) <= 200
    stem = target.stem if is_short else hashlib.blake2b(os.fsencode(target.name), digest_size=16).hexdigest()
    suffix = target.suffix if is_short else target.suffix[:20]
    temporary = target.with_name(f".{stem}.partial-{os.getpid()}-{_machine()}{suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        _remove(temporary)  # Of an earlier process with this one's id.
    except OSError as fault:
        raise _not_written(path, fault) from fault
    try:
        yield temporary
        try:
            temporary.replace(target)
        except OSError as fault:
            raise _not_written(path, fault) from fault
    except OSError as fault:
        if not _is_of_writing(fault, temporary):
            raise
        raise _not_written(path, fault) from fault
    finally:
        _remove(temporary)


# What a full or failing disk answers to a write, which names no file.
_OF_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


def _is_of_writing(fault: OSError, temporary: Path) -> bool:
    """Whether a fault is of the target and not of something that was read to make it."""
    names = [Path(os.fsdecode(name)) for name in (fault.filename, fault.filename2) if isinstance(name, str | bytes)]
    if not names:
        # Pillow keeps no number: "encoder error -2 when writing image file".
        return fault.errno in _OF_WRITING or (fault.errno is None and "when writing" in str(fault))
    return any(temporary in (name, *name.parents) for name in names)


def _not_written(path: Path, fault: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written: {fault.strerror or fault}; choose another place")


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            place.unlink()


@functools.cache
def _machine() -> str:
    """Where a process id means what it means here: the machine, and the container in it."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # Not Linux.
        namespace = ""
    return hashlib.blake2b(f"{platform.node()} {namespace}".encode(), digest_size=4).hexdigest()


@functools.cache  # Once a folder: thousands of images may be written into one.
def _sweep(folder: Path) -> None:
    """Clear away what dead processes of this machine have left half-written in a folder."""
    stale = re.compile(r"\..*\.partial-([0-9]{1,9})-" + _machine() + r"(\..*)?", re.DOTALL)
    for entry in folder.iterdir():
        found = stale.fullmatch(entry.name)
        if found and not _is_alive(int(found[1])):
            _remove(entry)


def _is_alive(process: int) -> bool:
    if os.name != "posix":
        return True  # Elsewhere the question would end it.
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # Somebody else's, or nothing that can be known.
    return True


def cache_file(room: str, key: str, suffix: str) -> Path | None:
    """Where something that can be made again is kept for the user: below ``$XDG_CACHE_HOME`` or ``~/.cache``; ``None``
    for a user without a home, as in a container that runs under any number.

    Args:
        room: folder below ``drivable/``.
        key: what it belongs to, such as a path; any text.
        suffix: of the file.

    Example:
        >>> cache_file("inspections", "/data/bdd100k", "jsonl").parent.name
        'inspections'
    """
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=12).hexdigest()
    return home / "drivable" / room / f"{digest}.{suffix}"


def file_fingerprint(path: Path) -> str:
    """Sixteen hexadecimal digits that change with any byte of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def check_name(name: str, what: str) -> str:
    """A name from a file of others that is to become the name of a file or folder of ours.

    Args:
        name: such as an image's id, a split or a class.
        what: what it is, for the message.

    Returns:
        The name as it is.

    Raises:
        DataError: where it could lead elsewhere or is no file name: empty, ``.`` or ``..``, with a slash, a backslash
            or a control character, or longer than 255 bytes.

    Example:
        >>> check_name("0a0a0b1a-7c39d841", "image id")
        '0a0a0b1a-7c39d841'
    """
    if (
        name in ("", ".", "..")
        or any(c in "/\\" or ord(c) < 32 or ord(c) == 127 for c in name)
        or len(name.encode(errors="replace")) > 255
        or any("\ud800" <= c < "\udc80" or "\udcff" < c <= "\udfff" for c in name)  # No bytes of a file name.
    ):
        raise PlacelessError(
            f"{what} '{one_line(name, 80)}': expected a file name without slashes and control characters"
        )
    return name


def inside(folder: Path, *parts: str) -> Path:
    """The path ``folder / parts``, if it lies inside ``folder`` after links are followed.

    Whatever is written below a destination under a name that comes from a file goes through here.

    Raises:
        DataError: where it lies outside.

    Example:
        >>> inside(Path("out"), "masks", "a.png")
        PosixPath('out/masks/a.png')
    """
    target = folder.joinpath(*parts)
    root, resolved = folder.resolve(), target.resolve()
    if root == resolved or root not in resolved.parents:
        raise DataError(
            f"{one_line('/'.join(parts), 120)}: lies outside of {folder}; rename it where it comes from, or "
            "remove the symbolic link that leads there"
        )
    return target


def refuse_used(path: Path, hint: str = "choose a new one") -> None:
    """Refuse a place for a new folder where there is a file, or a folder that holds anything.

    Raises:
        OutputError: there, or where it cannot be looked into.
    """
    try:
        used = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as fault:
        raise OutputError(f"{path}: cannot be looked into: {fault.strerror or fault}; {hint}") from fault
    if used:
        raise OutputError(f"{path}: exists and is not an empty folder; {hint}")


def make_folder(path: Path) -> Path:
    """Create a folder for results, or accept an existing one.

    Raises:
        OutputError: where it cannot be created or written into.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable-{os.getpid()}"
        try:
            probe.touch()
        finally:  # Ctrl-C may come between the two.
            probe.unlink(missing_ok=True)
    except OSError as fault:
        raise OutputError(f"{path}: not a writable folder: {fault.strerror or fault}; choose another --out") from fault
    return path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all, addresses in it without their credentials.

    Names of files that are not UTF-8 keep their bytes.

    Raises:
        OutputError: where the place is not writable or the disk is full.
    """
    try:
        content = shown_address(text).encode(errors="surrogateescape")
    except UnicodeEncodeError as fault:
        raise OutputError(f"{path}: cannot be written: {one_line(fault)}") from fault
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def write_table(stem: Path, rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Write a table as ``<stem>.md`` and ``<stem>.csv``; a value that a row lacks is a dash, in CSV empty.

    Args:
        stem: path without a suffix.
        rows: values by column name; the columns stand in the order in which they first occur.
        title: over the Markdown table.

    Raises:
        OutputError: where the place is not writable or the disk is full.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [["-" if row.get(column) is None else str(row[column]) for column in columns] for row in rows]
    lines = ["| " + " | ".join(map(_cell, line)) + " |" for line in [columns, ["---"] * len(columns), *cells]]
    write_text(stem.with_name(f"{stem.name}.md"), "\n".join([*([title, ""] if title else []), *lines]) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=columns)
    writer.writeheader()
    writer.writerows(rows)
    write_text(stem.with_name(f"{stem.name}.csv"), table.getvalue())


def _cell(text: str) -> str:
    """Text as a cell of a Markdown table: on one line, and what would end the cell escaped."""
    return " ".join(text.splitlines()).replace("\\", "\\\\").replace("|", "\\|")


def write_json(path: Path, values: Any) -> None:
    """Write plain values as indented JSON, whole or not at all; a number that is none becomes null.

    Raises:
        OutputError: where the place is not writable or the disk is full.
    """
    write_text(path, json.dumps(_without_nan(values), indent=2, allow_nan=False) + "\n")


def _without_nan(values: Any) -> Any:
    """JSON has no NaN and no infinity; they become null."""
    if isinstance(values, dict):
        return {key: _without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_without_nan(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
