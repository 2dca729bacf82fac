"""One streaming confusion matrix: everything that is scored is computed from it."""

from __future__ import annotations

import torch
from torch import Tensor


class ConfusionMatrix:
    """Count pixels by (true class, predicted class) over a whole data set.

    Memory does not grow with the number of pictures, and parts counted apart add up exactly.

    Args:
        num_classes: K.
        ignore_id: true id that does not count.
        device: where to count.

    Example:
        >>> matrix = ConfusionMatrix(2, ignore_id=255)
        >>> matrix.update(torch.tensor([[0, 1]]), torch.tensor([[0, 0]]))
        >>> matrix.counts.tolist()
        [[1, 0], [1, 0]]
    """

    def __init__(self, num_classes: int, ignore_id: int, device: torch.device | str = "cpu") -> None:
        self.num_classes = num_classes
        self.ignore_id = ignore_id
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)

    def update(self, actual: Tensor, predicted: Tensor) -> None:
        """Count a picture or a batch.

        Args:
            actual: integer ids of any shape, on this matrix's device.
            predicted: integer ids 0..K-1 of the same shape.

        Raises:
            ValueError: where the shapes differ or an id is no class.
        """
        if actual.shape != predicted.shape:
            raise ValueError(f"label maps differ in shape: {tuple(actual.shape)} and {tuple(predicted.shape)}")
        counted = actual != self.ignore_id
        truth, guess = actual[counted].long(), predicted[counted].long()
        if truth.numel() == 0:
            return
        if int(truth.max()) >= self.num_classes or int(guess.max()) >= self.num_classes:
            raise ValueError(f"ids must be below {self.num_classes}, got {int(truth.max())} and {int(guess.max())}")
        cells = truth * self.num_classes + guess
        counts = torch.bincount(cells, minlength=self.num_classes**2)
        self.counts += counts.reshape(self.num_classes, self.num_classes)
