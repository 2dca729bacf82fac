"""Cost figures, against counts made by hand."""

import pytest
import torch
from torch import nn

from drivable.config.models import LiteSpec, UNetSpec
from drivable.models import build_model, default_spec
from drivable.models.cost import model_cost
from drivable.models.folding import fold


def test_a_single_convolution_by_hand() -> None:
    cost = model_cost(nn.Conv2d(3, 8, 3, padding=1), size=(10, 20))
    assert cost.num_parameters == 8 * 3 * 9 + 8
    assert cost.weights_mib == (8 * 3 * 9 + 8) * 4 / 2**20
    assert cost.gmacs == pytest.approx(10 * 20 * 8 * 3 * 9 / 1e9)


def test_statistics_weigh_but_are_not_parameters() -> None:
    cost = model_cost(nn.BatchNorm2d(3), size=(4, 4))
    assert cost.num_parameters == 2 * 3
    # Weight, bias, mean and variance, and the counter of batches.
    assert cost.weights_mib == (4 * 3 + 1) * 4 / 2**20


def test_attention_is_counted() -> None:
    """MiT-B0's attention at 64x64: two products of (L, d) with (L', d) a head, 2 L L' C in all for each block."""
    tokens = [16 * 16, 8 * 8, 4 * 4, 2 * 2]
    reduced = [count // reduction**2 for count, reduction in zip(tokens, (8, 4, 2, 1), strict=True)]
    attention = sum(
        2 * 2 * count * few * width for count, few, width in zip(tokens, reduced, (32, 64, 160, 256), strict=True)
    )
    model = build_model(default_spec("segformer_b0"), 3).eval()
    layers = 0

    def count_layer(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal layers
        if isinstance(module, nn.Conv2d):
            layers += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            layers += output[0].numel() * module.in_features

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count_layer)
    with torch.inference_mode():
        model(torch.rand(1, 3, 64, 64))
    assert model_cost(default_spec("segformer_b0"), (64, 64)).gmacs * 1e9 == pytest.approx(layers + attention)


def test_a_model_costs_what_its_specification_says_and_stays_as_it_is() -> None:
    spec = LiteSpec()
    model = build_model(spec, 3).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model_cost(model, (64, 96)) == model_cost(spec, (64, 96), 3)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_folded_segformer_costs_half() -> None:
    model = build_model(default_spec("segformer_b0"), 3).eval()
    before = model_cost(model).gmacs
    # What fuses 4 x 256 channels at stride 4 of 384x640 goes; the layers before it stay as large as they were.
    assert before - model_cost(fold(model)).gmacs == pytest.approx(96 * 160 * 4 * 256 * 256 / 1e9)
    assert model_cost(model).gmacs < before / 2
    with pytest.raises(ValueError, match="once"):
        fold(model)


def test_odd_sizes_cost_their_padded_size() -> None:
    spec = UNetSpec(widths=(4, 8, 8, 8, 8))
    assert model_cost(spec, (61, 95)) == model_cost(spec, (64, 96))


def test_classes_count() -> None:
    three, nineteen = model_cost(LiteSpec(), (64, 64), 3), model_cost(LiteSpec(), (64, 64), 19)
    assert nineteen.num_parameters - three.num_parameters == 16 * (LiteSpec().decoder_channels + 1)


def test_the_small_model_is_small() -> None:
    cost = model_cost(LiteSpec())
    assert cost.num_parameters < 5e6
    assert cost.gmacs < 2.5
