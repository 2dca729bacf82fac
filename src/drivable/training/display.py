"""How a training shows its progress on standard error: a bar on a terminal; elsewhere a line per epoch, and some within
a long one."""

from __future__ import annotations

import math
import sys

import lightning as L
from lightning.pytorch.callbacks import Callback, RichProgressBar

from drivable.progress import ProgressLines
from drivable.training.run_folder import RunFolder


class TrainingBar(RichProgressBar):
    """A bar per epoch, with the epoch counted from one and losses and scores beside it."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What stands beside the bar: not the logger's version, and the running loss under its plain name."""
        metrics = super().get_metrics(trainer, pl_module)
        return {key.removesuffix("_step"): metrics[key] for key in metrics if key != "v_num" and "_epoch" not in key}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class EpochLines(Callback):
    """Print the epoch's losses and scores and, while a long one runs, how far it is, for logs and pipes where a bar
    cannot move.

    Args:
        run_folder: whose history is printed; it must stand before this among the callbacks.
    """

    def __init__(self, run_folder: RunFolder) -> None:
        self.run_folder = run_folder
        self._lines: ProgressLines | None = None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count batches from here."""
        self._begin(trainer, "training", trainer.num_training_batches)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        """Count a batch."""
        self._advance()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count those of the validation from here."""
        self._begin(trainer, "validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        """Count a batch."""
        self._advance()

    def _begin(self, trainer: L.Trainer, what: str, num_batches: float) -> None:
        if trainer.is_global_zero:
            total = int(num_batches) if math.isfinite(num_batches) else None
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._lines = ProgressLines(f"{epoch}, {what} batches", total)

    def _advance(self) -> None:
        if self._lines is not None:
            self._lines.advance()

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
