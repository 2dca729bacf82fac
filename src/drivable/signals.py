"""Ctrl-C and termination where they must not come in the middle."""

from __future__ import annotations

import signal
import sys
import threading
from _thread import interrupt_main
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

    def keep(number: int, frame: FrameType | None) -> None:
        received.append(number)
        note_stop()  # What the block raises meanwhile goes before the interrupt.

    with ExitStack() as restored:
        # Signals only ever reach the main thread; a process in the background of a script ignores Ctrl-C.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *_ENDING):
                before = signal.getsignal(number)
                if callable(before):
                    restored.callback(signal.signal, number, before)
                    signal.signal(number, keep)
        yield
    if received:
        raise KeyboardInterrupt


@dataclass
class Stop:
    """Whether the user has asked a command to stop."""

    asked: bool = False


# Long enough for what dropped an interrupt to be done.
_AGAIN_AFTER_S = 0.05
# Of the blocks of terminated_as_interrupted that run now.
_stops: list[Stop] = []


def stop_asked() -> bool:
    """Whether the user has asked the command that runs to stop.

    For whoever goes on after a fault of a library: it may be one that the library made of an interrupt. Outside
    :func:`terminated_as_interrupted` nobody knows, and it is ``False``.

    Example:
        >>> stop_asked()
        False
    """
    return any(stop.asked for stop in _stops)


def note_stop() -> None:
    """Let :func:`stop_asked` know of a signal that a handler of one's own has taken.

    Example:
        >>> signal.signal(signal.SIGINT, lambda *_: note_stop())
    """
    for stop in _stops:
        stop.asked = True


@contextmanager
def terminated_as_interrupted() -> Iterator[Stop]:
    """Take ``SIGTERM`` and ``SIGHUP`` for Ctrl-C while the block runs, so that what it began is cleared away.

    By default the process would end at once, and half a file would stay. A ``SIGHUP`` that is ignored, as ``nohup``
    has it, stays ignored. Python drops an interrupt that comes in a destructor, or in the callback of its own that each
    import has, with a traceback; it is raised again.

    Yields:
        Whether a signal came: Python and libraries make other exceptions of an interrupt in the middle of an import.

    Raises:
        KeyboardInterrupt: where a signal comes.
    """
    stop = Stop()

    def interrupt(number: int, frame: FrameType | None) -> None:
        note_stop()
        raise KeyboardInterrupt

    def end(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        # Without one, Ctrl-C is ignored; termination never is.
        (handler if callable(handler) else interrupt)(number, frame)

    def again(dropped: sys.UnraisableHookArgs) -> None:
        if not stop.asked or not issubclass(dropped.exc_type, KeyboardInterrupt):
            print_dropped(dropped)
            return
        # By a thread: raised from here it would be dropped too. Termination, since Ctrl-C may be ignored.
        timer = threading.Timer(_AGAIN_AFTER_S, interrupt_main, [signal.SIGTERM])
        timer.daemon = True
        restored.callback(timer.cancel)
        timer.start()

    print_dropped = sys.unraisablehook
    with ExitStack() as restored:
        _stops.append(stop)
        restored.callback(_stops.pop)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *_ENDING):
                before = signal.getsignal(number)
                if number == signal.SIGTERM or before is not signal.SIG_IGN:
                    restored.callback(signal.signal, number, before)
                    signal.signal(number, interrupt if number == signal.SIGINT else end)
            restored.callback(setattr, sys, "unraisablehook", print_dropped)
            sys.unraisablehook = again
        yield stop
