"""What int8 leaves in float."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from drivable.checkpoint import Checkpoint
from drivable.config.models import ModelSpec, UNetSpec
from drivable.export import SUFFIXES, ExportSettings, LabelledPictures, export_model, onnx_file, openvino_file
from drivable.models import default_spec
from drivable.optional import need
from drivable.segmenter import TorchSegmenter
from drivable.segmenter.openvino import openvino_core

SIZE = (96, 160)
Untrained = Callable[[ModelSpec, tuple[int, int]], Checkpoint]


@pytest.mark.slow
def test_what_loses_too_much_in_int8_keeps_its_sensitive_layers_in_float(
    pictures: LabelledPictures, untrained: Untrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of few layers: each is tried by itself.
    checkpoint = untrained(UNetSpec(widths=(8, 8, 8, 8, 8)), SIZE)
    in_float = TorchSegmenter(checkpoint, "cpu")
    # What float answers is taken for the truth, so that int8 cannot be better.
    check = [(image, in_float.segment(image)) for image, _ in pictures.check[:4]]
    assert all(np.unique(ids).size > 1 for _, ids in check)
    few = replace(pictures, train=pictures.train[:4], check=check)
    # The first try is said to have lost too much, whatever it lost.
    verdicts = iter([True, True])
    monkeypatch.setattr("drivable.export.export._loses_too_much", lambda _: next(verdicts, False))
    monkeypatch.setattr("drivable.export.conversion.MOST_LOSS", 0.02)
    out = tmp_path / "unet.onnx"
    kept = export_model(checkpoint, out, ExportSettings("onnx", "int8", SIZE, force=True), few).parity["kept in float"]
    assert kept
    graph = need("onnx", "this test").load(out).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = {node.name: node.input[1] for node in graph.node if node.op_type in ("Conv", "MatMul", "Gemm")}
    assert not dequantized & {weights[layer] for layer in kept}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_depthwise_convolutions_of_transformers_stay_in_float(
    target: str, pictures: LabelledPictures, untrained: Untrained, tmp_path: Path
) -> None:
    out = tmp_path / f"b0{SUFFIXES[target]}"
    settings = ExportSettings(target, "int8", (64, 96), force=True)  # type: ignore[arg-type]
    export_model(untrained(default_spec("segformer_b0"), (64, 96)), out, settings, pictures)
    if target == "openvino":
        source = openvino_file.quantizable(openvino_core().read_model(out))
    else:
        source = onnx_file.quantizable(need("onnx", "this test").load(out))
    in_int8 = source.layers(source.graph)
    assert len(source.depthwise) == 8  # One a block.
    assert in_int8
    assert not in_int8 & set(source.depthwise)
