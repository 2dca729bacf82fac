"""What Lightning runs: one training step, one validation step, and the optimiser."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from drivable.config import Recipe
from drivable.data.dataset import Batch
from drivable.errors import CheckpointError, ConfigError, DataError, DrivableError
from drivable.labels import LabelSet
from drivable.losses import SummedLoss
from drivable.metrics import ConfusionMatrix, Scores, compute_scores
from drivable.models import SegmentationModel
from drivable.segmenter.graph import most_probable, relative_to
from drivable.training.cuda_graphs import ReplayedNetwork
from drivable.training.optimization import build_optimizer, build_schedule, set_position
from drivable.training.state import Position, check_optimizer, describe_run
from drivable.training.steps import Network, build_step

_log = logging.getLogger(__name__)


class _Ema:
    """Exponential moving average whose decay rises as (1 + n) / (10 + n) to its value.

    Without the rise, a random start would weigh on the average for thousands of steps.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averaged: Any, current: Any, num_averaged: Tensor | int) -> None:
        """Move averaged tensors towards the current ones, all of one type and device; counters are taken over."""
        if not averaged[0].is_floating_point():
            torch._foreach_copy_(averaged, current)
            return
        n = torch.as_tensor(num_averaged)
        decay = ((1 + n) / (10 + n)).clamp(max=self.decay)
        # All tensors at once: hundreds of small ones would keep a GPU waiting.
        steps = torch._foreach_sub(current, averaged)
        torch._foreach_mul_(steps, 1 - decay)
        torch._foreach_add_(averaged, steps)


class DivergedError(DrivableError):
    """The loss is no number any more; the same steps would come to it again."""


class SegmentationTraining(L.LightningModule):
    """Fit a model by a recipe.

    Args:
        model: what to fit.
        recipe: how.
        labels: the classes.
        loss: of logits and label maps.
        train_ids: ids of the training pictures by their index, to name the culprits of a loss that is not a number.

    Attributes:
        resumed_at: where a run that goes on was, to be set before it is fitted.
    """

    def __init__(
        self,
        model: SegmentationModel,
        recipe: Recipe,
        labels: LabelSet,
        loss: SummedLoss,
        train_ids: Sequence[str],
    ) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.labels = labels
        self.loss = loss
        self.train_ids = train_ids
        self.step = build_step(recipe, loss, labels)
        self._replayed: ReplayedNetwork | None = None
        self.confusion = ConfusionMatrix(labels.num_classes, labels.ignore_id)
        self.val_scores: Scores | None = None
        decay = recipe.training.ema_decay
        self.averaged = None if decay is None else AveragedModel(model, multi_avg_fn=_Ema(decay), use_buffers=True)
        if self.averaged is not None:
            # Nothing learns here; several devices would wait for its gradients.
            self.averaged.requires_grad_(False)
        self._sums: dict[str, Tensor] = {}
        self._num_summed = 0
        self._num_steps = 0
        self.resumed_at: Position | None = None
        if recipe.training.freeze_backbone:
            model.backbone.requires_grad_(False)

    @property
    def evaluated_model(self) -> SegmentationModel:
        """The model that is validated and saved: the moving average where the recipe asks for one."""
        if self.averaged is None:
            return self.model
        averaged = self.averaged.module
        assert isinstance(averaged, SegmentationModel)
        return averaged

    def on_train_start(self) -> None:
        """Where a run is resumed, take up the schedule, which may have another length now, and say so."""
        if self.resumed_at is None:
            return
        optimizer, before, folder = self.trainer.optimizers[0], self.resumed_at, Path(self.trainer.default_root_dir)
        check_optimizer(optimizer, folder)
        if (self.current_epoch, self.trainer.global_step) != (before.num_epochs_done, before.global_step):
            raise CheckpointError(f"{folder}: corrupt: the state's counters do not agree with its history")
        rate_before = _rate(optimizer)
        set_position(self.trainer.lr_scheduler_configs[0].scheduler, before.num_steps_done)
        epochs = self.trainer.max_epochs
        said = f"{folder}: resumed in epoch {self.current_epoch + 1} of {epochs}"
        if self._num_steps != before.num_steps:
            said += (
                f"; the schedule goes over {epochs} epochs ({self._num_steps} steps) in place of {before.epochs} "
                f"({before.num_steps}), so the learning rate is {_rate(optimizer):.3g} where it was {rate_before:.3g}"
            )
            said += ", and training.sizes share the new epochs" if self.recipe.training.sizes else ""
        if self.trainer.is_global_zero:
            _log.warning("%s", said)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Draw the batch's random numbers from (seed, epoch, batch, rank) alone, so that a resumed run repeats them."""
        place = (self.recipe.seed, self.current_epoch, batch_index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1))
        if batch_index == 0:
            self._sums, self._num_summed = {}, 0
        if self.recipe.training.freeze_backbone and self.model.backbone.training:
            self.model.backbone.eval()  # Batch statistics stay frozen too.

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One batch: forward, loss."""
        images, label_maps = self._to_unit(batch["images"]), batch["label_maps"]
        # In a crop there may be road where in a whole picture there is sky.
        label_maps[:, : -self.model.num_seen(label_maps.shape[1])] = self.labels.ignore_id
        try:
            loss, logs = self.step(self._trained_network(), images, label_maps)
        except ValueError as fault:
            # Torch's own words for a layer that has one value per channel, and so no deviation.
            if "more than 1 value per channel" not in str(fault):
                raise
            raise ConfigError(
                f"a batch of {len(images)} image(s) leaves {self.recipe.model.name}'s batch normalisation one value a "
                f"channel; it needs batches of 2 or more: raise training.batch_size (now "
                f"{self.recipe.training.batch_size}), with 2 or more training images for each device (now "
                f"{len(self.train_ids)} in all)"
            ) from fault
        if not torch.isfinite(loss):
            ids = ", ".join(self.train_ids[i] for i in batch["indices"].tolist())
            raise DivergedError(
                f"the loss is {loss.item()} in epoch {self.current_epoch + 1}, batch {batch_index + 1}; its pictures: "
                f"{ids}. Look at these, lower optimizer.learning_rate, or set training.gradient_clip_norm"
            )
        values = {"train_loss": loss.detach(), **{key: value.detach() for key, value in logs.items()}}
        self.log_dict(values, prog_bar=True, on_step=True, on_epoch=False, batch_size=len(images))
        for key, value in values.items():
            self._sums[key] = self._sums.get(key, torch.zeros_like(value)) + value * len(images)
        self._num_summed += len(images)
        self.log("learning_rate", _rate(self.trainer.optimizers[0]), on_step=True, on_epoch=False)
        return loss

    def _trained_network(self) -> Network:
        training = self.recipe.training
        can_replay = (
            training.cuda_graphs
            and self.device.type == "cuda"
            and self.trainer.world_size == training.accumulate_batches == 1
            and training.method.name != "deep_supervision"
        )
        if not can_replay:
            return self.model
        if self._replayed is None:
            self._replayed = ReplayedNetwork(self.model)
        return self._replayed

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then average the weights."""
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def epoch_means(self) -> dict[str, float]:
        """Mean of each training loss over the epoch so far, on all devices together.

        Kept here and not by Lightning, whose sums a run that is resumed in the middle of an epoch has lost.
        """
        num = self.trainer.strategy.reduce(torch.tensor(float(self._num_summed), device=self.device), reduce_op="sum")
        return {
            key: float(self.trainer.strategy.reduce(value, reduce_op="sum")) / float(num)
            for key, value in self._sums.items()
        }

    def on_validation_epoch_start(self) -> None:
        """Empty the confusion matrix."""
        self.confusion = ConfusionMatrix(self.labels.num_classes, self.labels.ignore_id, self.device)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """One batch: loss, and its pixels counted, at the size the network works at."""
        images = self._to_unit(batch["images"])
        logits = self.evaluated_model(images)
        loss = self.loss(logits, batch["label_maps"])
        # Images without any labelled pixel have no loss, and must not make the mean look smaller.
        num_labelled = int((batch["label_maps"] != self.labels.ignore_id).flatten(1).any(dim=1).sum())
        self.log("val_loss", loss, prog_bar=True, batch_size=num_labelled, sync_dist=True)
        background = self.labels.background_id or 0
        self.confusion.update(batch["label_maps"], most_probable(relative_to(background, logits), background))

    def on_validation_epoch_end(self) -> None:
        """Scores over the whole split, on all devices together."""
        counts = torch.as_tensor(self.trainer.strategy.reduce(self.confusion.counts, reduce_op="sum")).cpu().numpy()
        if not counts.any():
            raise DataError(
                f"no validation pixel has a class at {self.recipe.data.size[0]}x{self.recipe.data.size[1]}: all are "
                f"ignored (id {self.labels.ignore_id}); drivable data inspect shows what the labels hold"
            )
        self.val_scores = compute_scores(counts, self.labels)
        self.log("val_strict3", self.val_scores.strict3, prog_bar=True, rank_zero_only=True)
        for scores in self.val_scores.classes:
            self.log(f"val_iou_{scores.name}", scores.iou, rank_zero_only=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser and schedule, stepped per batch."""
        optimizer = build_optimizer(self.model, self.recipe.optimizer)
        self._num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_schedule(optimizer, self.recipe.schedule, self._num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the epoch's sums, and what run this is."""
        checkpoint |= describe_run(self.recipe, self.labels, self.train_ids, self._num_steps, self.trainer.world_size)
        checkpoint["loss_sums"] = {key: value.cpu() for key, value in self._sums.items()}
        checkpoint["num_summed"] = self._num_summed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the epoch's sums; the schedule is not taken over but set anew, see :meth:`on_train_start`."""
        checkpoint["lr_schedulers"] = []
        self._sums = {key: value.to(self.device) for key, value in checkpoint["loss_sums"].items()}
        self._num_summed = checkpoint["num_summed"]

    def _to_unit(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> float32 in [0, 1]."""
        unit = images.float() / 255
        return unit.contiguous(memory_format=torch.channels_last) if self.recipe.training.channels_last else unit


def _rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate, of several the highest."""
    return float(max(group["lr"] for group in optimizer.param_groups))
