"""What can go wrong, in four kinds that a caller may want to tell apart."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


class DrivableError(Exception):
    """Base of every fault that this package reports: one line saying what, where, got, expected, what to do."""


class ConfigError(DrivableError):
    """A recipe, a command line or an option is wrong."""


class DataError(DrivableError):
    """A picture, a label or a data folder is missing, unreadable or contradictory.

    Args:
        message: one line.
        kind: of finding, where an inspection of the data tells this fault from others.
    """

    def __init__(self, message: str, kind: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind


class CheckpointError(DrivableError):
    """A checkpoint or a file of weights is missing, corrupt, of another version or does not fit the model."""


class OutputError(DrivableError):
    """A result cannot be written."""


def nearest_match(name: str, known: Iterable[str]) -> str:
    """Phrase the hint that follows an unknown name: the closest known name, then all of them.

    Args:
        name: what the user wrote.
        known: the names that exist.

    Returns:
        ``"did you mean 'unet'? known: fcn, pspnet, unet"``, without the question where nothing is close.

    Example:
        >>> nearest_match("unett", ["fcn", "unet"])
        "did you mean 'unet'? known: fcn, unet"
    """
    names = sorted(known)
    name = one_line(name)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    question = f"did you mean '{close[0]}'? " if close else ""
    return f"{question}known: {', '.join(names)}"


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 8
_SHORT.maxstring = _SHORT.maxother = 80


def one_line(value: object, most: int = 200) -> str:
    """Show a value from a file in a message: shortened, on one line, without control characters.

    Args:
        value: any; text and exceptions are shown as they are, all else by a short ``repr``.
        most: characters.

    Example:
        >>> one_line("two\\nlines"), one_line(list(range(1000)))
        ('two lines', '[0, 1, 2, 3, 4, 5, 6, 7, ...]')
    """
    try:
        text = str(value) if isinstance(value, str | Exception) else _SHORT.repr(value)
    except ValueError:  # A whole number of more digits than Python prints.
        text = f"<{type(value).__name__}>"
    text = "".join(c if c.isprintable() else " " for c in text[: 4 * most])
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."
