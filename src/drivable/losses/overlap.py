"""Losses that judge whole regions: soft Dice and Tversky, plain and logarithmic."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Axes: N batch, K classes, H and W rows and columns.

_EPSILON = 1e-7


def dice(logits: Tensor, label_maps: Tensor, ignore_id: int, log: bool = False, smooth: float = 1.0) -> Tensor:
    r"""Soft Dice loss over the batch, averaged over all classes, where absent ones count as 0.

    With sums over all counted pixels of the batch, softmax :math:`\pi` and one-hot targets :math:`y`,

    .. math:: D_k = \frac{2 \sum \pi_k y_k + s}{\sum \pi_k + \sum y_k + s}, \qquad
              L = \frac{1}{K} \sum_{k \in P} (1 - D_k) \;\text{or}\; -\log D_k

    where P are the classes that occur in the targets (Milletari et al. 2016; the logarithm, the present classes and
    the division by K are those of segmentation_models_pytorch, by which the course recipes were trained). Dice is
    Tversky with alpha = beta = 0.5 up to the smoothing, which counts once here and half there.

    Args:
        logits: (N, K, H, W), any float type; reduced in float32, since half precision overflows on sums.
        label_maps: (N, H, W) integer ids; pixels of ``ignore_id`` do not count.
        ignore_id: the id that does not count.
        log: use -log D in place of 1 - D.
        smooth: s, in pixels.

    Returns:
        Scalar float32; 0 where every pixel is ignored.

    Example:
        >>> dice(torch.tensor([[[[40.0]], [[0.0]]]]), torch.zeros(1, 1, 1, dtype=torch.long), ignore_id=255)
        tensor(0.)
    """
    hit, predicted, actual = _region_sums(logits, label_maps, ignore_id)
    score = (2 * hit + smooth) / (predicted + actual + smooth).clamp_min(_EPSILON)
    return _mean_over_classes(score, actual, log)


def tversky(
    logits: Tensor,
    label_maps: Tensor,
    ignore_id: int,
    alpha: float = 0.3,
    beta: float = 0.7,
    log: bool = False,
    smooth: float = 1.0,
) -> Tensor:
    r"""Tversky loss over the batch, averaged over all classes, absent ones as 0 (Salehi et al. 2017, eq. 2).

    .. math:: T_k = \frac{TP_k + s}{TP_k + \alpha FP_k + \beta FN_k + s}

    with soft counts over all counted pixels of the batch.

    Args:
        logits: (N, K, H, W), any float type; reduced in float32.
        label_maps: (N, H, W) integer ids; pixels of ``ignore_id`` do not count.
        ignore_id: the id that does not count.
        alpha: weight of false positives.
        beta: weight of false negatives.
        log: use -log T in place of 1 - T.
        smooth: s, in pixels.

    Returns:
        Scalar float32; 0 where every pixel is ignored.

    Example:
        >>> tversky(torch.tensor([[[[40.0]], [[0.0]]]]), torch.zeros(1, 1, 1, dtype=torch.long), ignore_id=255)
        tensor(0.)
    """
    hit, predicted, actual = _region_sums(logits, label_maps, ignore_id)
    score = (hit + smooth) / (hit + alpha * (predicted - hit) + beta * (actual - hit) + smooth).clamp_min(_EPSILON)
    return _mean_over_classes(score, actual, log)


def _region_sums(logits: Tensor, label_maps: Tensor, ignore_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Per class over the counted pixels: sum of pi * y, of pi and of y, each (K,) float32."""
    num_classes = logits.shape[1]
    counted = label_maps != ignore_id
    probabilities = F.softmax(logits.float(), dim=1) * counted.unsqueeze(1)
    targets = torch.where(counted, label_maps, 0).long()
    hits, actual = [], []
    for k in range(num_classes):
        is_class = (targets == k) & counted
        hits.append((probabilities[:, k] * is_class).sum())
        actual.append(is_class.sum())
    return torch.stack(hits), probabilities.sum(dim=(0, 2, 3)), torch.stack(actual).float()


def _mean_over_classes(score: Tensor, actual: Tensor, log: bool) -> Tensor:
    loss = -score.clamp_min(_EPSILON).log() if log else 1 - score
    return (loss * (actual > 0)).mean()
