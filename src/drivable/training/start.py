"""Going on from a trained model's weights."""

from __future__ import annotations

import logging

from drivable.checkpoint import Checkpoint
from drivable.config import Recipe
from drivable.config.models import LiteSpec
from drivable.errors import CheckpointError
from drivable.models import SegmentationModel, build_model
from drivable.models.pruning import prune_hidden

_log = logging.getLogger(__name__)


def pruned_start(recipe: Recipe, checkpoint: Checkpoint, num_classes: int) -> tuple[SegmentationModel, Recipe]:
    """The model to go on with after ``training.prune``, and the recipe with its specification.

    Raises:
        CheckpointError: where the checkpoint's architecture is not the recipe's.
    """
    assert recipe.training.prune is not None
    assert isinstance(recipe.model, LiteSpec)
    # The recipe of a pruned run, run again, starts from the widths of before.
    spec = recipe.model.model_copy(update={"hidden_channels": getattr(checkpoint.spec, "hidden_channels", None)})
    whole = build_model(spec, num_classes, recipe.normalization)
    start_from(whole, checkpoint)
    smaller, smaller_spec = prune_hidden(whole, spec, recipe.training.prune)
    return smaller, recipe.model_copy(update={"model": smaller_spec})


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
