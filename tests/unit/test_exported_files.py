"""Files for other runtimes that are hostile or hold what is no number: refused, and never drivable."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from drivable.errors import CheckpointError
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.optional import first_line
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
    monkeypatch.setattr("drivable.segmenter.onnx.require_finite_onnx", lambda *_: None)
    for values in ([NAN, 1, 0], [1, NAN, 0], [1, 1, NAN], [NAN, NAN, NAN]):
        onnx.save(small(values, about("probabilities"), "probabilities"), tmp_path / "small.onnx")
        assert (OnnxSegmenter(tmp_path / "small.onnx", "cpu").segment(IMAGE + 1) == 2).all()
    onnx.save(small([1, 0, 0], about("probabilities"), "probabilities"), tmp_path / "small.onnx")
    assert (OnnxSegmenter(tmp_path / "small.onnx", "cpu").segment(IMAGE + 1) == 0).all()


def test_without_a_background_probabilities_that_are_no_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivable.segmenter.onnx.require_finite_onnx", lambda *_: None)
    labels = LabelSet(("a", "b", "c"), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))
    onnx.save(small([1, NAN, 0], about("probabilities", labels), "probabilities"), tmp_path / "small.onnx")
    segmenter = OnnxSegmenter(tmp_path / "small.onnx", "cpu")
    for answer in (segmenter.segment, segmenter.probabilities):
        with pytest.raises(CheckpointError, match="no numbers, and its classes have no background"):
            answer(IMAGE + 1)


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


def appended(model: onnx.ModelProto, *nodes: onnx.NodeProto) -> None:
    """Put nodes before the others; the last gives "more", which is added to the ids."""
    *rest, cast = model.graph.node
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest, helper.make_node("Add", ["sum", "more"], ["all"]), cast])
    model.graph.node[-1].input[0] = "all"


def sparse(value: float, is_outside: bool = False) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.array([value], dtype=np.float32), "more")
    if is_outside:
        values.ClearField("raw_data")
        values.data_location = TensorProto.EXTERNAL
        values.external_data.add(key="location", value="secret.bin")
    indices = numpy_helper.from_array(np.array([0]), "indices")
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[1])


def sparse_constant(model: onnx.ModelProto) -> None:
    appended(model, helper.make_node("Constant", [], ["more"], sparse_value=sparse(NAN)))


def sparse_constant_outside(model: onnx.ModelProto) -> None:
    appended(model, helper.make_node("Constant", [], ["more"], sparse_value=sparse(1, is_outside=True)))


def sparse_weights(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(sparse(NAN))
    appended(model)


def branch(model: onnx.ModelProto) -> None:
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1])
    nodes = [helper.make_node("Identity", ["more"], ["inner"])]
    body = helper.make_graph(nodes, "body", [], [out], sparse_initializer=[sparse(NAN)])
    condition = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
    appended(model, condition, helper.make_node("If", ["yes"], ["more"], then_branch=body, else_branch=body))


def hidden_graph(model: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", body))


def random_numbers(model: onnx.ModelProto) -> None:
    appended(model, helper.make_node("RandomNormal", [], ["more"], shape=[1]))


def text(model: onnx.ModelProto) -> None:
    words = helper.make_node("Constant", [], ["words"], value_string="NaN")
    appended(model, words, helper.make_node("Cast", ["words"], ["more"], to=TensorProto.FLOAT))


def text_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"NaN"]))
    appended(model, helper.make_node("Cast", ["words"], ["more"], to=TensorProto.FLOAT))


def cast_to_text(model: onnx.ModelProto) -> None:
    to_text = helper.make_node("Cast", ["constant"], ["words"], to=TensorProto.STRING)
    appended(model, to_text, helper.make_node("Cast", ["words"], ["more"], to=TensorProto.FLOAT))


def training(model: onnx.ModelProto) -> None:
    model.training_info.add()


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("", "Own", ["a"], ["a"], [], [helper.make_opsetid("", 18)]))


def many(model: onnx.ModelProto) -> None:
    appended(
        model,
        helper.make_node("Constant", [], ["sides"], value_ints=[60_000, 60_000]),
        helper.make_node("ConstantOfShape", ["sides"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["more"], keepdims=0),
    )
    # A file may lie about sizes.
    model.graph.value_info.append(helper.make_tensor_value_info("many", TensorProto.FLOAT, [1, 1]))


def many_by_product(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((30_000, 1), np.float32), "column"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 30_000), np.float32), "row"))
    appended(
        model,
        helper.make_node("Add", ["column", "row"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["more"], keepdims=0),
    )


def many_out_of_order(model: onnx.ModelProto) -> None:
    many(model)
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (sparse_constant, "Constant sparse_value, which no export"),
        (sparse_constant_outside, "Constant sparse_value, which no export"),
        (sparse_weights, "sparse weights more"),
        (branch, "operators If"),
        (hidden_graph, "Cast body"),
        (random_numbers, "operators RandomNormal"),
        (text, "Constant value_string"),
        (text_weights, "text as weights of words"),
        (cast_to_text, "Cast to"),
        (training, "a graph for training"),
        (function, "a function Own"),
        (many, "ConstantOfShape makes more than the limit of 480000000 values; DRIVABLE_MAX_PIXELS"),
        (many_by_product, "Add makes more than"),
        (many_out_of_order, "before they are computed"),
    ],
)
def test_onnx_holds_plain_arithmetic_alone(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    model = small([0, 0, 0], about())
    change(model)
    (tmp_path / "small.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=message):
        OnnxSegmenter(tmp_path / "small.onnx", "cpu")


def with_branch(more: Any) -> Any:
    operators = openvino.opset13
    bodies = []
    for _ in range(2):
        inside = operators.parameter([-1, -1, -1], np.float32)
        result = operators.result(operators.multiply(inside, operators.constant(np.array([NAN], np.float32))))
        bodies.append((openvino.Model([result], [inside], "body"), inside, result))
    (one, one_in, one_out), (other, other_in, other_out) = bodies
    node = operators.if_op(operators.constant(True))
    node.set_then_body(one)
    node.set_else_body(other)
    node.set_input(more.output(0), one_in, other_in)
    node.set_output(one_out, other_out)
    return node


def with_many(more: Any) -> Any:
    operators = openvino.opset13
    wide = operators.broadcast(operators.constant(np.float32(0)), operators.constant([60_000, 60_000], np.int64))
    return operators.add(more, operators.reduce_max(wide, operators.constant([0, 1], np.int64)))


def with_random_numbers(more: Any) -> Any:
    operators = openvino.opset13
    drawn = operators.random_uniform(
        operators.constant([1, 1, 1], np.int64),
        operators.constant(np.float32(0)),
        operators.constant(np.float32(1)),
        "f32",
    )
    return operators.add(more, drawn)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_branch, "layers If, which no export of this tool has"),
        (with_random_numbers, "layers RandomUniform"),
        (with_many, "Broadcast makes more than the limit of 480000000 values; DRIVABLE_MAX_PIXELS"),
    ],
)
def test_openvino_holds_plain_arithmetic_alone(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    path = as_openvino(small([0, 0, 0], about()), tmp_path / "small.xml", about())
    graph = openvino.Core().read_model(path)
    result = graph.get_results()[0]
    changed = change(openvino.opset13.convert(result.input_value(0), "f32"))
    result.input(0).replace_source_output(openvino.opset13.convert(changed, "u8").output(0))
    graph.validate_nodes_and_infer_types()
    openvino.save_model(graph, tmp_path / "changed.xml", compress_to_fp16=False)
    with pytest.raises(CheckpointError, match=message):
        OpenVINOSegmenter(tmp_path / "changed.xml", "cpu")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "Exception from src/core.cpp:84:\nCheck 'a(b)' failed at src/xml_util.cpp:900:\nIncorrect weights\n",
            "Incorrect weights",
        ),
        ("Exception from src/core.cpp:84: Check 'a(b)' failed at src/xml_util.cpp:9: no such layer", "no such layer"),
        (
            "Status Message: /onnxruntime_src/onnxruntime/core/reshape_helper.h:91 onnxruntime::Helper::Helper(const "
            "onnxruntime::TensorShape&, bool) a_size == b_size was false. It cannot be reshaped. Input: {5}",
            "Status Message: It cannot be reshaped. Input: {5}",
        ),
        ("libfoo.so.1: cannot open shared object file", "libfoo.so.1: cannot open shared object file"),
        ("src/core.cpp:84:", "RuntimeError"),
        ("a.h:1 a(" * 100_000, "a(a(a(a("),
    ],
)
def test_faults_of_runtimes_do_not_say_where_in_their_code(said: str, told: str) -> None:
    assert first_line(RuntimeError(said)).startswith(told)


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


@pytest.mark.parametrize("version", [2, True, 1.0, "1"])
def test_a_description_of_another_version_is_refused(version: object) -> None:
    text = json.dumps({**json.loads(about()), "format_version": version})
    with pytest.raises(CheckpointError, match=f"^a.onnx: exported in format version {version}, this release reads 1"):
        ExportDescription.from_json(text, Path("a.onnx"))
