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

from drivable.signals import note_stop, stop_asked
from drivable.training.run_folder import RunFolder, is_between_steps


class StopBetweenBatches(Callback):
    """Raise ``KeyboardInterrupt`` at the end of the batch in which the user pressed Ctrl-C.

    Raised wherever the signal happens to arrive, it may be swallowed by a foreign callback or leave an optimiser
    step half done. A second Ctrl-C does not wait.

    Args:
        run_folder: keeps the state; it must stand before this among the callbacks.
    """

    def __init__(self, run_folder: RunFolder) -> None:
        self.run_folder = run_folder
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
        note_stop()

    @property
    def _is_due(self) -> bool:
        # A library may have swallowed the interrupt before the block began.
        return self.asked or stop_asked()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Keep the state and stop."""
        if self._is_due and is_between_steps(trainer, batch_index):
            self.run_folder.save_state(trainer, within_epoch=True)
            raise KeyboardInterrupt

    def on_validation_batch_end(self, *_: Any) -> None:
        """Stop; the validation will be repeated."""
        if self._is_due:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop; the run folder has kept the state."""
        if self._is_due:
            raise KeyboardInterrupt
