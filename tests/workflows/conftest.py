"""A command to run, and a model to run it with, that many workflows share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from drivable.checkpoint import Checkpoint, Preprocessing
from drivable.cli.main import main
from drivable.config.models import ModelSpec
from drivable.export import LabelledPictures, rendered_pictures
from drivable.labels import BDD100K_DRIVABLE
from drivable.models import build_model

Run = Callable[..., tuple[int, str, str]]
Untrained = Callable[[ModelSpec, tuple[int, int]], Checkpoint]
SMALL = [
    "--set", "model.pretrained=null", "--set", "data.size=[64, 96]", "--set", "data.num_workers=0",
    "--set", "training.epochs=1", "--set", "training.accelerator=cpu",
]  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["drivable", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture(scope="module")
def trained(rendered_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    sys.argv = ["drivable", "train", "lite", "--data", str(rendered_data), "--out", str(folder), *SMALL]
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return folder


@pytest.fixture(scope="session")
def pictures() -> LabelledPictures:
    """Rendered roads to calibrate an export with and to check it on. Not to be changed."""
    return rendered_pictures()


@pytest.fixture
def untrained() -> Untrained:
    """Make a checkpoint of random weights, the same each time, for pictures of a size."""

    def make(spec: ModelSpec, size: tuple[int, int]) -> Checkpoint:
        torch.manual_seed(0)
        model = build_model(spec, 3)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
        return Checkpoint(model.state_dict(), spec, BDD100K_DRIVABLE, Preprocessing(size, spec.published_normalization))

    return make
