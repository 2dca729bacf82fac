"""What a model costs: parameters, weights and multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from drivable.config.models import ModelSpec
from drivable.models import build_model


@dataclass(frozen=True)
class ModelCost:
    """Cost of one architecture.

    Args:
        num_parameters: trainable numbers, an auxiliary head's included.
        weights_mib: parameters and statistics in float32, in MiB.
        gmacs: multiply-accumulates of segmenting one picture, in 1e9.
    """

    num_parameters: int
    weights_mib: float
    gmacs: float


def model_cost(spec: ModelSpec, size: tuple[int, int], num_classes: int = 3) -> ModelCost:
    """Count an architecture's cost without allocating it.

    Args:
        spec: the architecture.
        size: (height, width) of the picture.
        num_classes: K.

    Example:
        >>> round(model_cost(default_spec("unet"), (360, 640)).weights_mib)
        118
    """
    with torch.device("meta"):
        model = build_model(spec, num_classes).eval()
        image = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return ModelCost(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        weights_mib=sum(tensor.numel() * 4 for tensor in model.state_dict().values()) / 2**20,
        gmacs=counter.get_total_flops() / 2e9,
    )
