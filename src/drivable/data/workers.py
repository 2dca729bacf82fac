"""How processes that read pictures are started."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from multiprocessing.pool import Pool
from pathlib import Path

import cv2

from drivable.data.layouts.shards import TarMember
from drivable.data.samples import Sample


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


@contextmanager
def worker_pool(samples: Sequence[Sample], num_workers: int) -> Iterator[Pool]:
    """Processes that read these samples; they end with the block."""
    with worker_context(samples).Pool(num_workers, initializer=start_worker) as pool:
        yield pool
