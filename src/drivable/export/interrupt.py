"""Ctrl-C while torch traces a graph."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Keep Ctrl-C until the block is done, then raise it.

    Torch imports its compiler while it traces. An interrupt there leaves modules half imported, and what the user sees
    is a page of errors about those.

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
