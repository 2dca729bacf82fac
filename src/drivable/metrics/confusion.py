"""Confusion matrices: everything that is scored is computed from them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def count_pixels(
    actual: NDArray[np.uint8], predicted: NDArray[np.uint8], num_classes: int, ignore_id: int
) -> NDArray[np.int64]:
    """Count one picture's pixels by (true class, predicted class).

    Args:
        actual: ids (H, W).
        predicted: ids 0..K-1 of the same shape.
        num_classes: K.
        ignore_id: true id that does not count.

    Returns:
        (K, K).

    Raises:
        ValueError: where the shapes differ or an id is no class.

    Example:
        >>> count_pixels(np.array([[0, 1, 255]], np.uint8), np.zeros((1, 3), np.uint8), 2, 255).tolist()
        [[1, 0], [1, 0]]
    """
    if actual.shape != predicted.shape:
        raise ValueError(f"label maps differ in shape: {actual.shape} and {predicted.shape}")
    # One byte a pixel holds both ids and is counted at once; what is no class falls into other cells.
    joint = np.bincount((actual.astype(np.uint16) << 8 | predicted).ravel(), minlength=1 << 16).reshape(256, 256)
    counts = joint[:num_classes, :num_classes]
    if counts.sum() + joint[ignore_id].sum() != actual.size:
        known = np.arange(256) < num_classes
        wrong = (joint * ~(known[:, None] & known)).astype(bool)
        wrong[ignore_id] = False
        true_id, predicted_id = (int(axis[0]) for axis in np.nonzero(wrong))
        raise ValueError(f"ids must be below {num_classes}, got {true_id} (true) and {predicted_id} (predicted)")
    return counts.astype(np.int64)


class ConfusionMatrix:
    """Count pixels by (true class, predicted class) over a whole data set, on any device.

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
