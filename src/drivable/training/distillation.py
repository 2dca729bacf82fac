"""A training step that learns from another model too."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from drivable.losses import SummedLoss
from drivable.models import SegmentationModel


class DistillationStep:
    """The labels' loss and, pixel by pixel, the distance from what a teacher says (Hinton et al. 2015, sec. 2).

    ``(1 - share) * loss(student, labels) + share * T^2 * KL(softmax(teacher / T) || softmax(student / T))``, the second
    averaged over pixels that have a label. The teacher sees the same pictures, augmentation included.

    Args:
        loss: of the student and the labels.
        teacher: in evaluation mode; of the student's classes.
        share: of the second term, 0..1.
        temperature: T, above 0; higher values make more of the classes that the teacher thinks unlikely.
        ignore_id: of pixels without a label.

    Example:
        >>> step = DistillationStep(loss, teacher, share=0.5, temperature=2.0, ignore_id=255)
        >>> total, logs = step(student, images, label_maps)
    """

    def __init__(
        self, loss: SummedLoss, teacher: SegmentationModel, share: float, temperature: float, ignore_id: int
    ) -> None:
        self.loss = loss
        self.teacher = teacher
        self.share = share
        self.temperature = temperature
        self.ignore_id = ignore_id

    def __call__(
        self, model: SegmentationModel, images: Tensor, label_maps: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`~drivable.training.steps.TrainingStep`."""
        with torch.no_grad():
            soft = self.teacher.to(images.device)(images)
        logits = model(images)
        from_labels = self.loss(logits, label_maps)
        from_teacher = self._divergence(logits, soft, label_maps != self.ignore_id)
        total = (1 - self.share) * from_labels + self.share * from_teacher
        return total, {"train_loss_labels": from_labels, "train_loss_teacher": from_teacher}

    def _divergence(self, logits: Tensor, soft: Tensor, labelled: Tensor) -> Tensor:
        student = F.log_softmax(logits.float() / self.temperature, dim=1)
        teacher = F.log_softmax(soft.float() / self.temperature, dim=1)
        by_pixel = F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)
        return self.temperature**2 * (by_pixel * labelled).sum() / labelled.sum().clamp(min=1)
