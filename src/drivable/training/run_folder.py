"""What a training leaves behind: checkpoints, the state to resume from, the history and its curves."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure
from torch import Tensor

from drivable.checkpoint import BEST, LAST, Checkpoint, Preprocessing, save_checkpoint
from drivable.config import Recipe
from drivable.data import RoadLoader
from drivable.errors import plot_text
from drivable.files import write_text, written_whole
from drivable.training.module import SegmentationTraining

RECIPE, STATE, HISTORY, CURVES = "recipe.yaml", "resume.ckpt", "history.csv", "curves.png"
SECONDS_BETWEEN_STATES = 300.0

_log = logging.getLogger(__name__)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the resolved recipe beside the checkpoints.

    Raises:
        OutputError: where the folder is not writable.
    """
    write_text(folder / RECIPE, yaml.safe_dump(recipe.to_dict(), sort_keys=False, default_flow_style=None))


class RunFolder(Callback):
    """After every epoch: ``best.safetensors`` if its validation loss is the lowest, ``last.safetensors``,
    ``resume.ckpt``, ``history.csv`` and ``curves.png``, each written whole or not at all; within epochs
    ``resume.ckpt`` every few minutes.

    Args:
        folder: the run folder; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best_loss = float("inf")
        self.history: list[dict[str, float]] = []
        self.validated_step = -1
        self.has_started = False
        self._loader = {"num_batches": 0}
        self._epoch_start = self._saved_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {
            "best_loss": self.best_loss,
            "history": self.history,
            "validated_step": self.validated_step,
            "loader": self._loader,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        self.best_loss = state_dict["best_loss"]
        self.history = state_dict["history"]
        self.validated_step = state_dict["validated_step"]
        self._loader = state_dict["loader"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write a first state, so that a run stopped in its first epoch can be resumed too."""
        self.has_started = True
        if trainer.ckpt_path is None:
            self.save_state(trainer)
        else:
            # Lightning keeps the loader's position too, but has asked for the loader before it reads the state.
            _loader(trainer).load_state_dict(self._loader)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_index: int
    ) -> None:
        """Start the epoch's clock."""
        if batch_index == 0:
            self._epoch_start = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        """Write the state every few minutes, between two optimiser steps."""
        if is_between_steps(trainer, batch_index) and time.monotonic() - self._saved_at > SECONDS_BETWEEN_STATES:
            self.save_state(trainer, within_epoch=True)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the checkpoints; here, and not at the end of the epoch, the validation's results are fresh."""
        assert isinstance(pl_module, SegmentationTraining)
        assert pl_module.val_scores is not None
        recipe = pl_module.recipe
        checkpoint = Checkpoint(
            weights=pl_module.evaluated_model.state_dict(),
            spec=recipe.model,
            labels=pl_module.labels,
            preprocessing=Preprocessing(recipe.data.size, recipe.normalization),
            recipe=recipe.to_dict(),
            scores={"val": pl_module.val_scores.to_dict() | {"epoch": trainer.current_epoch + 1}},
        )
        loss = float(trainer.callback_metrics["val_loss"])
        self.validated_step = trainer.global_step
        is_sound = math.isfinite(loss) and _are_finite(checkpoint.weights)
        is_best = is_sound and loss < self.best_loss
        if is_best:
            self.best_loss = loss
        if not trainer.is_global_zero:
            return
        if not is_sound:
            what = "weights are not numbers" if math.isfinite(loss) else f"the validation loss is {loss}"
            _log.warning("epoch %d cannot be the best: %s", trainer.current_epoch + 1, what)
        if is_best:
            save_checkpoint(self.folder / BEST, checkpoint)
        save_checkpoint(self.folder / LAST, checkpoint)
        if trainer.state.fn == TrainerFn.VALIDATING:
            # After a training that max_steps ended inside an epoch, whose row is already there.
            self.history[-1].update(_epoch_values(trainer))
            self._write_history()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the history and the state to resume from."""
        assert isinstance(pl_module, SegmentationTraining)
        metrics = _epoch_values(trainer)
        rate = metrics.pop("learning_rate")
        self.history.append(
            {
                "epoch": trainer.current_epoch + 1,
                "step": trainer.global_step,
                "seconds": round(time.monotonic() - self._epoch_start, 1),
                "learning_rate": rate,
                **pl_module.epoch_means(),
                **metrics,
            }
        )
        if trainer.is_global_zero:
            self._write_history()
        self.save_state(trainer)

    def _write_history(self) -> None:
        write_history(self.folder / HISTORY, self.history)
        write_curves(self.folder / CURVES, self.history)

    def save_state(self, trainer: L.Trainer, within_epoch: bool = False) -> None:
        """Write the state to resume from."""
        self._saved_at = time.monotonic()
        self._loader = _loader(trainer).state_dict() if within_epoch else {"num_batches": 0}
        # Every process takes part, since they wait for each other here; the first one writes.
        if not trainer.is_global_zero:
            trainer.save_checkpoint(self.folder / STATE)
            return
        with written_whole(self.folder / STATE) as temporary:
            trainer.save_checkpoint(temporary)


def _are_finite(weights: dict[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in weights.values())


def _loader(trainer: L.Trainer) -> RoadLoader:
    loader = trainer.train_dataloader
    assert isinstance(loader, RoadLoader)
    return loader


def _epoch_values(trainer: L.Trainer) -> dict[str, float]:
    """Lightning's metrics but the training losses, which it only knows of the last batch."""
    return {key: float(value) for key, value in trainer.callback_metrics.items() if not key.startswith("train_loss")}


def is_between_steps(trainer: L.Trainer, batch_index: int) -> bool:
    """Whether a state written after this batch is exact: no gradient is half accumulated, no epoch half ended."""
    num_done = batch_index + 1
    return num_done % trainer.accumulate_grad_batches == 0 and num_done < trainer.num_training_batches


def write_history(path: Path, history: list[dict[str, float]]) -> None:
    """Write one row per epoch as CSV.

    Raises:
        OutputError: where the place is not writable.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(key for row in history for key in row)))
    writer.writeheader()
    writer.writerows(history)
    write_text(path, text.getvalue())


def write_curves(path: Path, history: list[dict[str, float]]) -> None:
    """Draw loss, IoU and learning rate over the epochs as PNG.

    Raises:
        OutputError: where the place is not writable.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    loss, iou, rate = figure.subplots(1, 3)
    for name in ("train_loss", "val_loss"):
        loss.plot(epochs, [row.get(name, float("nan")) for row in history], marker=".", label=plot_text(name))
    for key in (key for key in history[-1] if key.startswith("val_iou_") or key == "val_strict3"):
        style: dict[str, Any] = {"linewidth": 2.5, "color": "black"} if key == "val_strict3" else {}
        values = [row.get(key, float("nan")) for row in history]
        iou.plot(epochs, values, marker=".", label=plot_text(key.removeprefix("val_")), **style)
    rate.plot(epochs, [row["learning_rate"] for row in history], marker=".", label="learning rate")
    for axes, title in ((loss, "Loss"), (iou, "Validation IoU"), (rate, "Learning rate at the epoch's end")):
        axes.set(title=title, xlabel="epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    iou.set_ylim(0, 1)
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)
