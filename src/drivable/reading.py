"""Read files that others made: only regular files, within limits, with one error for whatever a parser throws.

Limits are generous for real data and small enough that a short file cannot ask for hours or gigabytes. Each may be
raised by an environment variable, which worker processes inherit: :data:`LIMITS`.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, runtime_checkable

import yaml

from drivable.errors import ConfigError, DataError, DrivableError, PlacelessError, one_line
from drivable.signals import stop_asked

# Environment variable to (default, what it bounds).
LIMITS: Mapping[str, tuple[int, str]] = {
    "DRIVABLE_MAX_PIXELS": (120_000_000, "pixels of one image, mask, frame of a film or labelled size"),
    "DRIVABLE_MAX_FILE_BYTES": (2**32, "bytes of an image, a table or a list, which are read whole"),
    "DRIVABLE_MAX_JPEG_SCANS": (100, "scans of a JPEG, each of which goes over all of its pixels"),
    "DRIVABLE_MAX_NETWORK_PIXELS": (2**23, "pixels that a network works at"),
    "DRIVABLE_MAX_NETWORK_SIDE": (2**14, "pixels of one side that a network works at"),
    "DRIVABLE_MAX_CORNERS": (20_000, "corners of one polygon"),
    "DRIVABLE_MAX_CROSSINGS": (10_000_000, "times that the edges of one polygon cross a row of pixels"),
    "DRIVABLE_MAX_DRAWN": (10_000_000_000, "pixels of one image times its shapes"),
    "DRIVABLE_MAX_DEPTH": (64, "levels of nesting in JSON, YAML and XML"),
    "DRIVABLE_MAX_YAML_NODES": (100_000, "values in a YAML file, each alias counted as what it stands for"),
    "DRIVABLE_MAX_YAML_BYTES": (2**20, "bytes of a YAML file"),
    "DRIVABLE_MAX_DOWNLOAD_BYTES": (2**34, "bytes of a download whose size is not known"),
    "DRIVABLE_MAX_UNPACKED_RATIO": (100, "times its own size that an archive may unpack to"),
}


_DECIMAL = re.compile(r"[ \t\r\n]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t\r\n]*")


class LimitError(PlacelessError):
    """More than a limit allows; :func:`reading` says where."""


class SettingError(ConfigError):
    """An environment variable that sets a limit is wrong: no fault of the file that is read."""


@runtime_checkable
class Readable(Protocol):
    """Bytes under a name: a ``Path``, a ``UPath`` of a remote place, or a member of a shard."""

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Open for reading."""
        ...


def limit(name: str) -> int:
    """One of :data:`LIMITS`, or what the environment variable of that name says.

    Raises:
        ConfigError: where the variable is not a positive whole number.

    Example:
        >>> limit("DRIVABLE_MAX_DEPTH")
        64
    """
    text = os.environ.get(name)
    if text is None:
        return LIMITS[name][0]
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
        raise SettingError(f"{name}: expected a positive whole number, got '{one_line(text)}'")
    return int(text)


def check_limit(name: str, got: int, what: str) -> None:
    """Refuse more than a limit allows.

    Args:
        name: one of :data:`LIMITS`.
        got: how many there are.
        what: of what, such as ``pixels``.

    Raises:
        DataError: where ``got`` is above the limit; the message names the variable that raises it. A reader of another
            kind of file makes its own error of it with :func:`reading`.
    """
    most = limit(name)
    if got > most:
        raise LimitError(f"{one_line(got, 24)} {what}, more than the limit of {most}; {name} raises it")


def check_size(height: object, width: object, most: str = "DRIVABLE_MAX_PIXELS") -> tuple[int, int]:
    """A size that a file states, as (height, width) in pixels.

    Args:
        height: whatever stands there.
        width: likewise.
        most: the one of :data:`LIMITS` that its pixels are held against.

    Raises:
        DataError: where it is no whole number of pixels, not positive, or above the limit.

    Example:
        >>> check_size(720, 1280.0)
        (720, 1280)
    """
    numbers = []
    for value in (height, width):
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if not is_whole or isinstance(value, bool) or not 0 < value < 2**31:  # type: ignore[operator]
            raise LimitError(
                f"a size of {one_line(height, 24)} x {one_line(width, 24)}; expected pixels, height x width"
            )
        numbers.append(int(value))  # type: ignore[call-overload]
    check_limit(most, numbers[0] * numbers[1], f"pixels ({numbers[0]}x{numbers[1]})")
    return numbers[0], numbers[1]


def check_network_size(height: object, width: object) -> tuple[int, int]:
    """Like :func:`check_size`, of what a network works at: that takes far more memory for each pixel than an image.

    Raises:
        DataError: where it is no size, or above ``DRIVABLE_MAX_NETWORK_PIXELS`` or ``DRIVABLE_MAX_NETWORK_SIDE``.

    Example:
        >>> check_network_size(2160, 3840)
        (2160, 3840)
    """
    size = check_size(height, width, "DRIVABLE_MAX_NETWORK_PIXELS")
    check_limit("DRIVABLE_MAX_NETWORK_SIDE", max(size), f"pixels on one side ({size[0]}x{size[1]})")
    return size


def decimal(text: str) -> float:
    """A number that a text file writes in ASCII, as a float.

    Python alone would also take the digits of other scripts, ``1_000``, ``inf`` and ``nan``.

    Raises:
        ValueError: where it is none.

    Example:
        >>> decimal("-1.5")
        -1.5
    """
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"expected a number, got '{one_line(text, 24)}'")
    return float(text)


@contextmanager
def reading(
    where: object, error: type[DrivableError] = DataError, expected: str = "", hint: str = ""
) -> Iterator[None]:
    """The boundary of a reader: whatever a parser throws inside leaves as the reader's own error, in one line.

    Faults of ``error``'s own kind pass as they are, since they say where; limits and names do not, and are told again
    with the place, as are our faults of other kinds.

    Args:
        where: the file, for the message.
        error: the reader's error.
        expected: what the file should have been, such as ``not readable as YAML``.
        hint: what to do.

    Raises:
        error: where anything fails inside, :class:`MemoryError` and :class:`RecursionError` among it.
        KeyboardInterrupt: where the user has stopped the command, whatever a parser made of that.

    Example:
        >>> with reading("labels.json", DataError, "not readable as JSON"):
        ...     json.loads("[1,")
        Traceback (most recent call last):
        drivable.errors.DataError: labels.json: not readable as JSON: ...
    """
    try:
        yield
    except PlacelessError as fault:
        raise error(f"{where}: {fault}") from fault
    except (error, SettingError):
        raise
    except Exception as fault:
        # Whoever leaves out broken files would go on after it.
        if stop_asked():
            raise KeyboardInterrupt from fault
        said = "nested too deeply" if isinstance(fault, RecursionError) else _said(fault)
        raise error(
            ": ".join(part for part in (str(where), expected, said) if part) + (hint and f"; {hint}")
        ) from fault


def _said(fault: Exception) -> str:
    if isinstance(fault, OSError):
        return fault.strerror or str(fault)
    if isinstance(strerror := getattr(fault, "strerror", None), str):  # Of FFmpeg's errors.
        return one_line(strerror)
    if isinstance(fault, KeyError):
        return f"no key {one_line(fault)}"
    return one_line(str(fault)) or type(fault).__name__


def require_regular(file: Path) -> None:
    """Refuse what is no regular file: a pipe would block, a device never end.

    Raises:
        FileNotFoundError: where there is none.
        OSError: where it is something else, or a link that leads in circles.
    """
    try:
        mode = file.stat().st_mode
    except RuntimeError as fault:  # Of pathlib, for a loop of links.
        raise OSError(str(fault)) from fault
    if not stat.S_ISREG(mode):
        raise OSError("not a regular file")


def require_stored(file: Path) -> None:
    """Refuse a zip archive that stands for more than its own bytes; a file that is no archive passes.

    Raises:
        OSError: where it cannot be read.
        ValueError: where a member is compressed, or members add up to more than the file.
        zipfile.BadZipFile: where it is damaged.
    """
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its archive is compressed; torch writes none such")
    if sum(member.file_size for member in members) > file.stat().st_size:
        raise ValueError("its archive stands for more bytes than it has")


def open_regular(file: Readable) -> BinaryIO:
    """Open a file for reading bytes, if it is a regular one; remote files and members of shards are.

    Raises:
        OSError: where it is missing, no regular file or not readable.
    """
    if isinstance(file, Path):
        require_regular(file)
    return file.open("rb")


def read_bytes(file: Readable) -> bytes:
    """All bytes of a file.

    Raises:
        OSError: see :func:`open_regular`.
        DataError: where there are more than ``DRIVABLE_MAX_FILE_BYTES``.
    """
    with open_regular(file) as stream:
        if isinstance(file, Path):  # Before a file full of holes is read.
            check_limit("DRIVABLE_MAX_FILE_BYTES", os.fstat(stream.fileno()).st_size, "bytes")
        content = stream.read()
    check_limit("DRIVABLE_MAX_FILE_BYTES", len(content), "bytes")
    return content


def read_text(file: Path, errors: str = "strict") -> str:
    """A text file in UTF-8, with or without a byte-order mark.

    Args:
        file: to read.
        errors: what becomes of bytes that are not UTF-8; ``surrogateescape`` keeps those of file names.

    Raises:
        OSError: see :func:`open_regular`.
        UnicodeDecodeError: where it is not UTF-8.
        DataError: where it is longer than ``DRIVABLE_MAX_FILE_BYTES``.
    """
    return read_bytes(file).decode("utf-8-sig", errors)


def is_named(file: Path) -> bool:
    """Whether a folder has something of that name, be it no regular file or a link that leads nowhere.

    Who reads an optional file asks this: what is there but not readable is told, not passed over.
    """
    return file.exists() or (isinstance(file, Path) and file.is_symlink())


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose nesting is within ``DRIVABLE_MAX_DEPTH``.

    Raises:
        DataError: where it is nested more deeply.
        ValueError: where it is not JSON, or a mapping has a key twice.

    Example:
        >>> parse_json('{"a": [1]}')
        {'a': [1]}
    """
    try:
        values = json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text, object_pairs_hook=_mapping)
    except RecursionError as fault:
        raise _too_deep("JSON") from fault
    level = [values]
    for _ in range(limit("DRIVABLE_MAX_DEPTH") + 1):
        children = (
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, _NESTED)
        )
        level = [child for values_of_one in children for child in values_of_one if isinstance(child, _NESTED)]
        if not level:
            return values
    raise _too_deep("JSON")


def parse_yaml(text: str, as_text: bool = False) -> Any:
    """Parse YAML of plain values, within the limits on bytes, depth and values.

    Args:
        text: the YAML.
        as_text: leave every value the text that was written: ``no``, ``on``, ``null`` and ``007`` may be names.

    Raises:
        DataError: where a limit is passed, or an alias stands for something that holds it.
        yaml.YAMLError: where it is not YAML.
        ValueError: where a date or a number in it is none.

    Example:
        >>> parse_yaml("size: [360, 640]")
        {'size': [360, 640]}
        >>> parse_yaml("names: [yes, 0]", as_text=True)
        {'names': ['yes', '0']}
    """
    check_limit("DRIVABLE_MAX_YAML_BYTES", len(text), "bytes of YAML")
    try:
        values = yaml.load(text, _TextLoader if as_text else _Loader)
    except RecursionError as fault:
        raise _too_deep("YAML") from fault
    check_limit("DRIVABLE_MAX_YAML_NODES", _num_values(values), "values, each alias counted as what it stands for")
    return values


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        # JSON itself would take the last one and say nothing.
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"'{one_line(twice, 40)}' stands there twice")
    return values


_NESTED = (dict, list, set, tuple)


_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Plain values only; what merge keys (``<<``) add up to is checked before they are followed."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if (key.tag, key.value) in seen:
                    # YAML itself would take the last one and say nothing.
                    said = f"'{one_line(key.value, 40)}' stands there twice"
                    raise yaml.constructor.ConstructorError(None, None, said, key.start_mark)
                seen.add((key.tag, key.value))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        num = 0
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(merged, yaml.MappingNode):
                    self.flatten_mapping(merged)
                    num += len(merged.value)
        check_limit("DRIVABLE_MAX_YAML_NODES", num, "values added by merge keys")
        super().flatten_mapping(node)


# YAML 1.1 reads 3e-4 as text, since it has no dot; nobody means text by it. What is quoted is text and stays it.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


class _TextLoader(_Loader):
    """Values without an explicit tag are text."""

    yaml_implicit_resolvers = {"<": _Loader.yaml_implicit_resolvers["<"]}  # Merge keys.  # noqa: RUF012


def _num_values(values: Any) -> int:
    """How many values parsed YAML stands for, a shared one counted each time it is met; refuses what is too deep."""
    most = limit("DRIVABLE_MAX_DEPTH")
    known: dict[int, tuple[int, int]] = {}  # id of a container to (number of values, levels below).

    def walk(value: Any, above: frozenset[int]) -> tuple[int, int]:
        if not isinstance(value, _NESTED):
            return 1, 0
        if id(value) not in known:
            if id(value) in above or len(above) > most:
                raise _too_deep("YAML")
            below = [walk(v, above | {id(value)}) for v in (value.values() if isinstance(value, dict) else value)]
            known[id(value)] = 1 + sum(num for num, _ in below), 1 + max((levels for _, levels in below), default=0)
        if len(above) + known[id(value)][1] > most + 1:
            raise _too_deep("YAML")
        return known[id(value)]

    return walk(values, frozenset())[0]


def _too_deep(what: str) -> LimitError:
    return LimitError(
        f"{what} nested more deeply than the limit of {limit('DRIVABLE_MAX_DEPTH')}; DRIVABLE_MAX_DEPTH raises it"
    )
