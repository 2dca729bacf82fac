"""Structured pruning: a smaller model of the same shape, from the channels that matter most."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from drivable.config.models import LiteSpec
from drivable.models.lite import build_lite
from drivable.models.segmentation_model import SegmentationModel

# Vector units want whole groups, and a block must not fall silent.
_GROUP = 8
_LEAST_SHARE = 0.25


def prune_hidden(model: SegmentationModel, spec: LiteSpec, share: float) -> tuple[SegmentationModel, LiteSpec]:
    """Remove hidden channels of the backbone's expanding blocks: most of the arithmetic, and nothing else needs them.

    A channel's importance is the norm of all weights that would go with it (after Fang et al. 2023, "DepGraph"): its
    row of the expansion and its depthwise kernel, each times the scale of the normalisation behind it, and its column
    of the projection. Importances are divided by their block's mean and compared over all blocks. What is left of a
    block is a multiple of 8, and a quarter at least.

    Args:
        model: trained; left as it is.
        spec: of that model.
        share: of all hidden channels to remove, between 0 and 1.

    Returns:
        The smaller model, to be trained further, and its specification.

    Example:
        >>> smaller, spec = prune_hidden(model, LiteSpec(), 0.3)
    """
    weights = model.state_dict()
    blocks = _blocks(weights)
    importances = [_importance(weights, block) for block in blocks]
    relative = torch.cat([importance / importance.mean() for importance in importances])
    largest_removed = relative.sort().values[max(0, int(share * len(relative)) - 1)]
    left = dict(weights)
    widths = []
    for block, importance in zip(blocks, importances, strict=True):
        num_wanted = int((importance / importance.mean() > largest_removed).sum())
        least = max(_GROUP, int(_LEAST_SHARE * len(importance)))
        width = min(len(importance), -(-max(num_wanted, least) // _GROUP) * _GROUP)
        widths.append(width)
        left |= _left_of(weights, block, importance, width)
    smaller_spec = spec.model_copy(update={"hidden_channels": tuple(widths)})
    normalization = type(spec).published_normalization
    smaller = build_lite(smaller_spec, int(weights["decoder.classify.weight"].shape[0]), normalization)
    smaller.mean, smaller.std = model.mean.clone(), model.std.clone()
    smaller.load_state_dict(left)
    return smaller.train(model.training), smaller_spec


def narrowed(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights for a backbone whose blocks are narrower: of each, the hidden channels that matter most.

    Args:
        weights: of an EfficientNet-Lite, by our names; left as they are.
        own: the backbone's weights, whose widths are wanted.

    Returns:
        The weights; those of blocks that are as wide, or less, are as they were.

    Example:
        >>> backbone.load_state_dict(narrowed(published, backbone.state_dict()))
    """
    left = dict(weights)
    for block in _blocks(own):
        width = len(own[f"{block}.expand.conv.weight"])
        if f"{block}.expand.conv.weight" in weights and len(weights[f"{block}.expand.conv.weight"]) > width:
            left |= _left_of(weights, block, _importance(weights, block), width)
    return left


def _blocks(weights: Mapping[str, Tensor]) -> list[str]:
    return [name.removesuffix(".expand.conv.weight") for name in weights if name.endswith(".expand.conv.weight")]


def _left_of(weights: Mapping[str, Tensor], block: str, importance: Tensor, width: int) -> dict[str, Tensor]:
    """What a block's weights are with its most important hidden channels alone."""
    kept = importance.topk(width).indices.sort().values
    left = {
        name: tensor[kept]
        for name, tensor in weights.items()
        if name.startswith((f"{block}.expand.", f"{block}.depthwise.")) and tensor.ndim > 0
    }
    left[f"{block}.project.conv.weight"] = weights[f"{block}.project.conv.weight"][:, kept]
    return left


def _importance(weights: Mapping[str, Tensor], block: str) -> Tensor:
    """(hidden channels,)."""
    squares = torch.zeros_like(weights[f"{block}.expand.bn.weight"])
    for layer in ("expand", "depthwise"):
        scaled = weights[f"{block}.{layer}.conv.weight"].flatten(1) * _scale(weights, f"{block}.{layer}.bn").unsqueeze(
            1
        )
        squares = squares + scaled.square().sum(dim=1)
    return (squares + weights[f"{block}.project.conv.weight"].flatten(1).square().sum(dim=0)).sqrt()


def _scale(weights: Mapping[str, Tensor], norm: str) -> Tensor:
    return weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + 1e-3).sqrt()
