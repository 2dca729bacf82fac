"""Pruned models: the channels that matter stay, and the smaller model is what its specification says."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from drivable.config.models import LiteSpec
from drivable.errors import CheckpointError, ConfigError
from drivable.models import build_model
from drivable.models.cost import model_cost
from drivable.models.pretrained import load_backbone_weights
from drivable.models.pruning import prune_hidden


def _model(spec: LiteSpec) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(spec, 3).eval()


def test_channels_without_weights_go_first_and_nothing_changes() -> None:
    spec = LiteSpec()
    model = _model(spec)
    with torch.no_grad():
        for stage in list(model.backbone.stages)[1:]:  # type: ignore[arg-type]
            for block in stage:
                silent = torch.arange(0, block.project.conv.in_channels, 3)
                block.expand.conv.weight[silent] = 0
                block.depthwise.conv.weight[silent] = 0
                block.project.conv.weight[:, silent] = 0
    smaller, smaller_spec = prune_hidden(model, spec, 0.3)
    assert smaller_spec.hidden_channels is not None
    assert all(width % 8 == 0 for width in smaller_spec.hidden_channels)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(smaller(images), model(images), rtol=1e-4, atol=1e-5)
    assert model_cost(smaller).gmacs < 0.9 * model_cost(model).gmacs


def test_a_narrower_backbone_takes_the_published_channels_that_matter(tmp_path: Path) -> None:
    published = _model(LiteSpec()).backbone
    assert isinstance(published, torch.nn.Module)
    widths = []
    with torch.no_grad():
        for block in (block for stage in list(published.stages)[1:] for block in stage):  # type: ignore[arg-type]
            num = block.project.conv.in_channels
            kept = torch.randperm(num, generator=torch.Generator().manual_seed(num))[: num // 2 // 8 * 8]
            silent = torch.ones(num, dtype=torch.bool)
            silent[kept] = False
            block.expand.conv.weight[silent] = 0
            block.depthwise.conv.weight[silent] = 0
            block.project.conv.weight[:, silent] = 0
            widths.append(len(kept))
    save_file(published.state_dict(), tmp_path / "published.safetensors")
    narrow = _model(LiteSpec(hidden_channels=tuple(widths))).backbone
    assert isinstance(narrow, torch.nn.Module)
    load_backbone_weights(narrow, "lite0", str(tmp_path / "published.safetensors"))
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for ours, theirs in zip(narrow(images), published(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    wide = _model(LiteSpec(hidden_channels=(104, *widths[1:]))).backbone
    with pytest.raises(CheckpointError, match="does not fit lite0"):
        load_backbone_weights(wide, "lite0", str(tmp_path / "published.safetensors"))  # type: ignore[arg-type]


def test_the_specification_rebuilds_it_and_it_can_be_pruned_again() -> None:
    smaller, spec = prune_hidden(_model(LiteSpec()), LiteSpec(), 0.5)
    rebuilt = build_model(LiteSpec.model_validate(spec.model_dump(mode="json")), 3)
    rebuilt.load_state_dict(smaller.state_dict())
    _, again = prune_hidden(smaller, spec, 0.5)
    assert sum(again.hidden_channels or ()) < sum(spec.hidden_channels or ())


def test_every_block_keeps_a_quarter() -> None:
    _, spec = prune_hidden(_model(LiteSpec()), LiteSpec(), 0.99)
    assert spec.hidden_channels is not None
    assert spec.hidden_channels[0] >= 24
    assert spec.hidden_channels[-1] >= 288


def test_widths_must_be_one_for_each_block() -> None:
    with pytest.raises(ConfigError, match="15 expanding blocks, got 2 numbers"):
        build_model(LiteSpec(hidden_channels=(8, 8)), 3)
