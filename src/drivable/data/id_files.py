"""Files of picture ids, one a line."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from drivable.errors import DataError, one_line
from drivable.reading import read_text, reading


def read_ids(file: Path) -> list[str]:
    """Read a file of ids, one a line, in UTF-8 with or without a byte-order mark; blank lines do not count.

    Ids are names of files and need not be UTF-8.

    Raises:
        DataError: where the file is missing or not text, has no ids, or has one twice.
    """
    with reading(file, DataError, "not a readable file of ids"):
        text = read_text(file, errors="surrogateescape")
    # A mark stands in the middle too where lists were put together.
    ids = [key for line in re.split(r"[\r\n]", text) if (key := line.strip().lstrip("\ufeff").strip())]
    if "\0" in text:
        raise DataError(f"{file}: not a readable file of ids: not a text in UTF-8; save it as UTF-8")
    if not ids:
        raise DataError(f"{file}: no ids in it; expected one a line")
    if len(set(ids)) < len(ids):
        twice, num = Counter(ids).most_common(1)[0]
        raise DataError(f"{file}: id '{one_line(twice, 80)}' stands there {num} times")
    return ids


def ids_text(ids: list[str]) -> str:
    """The ids as :func:`read_ids` reads them.

    Raises:
        DataError: where an id would not be read as it is.
    """
    for key in ids:
        if not key or key != key.strip() or key[0] == "\ufeff" or re.search(r"[\r\n\0]", key):
            raise DataError(f"picture id '{one_line(key, 80)}': a list of ids has one a line; rename the picture")
    return "".join(f"{key}\n" for key in ids)
