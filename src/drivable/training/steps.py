"""Training steps: a batch in, a loss and named logs out. Another way to train is another step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.config import Recipe
from drivable.config.recipe import DeepSupervisionSpec, DistillationSpec
from drivable.errors import ConfigError
from drivable.labels import LabelSet
from drivable.losses import SummedLoss
from drivable.models import SegmentationModel
from drivable.models.folding import fold, fold_padding
from drivable.training.distillation import AveragedTeacher, DistillationStep

Logs = dict[str, Tensor]
# Images (N, 3, H, W) in [0, 1] -> logits (N, K, H, W): a model, or the recording of one.
Network = Callable[[Tensor], Tensor]


class TrainingStep(Protocol):
    """How a batch becomes a loss."""

    def __call__(self, network: Network, images: Tensor, label_maps: Tensor) -> tuple[Tensor, Logs]:
        """Images (N, 3, H, W) in [0, 1] and ids (N, H, W) in; scalar loss and what to log beside it out."""
        ...


class SupervisedStep:
    """The loss of the main head."""

    def __init__(self, loss: SummedLoss) -> None:
        self.loss = loss

    def __call__(self, network: Network, images: Tensor, label_maps: Tensor) -> tuple[Tensor, Logs]:
        """See :class:`TrainingStep`."""
        return self.loss(network(images), label_maps), {}


class DeepSupervisionStep:
    """A weighted sum of the main and the auxiliary head's loss (Zhao et al. 2017, sec. 3.3).

    Args:
        loss: for both heads.
        main_share: weight of the main head; the auxiliary head has the rest.
    """

    def __init__(self, loss: SummedLoss, main_share: float) -> None:
        self.loss = loss
        self.main_share = main_share

    def __call__(self, network: Network, images: Tensor, label_maps: Tensor) -> tuple[Tensor, Logs]:
        """See :class:`TrainingStep`."""
        assert isinstance(network, SegmentationModel)
        logits = network.training_logits(images)
        assert logits.auxiliary is not None
        main, auxiliary = self.loss(logits.main, label_maps), self.loss(logits.auxiliary, label_maps)
        total = self.main_share * main + (1 - self.main_share) * auxiliary
        return total, {"train_loss_main": main, "train_loss_auxiliary": auxiliary}


def build_step(recipe: Recipe, loss: SummedLoss, labels: LabelSet) -> TrainingStep:
    """The step of the recipe's ``training.method``.

    Raises:
        CheckpointError: where a teacher cannot be had.
        ConfigError: where a teacher knows other classes.
    """
    method = recipe.training.method
    if isinstance(method, DistillationSpec):
        averaging = AveragedTeacher(
            [_load_teacher(name, labels) for name in method.teachers],
            method.temperature,
            method.sizes or (None,),
            method.flip,
            recipe.training.cuda_graphs,
        )
        return DistillationStep(loss, averaging, method.share, labels.ignore_id)
    if isinstance(method, DeepSupervisionSpec):
        return DeepSupervisionStep(loss, method.main_share)
    return SupervisedStep(loss)


def _load_teacher(name: str, labels: LabelSet) -> SegmentationModel:
    checkpoint = load_checkpoint(find_checkpoint(name))
    if checkpoint.labels.names != labels.names:
        raise ConfigError(
            f"training.method.teacher {name} knows {list(checkpoint.labels.names)}, the data have {list(labels.names)}"
        )
    return fold_padding(fold(checkpoint.build()))
