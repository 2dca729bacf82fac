"""How processes that read pictures are started."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path

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
