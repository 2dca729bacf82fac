"""How a training shows its progress on standard error: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys

import lightning as L
from lightning.pytorch.callbacks import Callback, RichProgressBar

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
    """Print the epoch's losses and scores, for logs and pipes where a bar cannot move.

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
