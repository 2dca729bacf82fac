"""Weights that are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import torch
from torch import Tensor

from drivable.errors import CheckpointError, one_line
from drivable.labels import LabelSet


def is_finite(tensor: Tensor) -> bool:
    """Whether all of it are numbers, none NaN or infinite.

    Example:
        >>> is_finite(torch.tensor([1.0, float("nan")]))
        False
    """
    if tensor.numel() == 0 or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.is_complex() or tensor.itemsize == 1:  # Of these torch knows no extremes.
        return bool(torch.isfinite(tensor.to(torch.complex64 if tensor.is_complex() else torch.float32)).all())
    # One pass without a copy; NaN wins both.
    return all(bool(extreme.isfinite()) for extreme in torch.aminmax(tensor))


def require_finite(weights: Mapping[str, Tensor], labels: LabelSet | None, where: str) -> None:
    """Refuse weights that hold what is no number: a model that computes with it cannot tell what is drivable.

    Args:
        weights: by name.
        labels: of the model; without a background there is no class that says "not drivable". ``None`` of a backbone.
        where: the file, for the message.

    Raises:
        CheckpointError: there; names the first such weights.

    Example:
        >>> require_finite(model.state_dict(), BDD100K_DRIVABLE, "runs/lite")
    """
    name = next((name for name, tensor in weights.items() if not is_finite(tensor)), None)
    if name is not None:
        refuse_not_finite(name, labels, where)


def refuse_not_finite(name: str, labels: LabelSet | None, where: str) -> NoReturn:
    """Say that weights of a name are no numbers.

    Raises:
        CheckpointError: always.
    """
    fallback = ""
    if labels is not None and labels.background_id is None:
        fallback = ", and its classes have no background to fall back on"
    raise CheckpointError(
        f"{where}: {one_line(name, 120)} holds NaN or infinity, which tells nothing of what is drivable{fallback}; its "
        "training diverged or the file is damaged: copy it or train it again, with a lower learning rate"
    )
