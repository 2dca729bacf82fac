"""Files for other runtimes that are hostile or hold what is no number: refused, and never drivable."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from drivable.errors import CheckpointError
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.segmenter import OnnxSegmenter, OpenVINOSegmenter
from drivable.segmenter.description import KEY, ExportDescription

NAN = float("nan")
IMAGE = np.zeros((4, 5, 3), dtype=np.uint8)


def about(outputs: str = "ids", labels: LabelSet = BDD100K_DRIVABLE) -> str:
    return ExportDescription(labels, {"name": "lite"}, "none", "fp32", (64, 96), outputs, "exact").to_json()


def small(values: object, text: str, outputs: str = "ids") -> onnx.ModelProto:
    """Pixels times a constant: ids, or three planes of them as probabilities."""
    constant = numpy_helper.from_array(np.asarray(values, dtype=np.float32), "constant")
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "constant"], ["product"]),
    ]
    if outputs == "ids":
        axis = numpy_helper.from_array(np.array([3]), "axis")
        nodes += [
            helper.make_node("ReduceSum", ["product", "axis"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["sum"], ["out"], to=TensorProto.UINT8),
        ]
        out = helper.make_tensor_value_info("out", TensorProto.UINT8, ["n", "h", "w"])
        extra = [axis]
    else:
        nodes.append(helper.make_node("Transpose", ["product"], ["out"], perm=[0, 3, 1, 2]))
        out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3, "h", "w"])
        extra = []
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])
    graph = helper.make_graph(nodes, "small", [images], [out], [constant, *extra])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {KEY: text})
    return model


def as_openvino(model: onnx.ModelProto, path: Path, text: str) -> Path:
    onnx.save(model, path.with_suffix(".onnx"))
    graph = openvino.convert_model(path.with_suffix(".onnx"))
    graph.set_rt_info(text, KEY)
    openvino.save_model(graph, path, compress_to_fp16=False)
    return path


@pytest.mark.parametrize("value", [NAN, float("inf")])
@pytest.mark.parametrize("labels", [BDD100K_DRIVABLE, LabelSet(("a", "b"), ((0, 0, 0), (1, 1, 1)))])
def test_constants_that_are_no_numbers_are_refused(tmp_path: Path, value: float, labels: LabelSet) -> None:
    text = about(labels=labels)
    model = small([1, value, 1], text)
    onnx.save(model, tmp_path / "small.onnx")
    told = "holds NaN or infinity" + ("" if labels.background else ".*no background to fall back on")
    with pytest.raises(CheckpointError, match=f"constant {told}"):
        OnnxSegmenter(tmp_path / "small.onnx", "cpu")
    as_openvino(model, tmp_path / "small.xml", text)
    with pytest.raises(CheckpointError, match=told):
        OpenVINOSegmenter(tmp_path / "small.xml", "cpu")


def test_probabilities_that_are_no_numbers_are_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivable.segmenter.onnx_segmenter.require_finite_onnx", lambda *_: None)
    for values in ([NAN, 1, 0], [1, NAN, 0], [1, 1, NAN], [NAN, NAN, NAN]):
        onnx.save(small(values, about("probabilities"), "probabilities"), tmp_path / "small.onnx")
        assert (OnnxSegmenter(tmp_path / "small.onnx", "cpu").segment(IMAGE + 1) == 2).all()
    onnx.save(small([1, 0, 0], about("probabilities"), "probabilities"), tmp_path / "small.onnx")
    assert (OnnxSegmenter(tmp_path / "small.onnx", "cpu").segment(IMAGE + 1) == 0).all()


def test_ids_that_are_no_class_are_refused(tmp_path: Path) -> None:
    onnx.save(small([1, 1, 1], about()), tmp_path / "small.onnx")
    segmenter = OnnxSegmenter(tmp_path / "small.onnx", "cpu")
    assert (segmenter.segment(IMAGE) == 0).all()
    with pytest.raises(CheckpointError, match="gives ids of 6 to 6"):
        segmenter.segment(IMAGE + 2)


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def of_another_domain(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)
    model.graph.node[0].domain = "com.microsoft"


@pytest.mark.parametrize(
    ("change", "message"), [(outside, "lies in another file|in another file"), (of_another_domain, "com.microsoft")]
)
def test_onnx_reads_nothing_else(tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str) -> None:
    model = small([0, 0, 0], about())
    change(model)
    (tmp_path / "small.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        OnnxSegmenter(tmp_path / "small.onnx", "cpu")


@pytest.mark.parametrize("name", ["small.onnx", "small.xml", "small.bin"])
def test_only_regular_files_are_read(tmp_path: Path, name: str) -> None:
    as_openvino(small([0, 0, 0], about()), tmp_path / "small.xml", about())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    kind = OnnxSegmenter if name == "small.onnx" else OpenVINOSegmenter
    with pytest.raises(CheckpointError, match="not a regular file"):
        kind(tmp_path / ("small.xml" if name == "small.bin" else name), "cpu")


HOSTILE: dict[str, Callable[[str], str]] = {
    "document type": lambda text: text.replace(
        "<net", '<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]><net', 1
    ),
    "deep": lambda text: text.replace("<rt_info>", "<rt_info>" + "<a>" * 100_000 + "</a>" * 100_000, 1),
    "beyond the file": lambda text: re.sub(r'size="12"', 'size="120000000000"', text),
    "negative": lambda text: re.sub(r'offset="\d+"', 'offset="-4"', text),
    "huge": lambda text: re.sub(r'(<data [^>]*)shape="[^"]*"', r'\1shape="1000000000000"', text),
    "no number": lambda text: text.replace("<data ", '<data min="nan" ', 1),
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_openvino_text_that_is_hostile(tmp_path: Path, attack: str) -> None:
    path = as_openvino(small([0, 0, 0], about()), tmp_path / "small.xml", about())
    before = path.read_text()
    path.write_text(HOSTILE[attack](before))
    assert path.read_text() != before
    # In a process of its own: what is not refused may end it.
    code = f"from pathlib import Path; from drivable.segmenter import load; load(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "drivable.errors.CheckpointError: " in done.stderr
