"""The segmenter as an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drivable import __version__
from drivable.export.graph import FREE_AXES, ExportedGraph, example, sentence
from drivable.export.quantization import Quantizable, Segment, ids_of
from drivable.optional import need
from drivable.segmenter.description import KEY, ExportDescription
from drivable.signals import interrupted_afterwards

# The first with antialiased Resize.
OPSET = 18
INPUT, OUTPUT = "images", "segmentation"
_PURPOSE = "exporting to ONNX"
# What the exporter notes of each node: the classes of the modules that it lies in.
_CLASSES, _LINEAR = "pkg.torch.onnx.class_hierarchy", "torch.nn.modules.linear.Linear"


def to_onnx(graph: ExportedGraph) -> Any:
    """An ``onnx.ModelProto`` of the graph with free number and sizes of pictures.

    Raises:
        ConfigError: where the libraries are not installed.
    """
    for module in ("onnx", "onnxscript"):
        need(module, _PURPOSE)
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # It tells of torchvision's operators, which nothing here uses.
    try:
        with warnings.catch_warnings(), torch.no_grad(), interrupted_afterwards():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                (example(),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(dict(enumerate(FREE_AXES)),),
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    return program.model_proto


def with_half_weights(model: Any) -> Any:
    """Store the weights of convolutions and products in float16; runtimes widen them when they load the graph."""
    onnx = need("onnx", _PURPOSE)
    half = onnx.ModelProto()
    half.CopyFrom(model)
    casts = []
    for tensor in half.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name, stored = tensor.name, f"{tensor.name}.half"
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *half.graph.node]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    return half


def quantizable(model: Any) -> Quantizable:
    """What :func:`~drivable.export.quantization.quantize` needs to know of an ``onnx.ModelProto``.

    ONNX Runtime has int8 convolutions only for activations with one range for all channels. Products with a fixed
    matrix stay in float: before 1.32 ONNX Runtime refuses a zero point for each of its rows, and they gain nothing.
    """
    depthwise = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]
    return Quantizable(
        model, lambda picture: {INPUT: picture[None]}, _segment, _int8_layers,
        [*_outside_network(model), *_fixed_products(model)], depthwise, per_channel=False,
    )  # fmt: skip


def with_unsigned_activations(model: Any) -> Any:
    """Store signed activations as unsigned ones with another zero point, which changes no value.

    ONNX Runtime has int8 convolutions only where what comes in and what goes out are both signed or both unsigned;
    behind a ReLU6 they are unsigned. Changes the graph and returns it.
    """
    onnx = need("onnx", _PURPOSE)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    quantizing = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    stored = {node.output[0] for node in quantizing}
    reading = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored]
    for node in [*quantizing, *reading]:
        zero_point = onnx.numpy_helper.to_array(constants[node.input[2]])
        if zero_point.dtype != np.int8:
            continue
        name = f"{node.input[2]}.unsigned"
        if name not in constants:
            shifted = (zero_point.astype(np.int16) + 128).astype(np.uint8)
            constants[name] = onnx.numpy_helper.from_array(shifted, name)
            model.graph.initializer.append(constants[name])
        node.input[2] = name
    del model.graph.value_info[:]  # It has the types from before.
    used = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)
    return model


def _segment(model: Any) -> Segment:
    runtime = need("onnxruntime", "int8 for ONNX")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda picture: ids_of(session.run(None, {INPUT: picture[None]})[0][0])


def _int8_layers(model: Any) -> set[str]:
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    layers = (node for node in model.graph.node if node.op_type in ("Conv", "MatMul", "Gemm"))
    return {node.name for node in layers if node.input[1] in dequantized}


def _outside_network(model: Any) -> list[str]:
    """Names of the nodes before the first and after the last convolution."""
    nodes = list(model.graph.node)
    places = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    return [node.name for place, node in enumerate(nodes) if not places[0] <= place <= places[-1]]


def _fixed_products(model: Any) -> list[str]:
    """Names of the products with a matrix that was not learned: they resize or average."""
    fixed = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul"
        and fixed.intersection(node.input)
        and not any(entry.key == _CLASSES and _LINEAR in entry.value for entry in node.metadata_props)
    ]


def without_traces(model: Any) -> Any:
    """Take out what the exporter notes of each node: in which files of this machine it met it.

    Changes the graph and returns it.
    """
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def save_onnx(model: Any, path: Path, description: ExportDescription) -> None:
    """Write the file with its description."""
    onnx = need("onnx", _PURPOSE)
    without_traces(model)
    model.producer_name, model.producer_version = "drivable", __version__
    model.doc_string = model.graph.doc_string = sentence(description)
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    onnx.save(model, path)
