"""Ctrl-C and termination where they must not come in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

# Hang-up, which a closed terminal sends, is not known everywhere.
_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Keep Ctrl-C, and what is taken for it, until the block is done, then raise it.

    For imports of libraries, and for tracing, in which torch imports its compiler: an interrupt there leaves modules
    half imported, and compiled ones turn it into an ``ImportError``.

    Raises:
        KeyboardInterrupt: after the block, where the user asked for it meanwhile.
    """
    received: list[int] = []
    with ExitStack() as restored:
        # Signals only ever reach the main thread; a process in the background of a script ignores Ctrl-C.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *_ENDING):
                before = signal.getsignal(number)
                if callable(before):
                    restored.callback(signal.signal, number, before)
                    signal.signal(number, lambda number, _: received.append(number))
        yield
    if received:
        raise KeyboardInterrupt


@dataclass
class Stop:
    """Whether the user has asked a command to stop."""

    asked: bool = False


@contextmanager
def terminated_as_interrupted() -> Iterator[Stop]:
    """Take ``SIGTERM`` and ``SIGHUP`` for Ctrl-C while the block runs, so that what it began is cleared away.

    By default the process would end at once, and half a file would stay. A ``SIGHUP`` that is ignored, as ``nohup``
    has it, stays ignored.

    Yields:
        Whether a signal came: Python and libraries make other exceptions of an interrupt in the middle of an import.

    Raises:
        KeyboardInterrupt: where a signal comes.
    """
    stop = Stop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        raise KeyboardInterrupt

    def end(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        # Without one, Ctrl-C is ignored; termination never is.
        (handler if callable(handler) else interrupt)(number, frame)

    with ExitStack() as restored:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *_ENDING):
                before = signal.getsignal(number)
                if number == signal.SIGTERM or before is not signal.SIG_IGN:
                    restored.callback(signal.signal, number, before)
                    signal.signal(number, interrupt if number == signal.SIGINT else end)
        yield stop
