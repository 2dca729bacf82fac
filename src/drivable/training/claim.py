"""A run folder belongs to one training at a time."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drivable.errors import OutputError
from drivable.files import make_folder, refuse_used
from drivable.training.run_folder import RECIPE

LOCK, EVENTS = ".lock", "tensorboard"

_log = logging.getLogger(__name__)


def refuse_begun(folder: Path) -> None:
    """Refuse a place for a new run where there is a file, or a folder that holds anything but what a training left
    that was killed before it had a state to resume from.

    Raises:
        OutputError: there.
    """
    if not ((folder / LOCK).is_file() and _holds_nothing(folder)):
        refuse_used(folder, f"choose another --out, or continue a run with --resume {folder}")


@contextmanager
def claimed(folder: Path, resume: bool) -> Iterator[None]:
    """Hold a run folder for as long as the block runs; a process that ends in any way lets it go.

    A folder that was made for the block and is empty afterwards is taken away again.

    Args:
        folder: the run folder, made where there is none.
        resume: whether it holds a run to go on with; it must be new or empty otherwise.

    Raises:
        OutputError: where another training holds it, where it is used, or where it cannot be written into.

    Example:
        >>> with claimed(Path("runs/lite"), resume=False):
        ...     write_recipe(Path("runs/lite"), recipe)
    """
    is_ours = not folder.exists()
    make_folder(folder)
    was_killed = (folder / LOCK).is_file()
    descriptor = _lock(folder)
    try:
        if not resume:
            if was_killed and _holds_nothing(folder):
                clear(folder)
            elif any(entry.name != LOCK for entry in folder.iterdir()):
                refuse_used(folder, f"choose another --out, or continue a run with --resume {folder}")
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        if is_ours:
            with suppress(OSError):  # Not empty.
                folder.rmdir()


def clear(folder: Path) -> None:
    """Empty a run folder that is held."""
    for entry in folder.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _holds_nothing(folder: Path) -> bool:
    """Whether a folder in which a process was killed, which is why the lock is still there, has nothing to keep."""
    others = [entry.name for entry in folder.iterdir() if entry.name not in (LOCK, RECIPE, EVENTS)]
    return all(name.startswith(".") for name in others)  # Files half written.


def _lock(folder: Path) -> int:
    """Lock the folder's file and return its descriptor."""
    path = folder / LOCK
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as fault:
            raise OutputError(f"{path}: cannot be written: {fault.strerror}; choose another --out") from fault
        try:
            import fcntl

            # Of the process: a forked data worker that outlives it for a while does not hold it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ModuleNotFoundError:  # Not a POSIX system.
            return descriptor
        except OSError as fault:
            if fault.errno in (errno.EACCES, errno.EAGAIN):
                os.close(descriptor)
                raise OutputError(
                    f"{folder}: another training runs in this folder; wait for it, or choose another --out"
                ) from fault
            _log.warning("%s: this file system has no locks; see that only one training runs in the folder", folder)
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # Its holder has just ended and taken the file away.
