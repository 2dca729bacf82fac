"""The average of several runs' weights: one model that is often better than each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from drivable.checkpoint import Checkpoint
from drivable.errors import CheckpointError, ConfigError


def average(checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """Average the weights of runs that went on from the same weights (Wortsman et al. 2022, "Model soups", eq. 1).

    Runs that began apart do not lie in one valley of the loss; their average is worth nothing.

    Args:
        checkpoints: of one architecture and the same classes, two or more; one that is named twice counts twice.

    Returns:
        The first with averaged weights, float32, without scores and calibration.

    Raises:
        ConfigError: where there are fewer than two.
        CheckpointError: where they are not models of the same weights, classes and normalisation, or their weights do
            not fit the model or have no average in float32.

    Example:
        >>> average([load_checkpoint(find_checkpoint(run)) for run in ("runs/first", "runs/second")])
    """
    if len(checkpoints) < 2:
        raise ConfigError(f"an average needs two models or more, got {len(checkpoints)}")
    first = checkpoints[0]
    for other in checkpoints[1:]:
        if _kind(other) != _kind(first):
            raise CheckpointError(
                f"{other.where}: its weights, classes or normalisation are not those of {first.where}, so they have "
                "no average"
            )
    weights = {}
    for name, tensor in first.weights.items():
        if tensor.is_floating_point():
            # A sum of large float32 may be none.
            tensor = torch.stack([other.weights[name].double() for other in checkpoints]).mean(dim=0).float()
        weights[name] = tensor
    averaged = replace(first, weights=weights, scores={}, calibration=None)
    averaged.build()  # What is no model is refused before it is written.
    return averaged


def _kind(checkpoint: Checkpoint) -> tuple[object, ...]:
    shapes = {name: tensor.shape for name, tensor in checkpoint.weights.items()}
    return shapes, checkpoint.spec.name, checkpoint.labels, checkpoint.preprocessing.normalization
