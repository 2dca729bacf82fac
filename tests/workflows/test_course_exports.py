"""The course's architectures exported."""

from collections.abc import Callable
from pathlib import Path

import pytest

from drivable.checkpoint import Checkpoint
from drivable.config.models import ModelSpec
from drivable.export import SUFFIXES, ExportSettings, LabelledPictures, export_model
from drivable.models import default_spec

Untrained = Callable[[ModelSpec, tuple[int, int]], Checkpoint]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ["fcn", "unet", "pspnet", "deeplabv3plus", "segformer_b3"])
def test_the_course_models(
    name: str, target: str, pictures: LabelledPictures, untrained: Untrained, tmp_path: Path
) -> None:
    checkpoint = untrained(default_spec(name), (360, 640))
    settings = ExportSettings(target, "fp32", (360, 640))  # type: ignore[arg-type]
    about = export_model(checkpoint, tmp_path / f"model{SUFFIXES[target]}", settings, pictures)
    assert about.parity["passed"] is True
    assert min(about.parity["agreement"].values()) >= 0.999


@pytest.mark.slow
def test_a_course_model_at_its_pictures_own_size(
    pictures: LabelledPictures, untrained: Untrained, tmp_path: Path
) -> None:
    checkpoint = untrained(default_spec("segformer_b0"), (180, 320))
    about = export_model(checkpoint, tmp_path / "model.onnx", ExportSettings("onnx", "fp32", None), pictures)
    assert about.parity["passed"] is True
