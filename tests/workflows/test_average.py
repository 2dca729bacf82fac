"""The average of several runs' weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from drivable.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint
from drivable.cli.main import app
from drivable.errors import CheckpointError, ConfigError
from drivable.labels import LabelSet
from drivable.training import average


def test_the_average_of_runs(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    other = replace(checkpoint, weights={name: tensor.float() * 3 for name, tensor in checkpoint.weights.items()})
    save_checkpoint(tmp_path / "other.safetensors", other)
    out = tmp_path / "average.safetensors"
    command = ["average", "drivable-lite", str(tmp_path / "other.safetensors"), "--out", str(out)]
    assert CliRunner().invoke(app, command).exit_code == 0
    averaged = load_checkpoint(out)
    assert averaged.calibration is None
    name = "backbone.stem.conv.weight"
    torch.testing.assert_close(averaged.weights[name], checkpoint.weights[name].float() * 2)
    averaged.build()


def test_an_average_is_no_infinity_and_fits_its_model() -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    name = "decoder.classify.bias"

    def changed(**weights: torch.Tensor) -> Checkpoint:
        return replace(checkpoint, weights={**checkpoint.weights, **weights})

    large = changed(**{name: torch.full((3,), 3e38)})
    assert torch.equal(average([large, large]).weights[name], large.weights[name])
    for faulty, said in (
        (changed(unknown=torch.zeros(1)), "unknown unknown"),
        (changed(**{name: torch.zeros(4)}), r"classify.bias is \(4,\), expected \(3,\)"),
        (changed(**{name: torch.zeros(3, dtype=torch.complex64)}), "classify.bias is complex64"),
        (changed(**{name: torch.full((3,), 1e300, dtype=torch.float64)}), "classify.bias holds NaN or infinity"),
    ):
        with pytest.raises(CheckpointError, match=said):
            average([faulty, faulty])


def test_what_has_no_average() -> None:
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    with pytest.raises(ConfigError, match="two models or more"):
        average([checkpoint])
    road = replace(checkpoint, labels=LabelSet(("road", "kerb", "rest"), ((0, 0, 0), (1, 1, 1), (2, 2, 2))))
    with pytest.raises(CheckpointError, match="have no average"):
        average([checkpoint, road])
