"""A training step that learns from other models too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from drivable.losses import SummedLoss
from drivable.models import SegmentationModel
from drivable.models.resizing import resize
from drivable.training.cuda_graphs import ReplayedNetwork

Size = tuple[int, int]


class AveragedTeacher:
    """What models say of a picture, averaged over them and over views of it: larger or smaller copies, mirror images.

    Such an average is better than any single answer, and too slow to use; a student can learn it (Shen et al. 2020,
    "MEAL V2").

    Args:
        models: in evaluation mode.
        temperature: T, above 0; higher values make more of the classes that it thinks unlikely.
        sizes: (height, width) of the copies; ``None`` is the picture's own.
        flips: whether each copy is seen from left to right too.
        replays: whether models on a CUDA device are recorded and replayed, see
            :class:`~drivable.training.cuda_graphs.ReplayedNetwork`.

    Example:
        >>> AveragedTeacher([model], 2.0, (None, (320, 576)), flips=True)(images).shape
        torch.Size([8, 3, 256, 448])
    """

    def __init__(
        self,
        models: Sequence[SegmentationModel],
        temperature: float,
        sizes: Sequence[Size | None] = (None,),
        flips: bool = False,
        replays: bool = False,
    ) -> None:
        self.models = list(models)
        self.temperature = temperature
        self.sizes = tuple(sizes)
        self.flips = flips
        self.replays = replays
        self._recordings: dict[tuple[int, Size | None], ReplayedNetwork] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1] -> probabilities (N, K, H, W) at the temperature."""
        answers = []
        for size in self.sizes:
            view = images if size is None or size == images.shape[-2:] else resize(images, size, antialias=True)
            for place, model in enumerate(self.models):
                model.to(images.device)
                network: Callable[[Tensor], Tensor] = model
                if self.replays and images.is_cuda:
                    network = self._recordings.setdefault((place, size), ReplayedNetwork(model))
                answers.append(self._probabilities(network, view, images))
                if self.flips:
                    answers.append(self._probabilities(network, view.flip(-1), images).flip(-1))
        return torch.stack(answers).mean(dim=0)

    def _probabilities(self, network: Callable[[Tensor], Tensor], view: Tensor, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        logits = resize(network(view).float(), (height, width))
        return F.softmax(logits / self.temperature, dim=1)


class DistillationStep:
    """The labels' loss and, pixel by pixel, the distance from what teachers say (Hinton et al. 2015, sec. 2).

    ``(1 - share) * loss(student, labels) + share * T^2 * KL(teacher || softmax(student / T))``, the second averaged
    over pixels that have a label. Teachers see the same pictures, augmentation included.

    Args:
        loss: of the student and the labels.
        teacher: of the student's classes; T is its temperature.
        share: of the second term, 0..1.
        ignore_id: of pixels without a label.

    Example:
        >>> step = DistillationStep(loss, AveragedTeacher([teacher], temperature=2.0), share=0.5, ignore_id=255)
        >>> total, logs = step(student, images, label_maps)
    """

    def __init__(self, loss: SummedLoss, teacher: AveragedTeacher, share: float, ignore_id: int) -> None:
        self.loss = loss
        self.teacher = teacher
        self.share = share
        self.ignore_id = ignore_id

    def __call__(
        self, network: Callable[[Tensor], Tensor], images: Tensor, label_maps: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See :class:`~drivable.training.steps.TrainingStep`."""
        soft = self.teacher(images)
        logits = network(images)
        from_labels = self.loss(logits, label_maps)
        from_teacher = self._divergence(logits, soft, label_maps != self.ignore_id)
        total = (1 - self.share) * from_labels + self.share * from_teacher
        return total, {"train_loss_labels": from_labels, "train_loss_teacher": from_teacher}

    def _divergence(self, logits: Tensor, soft: Tensor, labelled: Tensor) -> Tensor:
        temperature = self.teacher.temperature
        student = F.log_softmax(logits.float() / temperature, dim=1)
        by_pixel = F.kl_div(student, soft, reduction="none").sum(dim=1)
        return temperature**2 * (by_pixel * labelled).sum() / labelled.sum().clamp(min=1)
