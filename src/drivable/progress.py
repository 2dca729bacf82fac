"""Progress on standard error: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
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

# Off a terminal silence looks like a hang, and a log should stay short.
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show how far the block is: on a terminal a bar, elsewhere a line every ten seconds, none before the first ten.

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
    what = printable(shown_address(what))
    if not console.is_terminal:
        yield ProgressLines(what, total).advance
        return
    columns = (
        TextColumn("{task.description}", markup=False),  # Names of files may hold brackets.
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


class ProgressLines:
    """Say how far the work is, in a line of its own, where the last one is long enough ago.

    Args:
        what: the work, in words.
        total: number of steps, ``None`` where it is not known.
        num_before: steps that were done before.

    Example:
        >>> lines = ProgressLines("segmenting", 343)
        >>> lines.advance()
    """

    def __init__(self, what: str, total: int | None, num_before: int = 0) -> None:
        self._what, self._total, self._num_before, self._num_done = what, total, num_before, num_before
        self._start = self._last = time.monotonic()

    def advance(self) -> None:
        """Count a step."""
        self.reach(self._num_done + 1)

    def reach(self, num_done: int) -> None:
        """So many steps are done."""
        self._num_done = num_done
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            line = progress_line(self._what, num_done, self._total, now - self._start, self._num_before)
            # Whoever read has gone; the work goes on.
            with contextlib.suppress(OSError):
                print(line, file=sys.stderr, flush=True)


def progress_line(what: str, num_done: int, total: int | None, seconds: float, num_before: int = 0) -> str:
    """How far some work is, how fast it goes and how long it will take.

    Args:
        what: the work, in words.
        num_done: steps that are done.
        total: steps that there are, ``None`` where that is not known.
        seconds: that the steps took, above 0.
        num_before: those of ``num_done`` that took none of it.

    Example:
        >>> progress_line("segmenting", 120, 343, 8.45)
        'segmenting: 120 of 343 (35 %), 14.2 a second, 16 s left'
    """
    rate = (num_done - num_before) / seconds
    # What a film's header says is an estimate.
    if not total or num_done > total:
        return f"{what}: {num_done}, {rate_text(rate)} a second"
    left = f", {duration((total - num_done) / rate)} left" if rate > 0 else ""
    return f"{what}: {num_done} of {total} ({100 * num_done // total} %), {rate_text(rate)} a second{left}"


def rate_text(rate: float) -> str:
    """A rate with three digits, as 0.0712, 14.2 or 1,234.

    Example:
        >>> rate_text(14.2301)
        '14.2'
    """
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    Example:
        >>> duration(16.2), duration(200), duration(7500)
        ('16 s', '3 min 20 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
