"""How processes that read pictures are started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import TypeVar

import cv2

from drivable.data.formats.shards import TarMember
from drivable.data.samples import Sample
from drivable.errors import DrivableError

Result = TypeVar("Result")
_PORTIONS_AHEAD = 2


def worker_context(samples: Sequence[Sample]) -> BaseContext:
    """The system's own way of starting processes for local files, a fresh start for remote ones.

    Connections of fsspec do not survive a fork.
    """
    for sample in samples[:1]:
        for file in (sample.image.file, sample.label.file):
            place = file.tar if isinstance(file, TarMember) else file
            if not isinstance(place, Path):
                return multiprocessing.get_context("spawn")
    return multiprocessing.get_context()


def leave_signals_to_the_parent() -> None:
    """In a worker: the terminal sends Ctrl-C and hang-up to it too, and only the parent knows what to do.

    Termination ends it, as the parent expects; a fork has inherited what the parent makes of that.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def start_worker() -> None:
    """What a process that reads images does first: signals are its parent's, and it is one of many.

    OpenCV's own threads would only get in the way of the other processes'.
    """
    leave_signals_to_the_parent()
    cv2.setNumThreads(0)


def _start_pooled_worker() -> None:
    start_worker()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A parent that is killed cannot end its workers, and these would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def worker_pool(samples: Sequence[Sample], num_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that read these samples; they end with the block, at once where it fails."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(num_workers, worker_context(samples), _start_pooled_worker)
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def in_workers(
    function: Callable[[Sample], Result], samples: Sequence[Sample], num_workers: int, chunk: int
) -> Generator[Result, None, None]:
    """What a function says of each sample, in their order, worked out by processes; to be closed when no longer wanted.

    No more than a few portions for each process are under way, so results that are large do not pile up.

    Args:
        function: can be pickled.
        samples: its arguments.
        num_workers: processes; with 1, or for a single portion, the function runs here.
        chunk: samples in a portion.

    Raises:
        DrivableError: where a worker was ended from outside, as the system does when memory runs out.

    Example:
        >>> list(in_workers(examine, samples, num_workers=4, chunk=8))
    """
    if num_workers == 1 or len(samples) <= chunk:
        yield from map(function, samples)
        return
    pending: deque[Future[list[Result]]] = deque()
    try:
        with worker_pool(samples, num_workers) as pool:
            for start in range(0, len(samples), chunk):
                pending.append(pool.submit(_each, function, samples[start : start + chunk]))
                if len(pending) > _PORTIONS_AHEAD * num_workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
    except BrokenExecutor as fault:
        raise DrivableError(
            f"one of {num_workers} worker processes was ended from outside, perhaps because memory ran out; try fewer "
            "workers or smaller pictures"
        ) from fault


def _each(function: Callable[[Sample], Result], samples: Sequence[Sample]) -> list[Result]:
    return [function(sample) for sample in samples]
