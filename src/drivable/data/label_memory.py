"""Label maps kept as run lengths, so that only the first epoch decodes masks and draws polygons."""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
import zlib
from contextlib import suppress
from io import FileIO
from pathlib import Path

import numpy as np

from drivable.data.pictures import Pixels

_HEADER = struct.Struct("<4I")
_SLOT_BYTES = 2**14


class LabelMemory:
    """Label maps by index, shared by all processes that read for one training.

    A drivable-area label map of 720x1280 takes one or two kilobytes and half a millisecond; its PNG takes four times as
    long to decode, polygons longer. They lie in slots of a temporary file with holes, which the system keeps in
    memory as long as there is some. A label map too rich for a slot is not kept, nor is any where the disk is full.

    Args:
        num_labels: indices are below this.

    Example:
        >>> memory = LabelMemory(100)
        >>> memory.keep(7, label_map)
        >>> memory.get(7).shape
        (720, 1280)
    """

    def __init__(self, num_labels: int) -> None:
        self.num_labels = num_labels
        descriptor, name = tempfile.mkstemp(prefix="drivable-labels-")
        os.close(descriptor)
        self._file = Path(name)
        self._handle: FileIO | None = None
        self._handle_of = 0
        self._remove = weakref.finalize(self, _remove, self._file, os.getpid())

    def __getstate__(self) -> dict[str, object]:
        return {"num_labels": self.num_labels, "_file": self._file, "_handle": None, "_handle_of": 0}

    def get(self, index: int) -> Pixels | None:
        """The label map (H, W), ``None`` where it is not kept."""
        handle = self._opened()
        handle.seek(index * _SLOT_BYTES)
        slot = handle.read(_SLOT_BYTES)
        if len(slot) < _HEADER.size:
            return None
        height, width, num_runs, num_bytes = _HEADER.unpack_from(slot)
        try:
            content = zlib.decompress(slot[_HEADER.size : _HEADER.size + num_bytes])
        except zlib.error:
            return None  # A hole, or another process is writing it just now.
        lengths = np.frombuffer(content, np.uint32, num_runs)
        ids = np.frombuffer(content, np.uint8, offset=4 * num_runs)
        return np.repeat(ids, lengths).reshape(height, width)

    def keep(self, index: int, label_map: Pixels) -> None:
        """Keep a label map if it fits."""
        flat = label_map.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        lengths = np.diff(starts, append=flat.size).astype(np.uint32)
        packed = zlib.compress(lengths.tobytes() + flat[starts].tobytes(), 1)
        slot = _HEADER.pack(*label_map.shape, len(starts), len(packed)) + packed
        if len(slot) <= _SLOT_BYTES:
            handle = self._opened()
            with suppress(OSError):  # A full disk costs speed only.
                handle.seek(index * _SLOT_BYTES)
                handle.write(slot)

    def _opened(self) -> FileIO:
        # A handle that came by a fork would share its position with the parent's.
        if self._handle is None or self._handle_of != os.getpid():
            self._handle, self._handle_of = self._file.open("r+b", buffering=0), os.getpid()
        return self._handle


def _remove(file: Path, process: int) -> None:
    # A worker that came by a fork runs this too.
    if os.getpid() == process:
        file.unlink(missing_ok=True)
