"""Going on from a trained model's weights."""

from __future__ import annotations

import logging

from drivable.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from drivable.config import Recipe
from drivable.config.models import LiteSpec
from drivable.errors import CheckpointError
from drivable.models import SegmentationModel, build_model, load_pretrained
from drivable.models.finite import misfit, require_finite
from drivable.models.pruning import prune_hidden

_log = logging.getLogger(__name__)


def starting_model(recipe: Recipe, num_classes: int) -> tuple[SegmentationModel, Recipe]:
    """The model that a training begins with, and the recipe with the widths it then has.

    Where the recipe starts from a trained lite and gives no widths, it takes that one's; ``training.pruning``
    then removes a share of them.

    Raises:
        CheckpointError: where the model to start from is missing, damaged or of another architecture.
        ConfigError: where pretrained weights are not to be had.

    Example:
        >>> model, recipe = starting_model(load_recipe("drivable-lite-pruned"), 3)
    """
    if recipe.training.init_from is None:
        model = build_model(recipe.model, num_classes, recipe.normalization)
        load_pretrained(model, recipe.model)
        return model, recipe
    checkpoint = load_checkpoint(find_checkpoint(recipe.training.init_from))
    spec, pruning = recipe.model, recipe.training.pruning
    # The recipe of a pruned run holds what was left of it; run again, it starts from the widths of before.
    if isinstance(spec, LiteSpec) and (spec.hidden_channels is None or pruning is not None):
        spec = spec.model_copy(update={"hidden_channels": getattr(checkpoint.spec, "hidden_channels", None)})
    model = build_model(spec, num_classes, recipe.normalization)
    init_from(model, checkpoint)
    if pruning is not None:
        assert isinstance(spec, LiteSpec)
        model, spec = prune_hidden(model, spec, pruning.share)
    return model, recipe.model_copy(update={"model": spec})


def init_from(model: SegmentationModel, checkpoint: Checkpoint) -> None:
    """Give a model a trained model's weights; its last layer stays as it is where that has other classes.

    Args:
        model: of the checkpoint's architecture; changed in place, or on an error not at all.
        checkpoint: whose weights to take.

    Raises:
        CheckpointError: where the architectures differ, or weights are no numbers in the model's precision.

    Example:
        >>> init_from(build_model(LiteSpec(), 2), load_checkpoint(find_checkpoint("drivable-lite")))
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
    weights = {name: tensor for name, tensor in checkpoint.weights.items() if name in own}
    different = sorted(
        (own.keys() ^ checkpoint.weights.keys())
        | {name for name in weights if name not in anew and misfit(name, weights[name], own[name])}
    )
    if different:
        raise CheckpointError(
            f"{checkpoint.where}: a {checkpoint.spec.name} that differs from the recipe's model in "
            f"{', '.join(different[:3])} ({len(different)} weights in all); set model to what it was trained with"
        )
    weights = {name: tensor.to(own[name].dtype) for name, tensor in weights.items()}
    require_finite(weights, checkpoint.labels, checkpoint.where)
    if anew:
        _log.warning("other classes than in %s: %s start anew", checkpoint.where, ", ".join(anew))
    model.load_state_dict({name: own[name] if name in anew else tensor for name, tensor in weights.items()})
