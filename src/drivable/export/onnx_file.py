"""The segmenter as an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drivable.export.graph import ExportedGraph
from drivable.segmenter import Image
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.runtimes import need

# The first with antialiased Resize.
OPSET = 18
INPUT, OUTPUT = "images", "segmentation"
_PURPOSE = "exporting to ONNX"
# What gains in int8; pre- and postprocessing between other operators stay in float.
_QUANTIZED = ["Conv", "MatMul", "Gemm", "Add", "Concat", "ConvTranspose", "MaxPool"]


def example() -> torch.Tensor:
    """A batch to follow through the graph; of odd sizes, so that nothing takes them for special ones."""
    return torch.zeros(2, 61, 95, 3, dtype=torch.uint8)


def free_axes() -> tuple[dict[int, Any]]:
    """Number, height and width of the pictures are free."""
    return (dict.fromkeys((0, 1, 2), torch.export.Dim.DYNAMIC),)


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
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                (example(),),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=free_axes(),
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


def quantized(model: Any, pictures: Sequence[Image], kept_in_float: Sequence[str] = ()) -> Any:
    """int8 by ONNX Runtime's static quantisation, QuantizeLinear and DequantizeLinear around each operator.

    Weights are symmetric per channel, activations asymmetric per tensor with the extremes seen on the pictures.

    Args:
        model: ``onnx.ModelProto`` in float32.
        pictures: to see the ranges of the activations on.
        kept_in_float: names of nodes.

    Raises:
        ConfigError: where ONNX Runtime is not installed.
    """
    need("onnxruntime", _PURPOSE)
    from tempfile import TemporaryDirectory

    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(pictures)

        def get_next(self) -> dict[str, Any] | None:
            picture = next(self.rest, None)
            return None if picture is None else {INPUT: picture[None]}

    outside = _outside_network(model)
    copied = onnx.ModelProto()
    copied.CopyFrom(model)  # It moves the weights of what it is given to a file.
    with TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        root = logging.getLogger()
        level = root.level
        root.setLevel(logging.ERROR)  # Advice to preprocess, which free sizes do not allow.
        try:
            quantize_static(
                copied,
                path,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_QUANTIZED,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[*outside, *kept_in_float],
            )
        finally:
            root.setLevel(level)
        return onnx.load(path)


def _outside_network(model: Any) -> list[str]:
    """Names of the nodes before the first and after the last convolution."""
    nodes = list(model.graph.node)
    places = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    return [node.name for place, node in enumerate(nodes) if not places[0] <= place <= places[-1]]


def save_onnx(model: Any, path: Path, description: ExportDescription) -> None:
    """Write the file with its description."""
    onnx = need("onnx", _PURPOSE)
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    onnx.save(model, path)
