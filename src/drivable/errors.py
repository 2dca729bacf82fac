"""What can go wrong, in four kinds that a caller may want to tell apart."""

from __future__ import annotations

import difflib
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
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    question = f"did you mean '{close[0]}'? " if close else ""
    return f"{question}known: {', '.join(names)}"
