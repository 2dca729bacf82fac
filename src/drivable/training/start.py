"""Going on from a trained model's weights."""

from __future__ import annotations

import logging

from drivable.checkpoint import Checkpoint
from drivable.errors import CheckpointError
from drivable.models import SegmentationModel

_log = logging.getLogger(__name__)


def start_from(model: SegmentationModel, checkpoint: Checkpoint) -> None:
    """Give a model a trained model's weights; its last layer stays as it is where that has other classes.

    Args:
        model: of the checkpoint's architecture; changed in place, or on an error not at all.
        checkpoint: whose weights to take.

    Raises:
        CheckpointError: where the architectures differ.

    Example:
        >>> start_from(build_model(LiteSpec(), 2), load_checkpoint(find_checkpoint("drivable-lite")))
    """
    own = model.state_dict()
    anew = [
        name
        for name, tensor in checkpoint.weights.items()
        if name in own
        and own[name].shape != tensor.shape
        and own[name].shape[1:] == tensor.shape[1:]
        and len(tensor) == checkpoint.labels.num_classes
    ]
    weights = {name: tensor.to(own[name].dtype) for name, tensor in checkpoint.weights.items() if name in own}
    different = sorted(
        (own.keys() ^ checkpoint.weights.keys())
        | {name for name in weights if weights[name].shape != own[name].shape and name not in anew}
    )
    if different:
        raise CheckpointError(
            f"{checkpoint.where}: a {checkpoint.spec.name} that differs from the recipe's model in "
            f"{', '.join(different[:3])} ({len(different)} weights in all); set model to what it was trained with"
        )
    if anew:
        _log.warning("other classes than in %s: %s start anew", checkpoint.where, ", ".join(anew))
    model.load_state_dict({name: own[name] if name in anew else tensor for name, tensor in weights.items()})
