"""One line per epoch on standard error, for logs and pipes where a progress bar cannot move."""

from __future__ import annotations

import sys

import lightning as L
from lightning.pytorch.callbacks import Callback

from drivable.training.run_folder import RunFolder


class EpochLines(Callback):
    """Print the epoch's losses and scores.

    Args:
        run_folder: whose history is printed; it must stand before this among the callbacks.
    """

    def __init__(self, run_folder: RunFolder) -> None:
        self.run_folder = run_folder

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the last row of the history."""
        if not trainer.is_global_zero:
            return
        row = self.run_folder.history[-1]
        shown = ("train_loss", "val_loss", "val_strict3")
        values = "  ".join(f"{key} {row[key]:.4f}" for key in shown if key in row)
        line = (
            f"epoch {row['epoch']:.0f}/{trainer.max_epochs}  step {row['step']:.0f}  {values}  {row['seconds']:.0f} s"
        )
        print(line, file=sys.stderr, flush=True)
