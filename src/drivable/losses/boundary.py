"""A loss that looks at the borders between classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Axes: N batch, K classes, H and W rows and columns.


def boundary(logits: Tensor, label_maps: Tensor, ignore_id: int, width: int = 3) -> Tensor:
    r"""Mean cross entropy over the pixels that have another class within ``width`` rows and columns.

    .. math:: L = -\frac{1}{|B|} \sum_{p \in B} \log \pi_{p, y_p}, \qquad
              B = \{p : \exists q, \|p - q\|_\infty \le \text{width}, y_q \ne y_p\}

    Most pixels lie inside a region and are right early; this keeps the few at its edge from being outvoted, as the
    weight map of Ronneberger et al. 2015 (eq. 2) does, with a band in place of its Gaussian.

    Args:
        logits: (N, K, H, W), any float type; reduced in float32.
        label_maps: (N, H, W) integer ids; pixels of ``ignore_id`` do not count, nor do they make a border.
        ignore_id: the id that does not count.
        width: of the band on either side of a border, in pixels, 1 or more.

    Returns:
        Scalar float32; 0 where there is no border.

    Example:
        >>> boundary(torch.zeros(1, 3, 1, 8), torch.tensor([[[0, 0, 0, 0, 2, 2, 2, 2]]]), ignore_id=255, width=1)
        tensor(1.0986)
    """
    targets = label_maps.long()
    counted = targets != ignore_id
    near = counted & (_highest(targets, counted, width) != -_highest(-targets, counted, width))
    by_pixel = F.cross_entropy(logits.float(), targets, ignore_index=ignore_id, reduction="none")
    return (by_pixel * near).sum() / near.sum().clamp(min=1)


def _highest(values: Tensor, counted: Tensor, width: int) -> Tensor:
    """The highest counted value within ``width`` rows and columns: (N, H, W) float32."""
    highest = torch.where(counted, values, torch.iinfo(torch.int32).min).float()
    for kernel in ((2 * width + 1, 1), (1, 2 * width + 1)):
        highest = F.max_pool2d(highest, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    return highest
