"""Ctrl-C between two batches, where everything is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback


class StopBetweenBatches(Callback):
    """Raise ``KeyboardInterrupt`` at the end of the batch in which the user pressed Ctrl-C.

    Raised wherever the signal happens to arrive, it may be swallowed by a foreign callback or leave an optimiser
    step half done. A second Ctrl-C does not wait.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signal while the block runs; only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_train_batch_end(self, *_: Any) -> None:
        """Stop here."""
        self._stop()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop here."""
        self._stop()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop here."""
        self._stop()

    def _stop(self) -> None:
        if self.asked:
            raise KeyboardInterrupt


def leave_ctrl_c_to_the_parent(worker: int) -> None:
    """For worker processes, which the terminal signals too: they must outlive the batch that is being finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
