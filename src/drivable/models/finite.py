"""Weights that are numbers, of the kind and shape that a model has."""

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


def misfit(name: str, got: Tensor, expected: Tensor) -> str | None:
    """How a file's weights differ from what a model has, ``None`` where they fit.

    Integers and complex numbers would be cut to floating point without a word; counters of batches are integers and
    may be of any kind.

    Example:
        >>> misfit("bias", torch.zeros(3), torch.zeros(2))
        'bias is (3,), expected (2,)'
    """
    if got.shape != expected.shape:
        return f"{name} is {tuple(got.shape)}, expected {tuple(expected.shape)}"
    if expected.is_floating_point() and not got.is_floating_point():
        return f"{name} is {str(got.dtype).removeprefix('torch.')}, expected floating point"
    return None


def require_finite(weights: Mapping[str, Tensor], labels: LabelSet | None, where: str) -> None:
    """Refuse weights that hold what is no number: a model that computes with it cannot tell what is drivable.

    A variance below 0 is refused too: its root is no number.

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
    for name, tensor in weights.items():
        # Its root is taken; a small negative one would pass, as what is added to it hides it.
        is_variance = name.endswith("running_var") and tensor.is_floating_point()
        if is_variance and bool((tensor.float() < 0).any()):
            raise CheckpointError(
                f"{where}: {one_line(name, 120)} holds {tensor.float().min().item():.3g}, expected variances, none "
                "below 0; the file is damaged: copy it or train it again"
            )


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
