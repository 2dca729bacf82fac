"""Ctrl-C and termination where they must not come in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Keep Ctrl-C until the block is done, then raise it.

    For imports of libraries, and for tracing, in which torch imports its compiler: an interrupt there leaves modules
    half imported, and compiled ones turn it into an ``ImportError``.

    Raises:
        KeyboardInterrupt: after the block, where the user asked for it meanwhile.
    """
    is_main = threading.current_thread() is threading.main_thread()
    # Signals only ever reach the main thread; a process in the background of a script ignores this one.
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Take ``SIGTERM`` for Ctrl-C while the block runs, so that what it began is cleared away.

    By default the process would end at once, and half a file would stay.

    Raises:
        KeyboardInterrupt: where the signal comes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    # Without one, Ctrl-C is ignored; termination never is.
    (handler if callable(handler) else signal.default_int_handler)(number, frame)
