"""What a model costs: parameters, weights and multiply-accumulates."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from drivable.config.models import ModelSpec
from drivable.models import build_model


@dataclass(frozen=True)
class ModelCost:
    """Cost of one model.

    Args:
        num_parameters: trainable numbers, an auxiliary head's included.
        weights_mib: parameters and statistics in float32, in MiB.
        gmacs: multiply-accumulates of segmenting one picture, in 1e9: convolutions, linear layers and attention.
    """

    num_parameters: int
    weights_mib: float
    gmacs: float


def model_cost(model: nn.Module | ModelSpec, size: tuple[int, int] = (360, 640), num_classes: int = 3) -> ModelCost:
    """Count a model's cost without computing anything: only shapes go through it.

    Args:
        model: an architecture's specification, or a model, such as a pruned one; it is left as it is.
        size: (height, width) of the picture.
        num_classes: K; used only with a specification.

    Returns:
        The cost, the same in training and evaluation mode: an auxiliary head has weights but is not run.

    Example:
        >>> round(model_cost(default_spec("unet")).weights_mib)
        118
    """
    with torch.device("meta"):
        image = torch.empty(1, 3, *size)
        shapes = deepcopy(model).to("meta") if isinstance(model, nn.Module) else build_model(model, num_classes)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes.eval()(image)
    return ModelCost(
        num_parameters=sum(parameter.numel() for parameter in shapes.parameters()),
        weights_mib=sum(tensor.numel() * 4 for tensor in shapes.state_dict().values()) / 2**20,
        gmacs=counter.get_total_flops() / 2e9,
    )
