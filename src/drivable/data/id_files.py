"""Files of picture ids, one a line."""

from __future__ import annotations

from pathlib import Path

from drivable.errors import DataError


def read_ids(file: Path) -> list[str]:
    """Read a file of ids, one a line; blank lines do not count.

    Raises:
        DataError: where the file is missing or not text, has no ids, or has one twice.
    """
    try:
        ids = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise DataError(f"{file}: not a readable file of ids: {fault}") from fault
    if not ids:
        raise DataError(f"{file}: no ids in it; expected one a line")
    if len(set(ids)) < len(ids):
        twice = next(key for key in ids if ids.count(key) > 1)
        raise DataError(f"{file}: id '{twice}' stands there {ids.count(twice)} times")
    return ids


def ids_text(ids: list[str]) -> str:
    """The ids as :func:`read_ids` reads them."""
    return "".join(f"{key}\n" for key in ids)
