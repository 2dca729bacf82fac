"""Losses that judge each pixel by itself: cross entropy and focal loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Axes: N batch, K classes, H and W rows and columns.

_EPSILON = 1e-7


def cross_entropy(
    logits: Tensor,
    label_maps: Tensor,
    ignore_id: int,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Mean pixel-wise cross entropy, :math:`-\sum_p w_{y_p} \log \pi_{p, y_p} / \sum_p w_{y_p}`.

    Args:
        logits: (N, K, H, W), any float type; reduced in float32.
        label_maps: (N, H, W) integer ids; pixels of ``ignore_id`` do not count.
        ignore_id: the id that does not count.
        class_weights: (K,) positive weights, or ``None`` for equal ones.
        label_smoothing: share of the target spread evenly over all classes, 0..1.

    Returns:
        Scalar float32; 0 where every pixel is ignored.

    Example:
        >>> cross_entropy(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long), ignore_id=255)
        tensor(1.0986)
    """
    targets = label_maps.long()
    weights = None if class_weights is None else class_weights.to(logits.device, torch.float32)
    if (targets == ignore_id).all():
        return _zero(logits)
    return F.cross_entropy(
        logits.float(), targets, weight=weights, ignore_index=ignore_id, label_smoothing=label_smoothing
    )


def focal(
    logits: Tensor,
    label_maps: Tensor,
    ignore_id: int,
    gamma: float = 2.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    r"""Mean focal loss, :math:`-w_{y}\,(1 - \pi_{y})^\gamma \log \pi_{y}` (Lin et al. 2017, eq. 5).

    Args:
        logits: (N, K, H, W), any float type; reduced in float32.
        label_maps: (N, H, W) integer ids; pixels of ``ignore_id`` do not count.
        ignore_id: the id that does not count.
        gamma: focusing exponent, 0 gives cross entropy.
        class_weights: (K,) weights, the paper's alpha, or ``None``.

    Returns:
        Scalar float32, the mean over counted pixels; 0 where every pixel is ignored.

    Example:
        >>> focal(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long), ignore_id=255, gamma=2.0)
        tensor(0.1733)
    """
    counted = label_maps != ignore_id
    if not counted.any():
        return _zero(logits)
    targets = torch.where(counted, label_maps, 0).long()
    log_probability = torch.gather(F.log_softmax(logits.float(), dim=1), 1, targets.unsqueeze(1)).squeeze(1)
    # The floor keeps the gradient of a root at 0 finite; expm1 keeps 1 - p exact near 1.
    miss = (-torch.expm1(log_probability)).clamp_min(_EPSILON)
    loss = -(miss**gamma) * log_probability
    if class_weights is not None:
        loss = loss * class_weights.to(logits.device, torch.float32)[targets]
    return loss[counted].mean()


def _zero(logits: Tensor) -> Tensor:
    # Attached to the graph, so that a batch of ignored pixels trains nothing instead of failing.
    return logits.float().sum() * 0.0
