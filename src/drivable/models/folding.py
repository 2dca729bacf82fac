"""Make a trained network cheaper to run without changing what it computes."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from drivable.models.backbones.efficientnet_lite import SameConv
from drivable.models.segformer import AllMLPDecoder

_Model = TypeVar("_Model", bound=nn.Module)


def fold(model: _Model) -> _Model:
    """Fold what follows each other and is linear: convolutions and batch normalisations, SegFormer's linear layers.

    Args:
        model: in evaluation mode; changed in place.

    Returns:
        The same model.

    Raises:
        ValueError: where a SegFormer was folded before.

    Example:
        >>> model = fold(build_model(SegFormerSpec(name="segformer_b3"), 3).eval())
    """
    fold_batch_norm(model)
    for module in list(model.modules()):
        if isinstance(module, AllMLPDecoder):
            module.fold()
    return model


def fold_batch_norm(model: _Model) -> _Model:
    """Fold every batch normalisation into the convolution before it.

    In evaluation mode it scales and shifts each channel by constants, which the convolution's weights and bias can do.
    Which belong together is told by the order of registration: a batch normalisation that follows a convolution of as
    many channels in the same module. All models of this package are written so; ``tests/contracts`` proves it of each.

    Args:
        model: in evaluation mode; changed in place.

    Returns:
        The same model, with :class:`torch.nn.Identity` where a batch normalisation was.

    Example:
        >>> fold_batch_norm(nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).eval())[1]
        Identity()
    """
    with torch.no_grad():
        for module in list(model.modules()):
            for (name, conv), (next_name, norm) in pairwise(list(module.named_children())):
                if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
                    continue
                if conv.out_channels == norm.num_features:
                    setattr(module, name, fuse_conv_bn_eval(conv, norm))
                    setattr(module, next_name, nn.Identity())
    return model


def fold_padding(model: _Model) -> _Model:
    """Let every convolution pad its own input, TensorFlow's one-sided padding included.

    Torch pads both sides alike or not at all, and a padded copy of EfficientNet's largest map takes a sixth of the time
    of the whole network. For torch alone: other runtimes pad one side as they are told.

    Args:
        model: in evaluation mode; changed in place.

    Returns:
        The same model.

    Example:
        >>> model = fold_padding(build_model(LiteSpec(), 3).eval())
    """
    for module in model.modules():
        if isinstance(module, SameConv):
            module.pad_evenly()
    return model
