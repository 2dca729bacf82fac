"""What can go wrong, in four kinds that a caller may want to tell apart."""

from __future__ import annotations

import difflib
import re
import reprlib
import unicodedata
from collections.abc import Iterable


class DrivableError(Exception):
    """Base of every fault that this package reports: one line saying what, where, got, expected, what to do.

    Args:
        message: shown without credentials of addresses and without control characters of names.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(shown_address(message)))


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


class PlacelessError(DataError):
    """A fault that says what, not where: the boundary of a reader adds the place."""


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


def printable(text: str) -> str:
    """Text without what steers a terminal: control characters but the end of a line become question marks.

    Example:
        >>> printable("a\x1b[31mred.png")
        'a?[31mred.png'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" else "?" for c in text)


# A password may hold a slash that should have been written as %2F; what stands for a port then is none.
_USER = re.compile(r"(?<=://)(?:[^/?#\s]*@|[^/?#\s:]*:[0-9]*[^0-9/?#\s](?:(?!://)\S)*@)")
_QUERY = re.compile(r"""(://(?:(?!://)[^\s?#'"])*[?#])([^\s'"]*)""")


def shown_address(text: str) -> str:
    """Text as it may be shown and kept: in addresses, users, passwords and the values behind ? and # become stars.

    Whatever a message, a log, a run folder or another file that is passed on says of an address goes through here.

    Args:
        text: an address, or any text with addresses in it.

    Example:
        >>> shown_address("https://anna:secret@host/a.zip?X-Amz-Signature=0f3c&dl")
        'https://***@host/a.zip?X-Amz-Signature=***&***'
    """
    if "://" not in text:
        return text
    return _QUERY.sub(_hide_values, _USER.sub("***@", text))


def _hide_values(found: re.Match[str]) -> str:
    values = found[2].rstrip(":;,.)")  # Of the phrase, not of the address.
    hidden = re.sub("[^&#]+", lambda pair: f"{pair[0].partition('=')[0]}=***" if "=" in pair[0] else "***", values)
    return found[1] + hidden + found[2][len(values) :]


def plot_text(value: object) -> str:
    """A text of a user or a file as matplotlib is to show it: as it is, not as a formula, and in the legend too.

    Example:
        >>> print(plot_text("$5"))
        \\$5
    """
    text = one_line(value, 80).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # Such labels are left out of legends.
