"""Progress bars on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from drivable.errors import printable, shown_address


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show a bar while the block runs, on a terminal; elsewhere nothing.

    Args:
        what: the work, in words.
        total: number of steps, ``None`` where it is not known.

    Yields:
        A function to call after each step.

    Example:
        >>> with progress("reading", 10) as advance:
        ...     advance()
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),  # Names of files may hold brackets.
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(printable(shown_address(what)), total=total)
        yield lambda: bar.advance(task)
