"""Label maps kept as run lengths, so that only the first epoch decodes masks and draws polygons."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.context import get_spawning_popen
from typing import Any

import numpy as np

from drivable.imaging.images import Pixels

_HEADER = struct.Struct("<4I")
_SLOT_BYTES = 2**14


class LabelMemory:
    """Label maps by index, shared by all processes that read for one training.

    A drivable-area label map of 720x1280 takes one or two kilobytes and half a millisecond; its PNG takes four times as
    long to decode, polygons longer. They lie in slots of a temporary file with holes, which the system keeps in
    memory as long as there is some. The file has no name: worker processes get it as an open file, and it is gone with
    the last of them, however that ends. A label map too rich for a slot is not kept, nor is any where the disk is full
    or there is no temporary folder.

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
        self._file: Any = None
        with suppress(OSError):
            # Elsewhere processes cannot read at a place of their own.
            if os.name == "posix":
                self._file = tempfile.TemporaryFile(prefix="drivable-labels-", buffering=0)  # noqa: SIM115

    def __getstate__(self) -> dict[str, Any]:
        # A forked worker has the open file; one that starts afresh is handed it. A copy of any other kind does without.
        is_handed_on = self._file is not None and get_spawning_popen() is not None
        return {"num_labels": self.num_labels, "_file": reduction.DupFd(self._file.fileno()) if is_handed_on else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.num_labels = state["num_labels"]
        handed = state["_file"]
        self._file = None if handed is None else os.fdopen(handed.detach(), "r+b", buffering=0)

    def get(self, index: int) -> Pixels | None:
        """The label map (H, W), ``None`` where it is not kept."""
        if self._file is None:
            return None
        # Without a position, which all processes would share.
        slot = os.pread(self._file.fileno(), _SLOT_BYTES, index * _SLOT_BYTES)
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
        if self._file is None:
            return
        flat = label_map.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        lengths = np.diff(starts, append=flat.size).astype(np.uint32)
        packed = zlib.compress(lengths.tobytes() + flat[starts].tobytes(), 1)
        slot = _HEADER.pack(*label_map.shape, len(starts), len(packed)) + packed
        if len(slot) <= _SLOT_BYTES:
            with suppress(OSError):  # A full disk costs speed only.
                os.pwrite(self._file.fileno(), slot, index * _SLOT_BYTES)
