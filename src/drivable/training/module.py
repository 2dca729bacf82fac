"""What Lightning runs: one training step, one validation step, and the optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from drivable.config import Recipe
from drivable.data.dataset import Batch
from drivable.errors import DrivableError
from drivable.labels import LabelSet
from drivable.losses import SummedLoss
from drivable.metrics import ConfusionMatrix, Scores, compute_scores
from drivable.models import SegmentationModel
from drivable.segmenter.graph import most_probable, relative_to
from drivable.training.optimization import build_optimizer, build_schedule
from drivable.training.steps import build_step


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


class SegmentationTraining(L.LightningModule):
    """Fit a model by a recipe.

    Args:
        model: what to fit.
        recipe: how.
        labels: the classes.
        loss: of logits and label maps.
        train_ids: ids of the training pictures by their index, to name the culprits of a loss that is not a number.
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
        self.confusion = ConfusionMatrix(labels.num_classes, labels.ignore_id)
        self.val_scores: Scores | None = None
        decay = recipe.training.ema_decay
        self.averaged = None if decay is None else AveragedModel(model, multi_avg_fn=_Ema(decay), use_buffers=True)
        if self.averaged is not None:
            # Nothing learns here; several devices would wait for its gradients.
            self.averaged.requires_grad_(False)
        self._sums: dict[str, Tensor] = {}
        self._num_summed = 0
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
        loss, logs = self.step(self.model, images, label_maps)
        if not torch.isfinite(loss):
            ids = ", ".join(self.train_ids[i] for i in batch["indices"].tolist())
            raise DrivableError(
                f"the loss is {loss.item()} in epoch {self.current_epoch + 1}, batch {batch_index + 1}; its pictures: "
                f"{ids}. Look at these, lower optimizer.learning_rate, or set training.gradient_clip_norm"
            )
        values = {"train_loss": loss.detach(), **{key: value.detach() for key, value in logs.items()}}
        self.log_dict(values, prog_bar=True, on_step=True, on_epoch=False, batch_size=len(images))
        for key, value in values.items():
            self._sums[key] = self._sums.get(key, torch.zeros_like(value)) + value * len(images)
        self._num_summed += len(images)
        rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
        self.log("learning_rate", rate, on_step=True, on_epoch=False)
        return loss

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
        self.log("val_loss", loss, prog_bar=True, batch_size=len(images), sync_dist=True)
        background = self.labels.background_id or 0
        self.confusion.update(batch["label_maps"], most_probable(relative_to(background, logits), background))

    def on_validation_epoch_end(self) -> None:
        """Scores over the whole split, on all devices together."""
        counts = self.trainer.strategy.reduce(self.confusion.counts, reduce_op="sum")
        self.val_scores = compute_scores(torch.as_tensor(counts).cpu().numpy(), self.labels)
        self.log("val_strict3", self.val_scores.strict3, prog_bar=True, rank_zero_only=True)
        for scores in self.val_scores.classes:
            self.log(f"val_iou_{scores.name}", scores.iou, rank_zero_only=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser and schedule, stepped per batch."""
        optimizer = build_optimizer(self.model, self.recipe.optimizer)
        num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = build_schedule(optimizer, self.recipe.schedule, num_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the epoch's sums."""
        checkpoint["loss_sums"] = {key: value.cpu() for key, value in self._sums.items()}
        checkpoint["num_summed"] = self._num_summed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the epoch's sums."""
        self._sums = {key: value.to(self.device) for key, value in checkpoint["loss_sums"].items()}
        self._num_summed = checkpoint["num_summed"]

    def _to_unit(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 -> float32 in [0, 1]."""
        unit = images.float() / 255
        return unit.contiguous(memory_format=torch.channels_last) if self.recipe.training.channels_last else unit
