"""What an ONNX file may hold before ONNX Runtime sees it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from drivable.errors import one_line
from drivable.labels import LabelSet
from drivable.models.finite import refuse_not_finite
from drivable.optional import need
from drivable.reading import limit, require_regular

# Operators of exports of all architectures and precisions, and their near relatives: arithmetic and shapes. None
# branches, repeats, draws random numbers, has to do with text or with sequences, or reads a file.
_OPERATORS = {
    "Abs", "Add", "And", "ArgMax", "ArgMin", "AveragePool", "BatchNormalization", "Cast", "CastLike", "Ceil",
    "Celu", "Clip", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos",
    "CumSum", "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Einsum", "Elu",
    "Equal", "Erf", "Exp", "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND",
    "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample",
    "GroupNormalization", "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsInf", "IsNaN",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax", "LpPool", "MatMul",
    "MatMulInteger", "Max", "MaxPool", "Mean", "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg",
    "Not", "OneHot", "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Range",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Resize", "Round", "ScatterElements",
    "ScatterND", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice", "Softmax", "Softplus", "Softsign",
    "SpaceToDepth", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "ThresholdedRelu", "Tile", "TopK",
    "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
}  # fmt: skip
# The sizes of what they make may stand in a few bytes.
_ENLARGING = frozenset({"ConstantOfShape", "Expand", "Tile", "Range", "OneHot", "EyeLike"})
# More values than this hold no sizes that others are computed from.
_MOST_SIZES = 1024


def checked_onnx(path: Path) -> Any:
    """An ``onnx.ModelProto`` that is one graph of plain arithmetic, whose weights lie in the file itself.

    Raises:
        ValueError: where weights lie in other files or are sparse; where operators are of another domain, have graphs
            of their own or are none that exports have: other runtimes' contexts name files, and operators of one's own
            need libraries; where what is computed from constants is larger than four images may be. A damaged file may
            raise anything; the caller is the boundary.
    """
    onnx = need("onnx", "checking .onnx files")
    require_regular(path)
    model = onnx.load(path, load_external_data=False)
    domains = {opset.domain for opset in model.opset_import} | {node.domain for node in model.graph.node}
    _refuse(sorted(domains - {"", "ai.onnx"}), "operators of")
    _refuse([function.name for function in model.functions], "a function")
    _refuse(sorted({node.op_type for node in model.graph.node} - _OPERATORS), "operators")
    _refuse([sparse.values.name or "no name" for sparse in model.graph.sparse_initializer], "sparse weights")
    _refuse(["for training"] if model.training_info else [], "a graph")
    for node in model.graph.node:
        _refuse([attribute.name for attribute in node.attribute if not _is_plain(onnx, node, attribute)], node.op_type)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(
                f"weights of {one_line(tensor.name, 80)} in another file, as no export of this tool has them"
            )
        _refuse([tensor.name or "no name"] if tensor.data_type == onnx.TensorProto.STRING else [], "text as weights of")
    _require_bounded(onnx, model)
    return model


def require_finite_onnx(model: Any, labels: LabelSet, where: str) -> None:
    """Refuse constants that are no numbers, see :func:`~drivable.models.finite.require_finite`.

    Raises:
        CheckpointError: there.
    """
    onnx = need("onnx", "checking .onnx files")
    for tensor in _tensors(model.graph):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.kind not in "biu" and not np.isfinite(values.astype(np.float32)).all():
            refuse_not_finite(tensor.name, labels, where)
    for node in model.graph.node:
        if not all(np.isfinite([value for attribute in node.attribute for value in (attribute.f, *attribute.floats)])):
            refuse_not_finite(node.name, labels, where)


def _refuse(names: list[str], what: str) -> None:
    if names:
        raise ValueError(f"{one_line(what, 80)} {one_line(', '.join(names), 80)}, which no export of this tool has")


def _is_plain(onnx: Any, node: Any, attribute: Any) -> bool:
    """Whether it holds numbers, tensors or the name of a mode; text as a value, and as what to cast to, is none."""
    if attribute.HasField("g") or attribute.HasField("sparse_tensor") or attribute.HasField("tp"):
        return False
    if attribute.graphs or attribute.sparse_tensors or attribute.type_protos or attribute.ref_attr_name:
        return False
    if node.op_type == "Cast" and attribute.name == "to":
        return bool(attribute.i != onnx.TensorProto.STRING)
    return attribute.name not in ("value_string", "value_strings")


def _tensors(graph: Any) -> Iterator[Any]:
    """All of a graph without inner graphs and sparse weights."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors)


def _require_bounded(onnx: Any, model: Any) -> None:
    """Refuse what is computed from constants alone, or only enlarged, to more values than four images may have.

    Raises:
        ValueError: there, and where the size of what is computed from constants alone cannot be told.
    """
    sizes = _sizes(onnx, model)
    most = 4 * limit("DRIVABLE_MAX_PIXELS")
    constant = {tensor.name for tensor in model.graph.initializer}
    known = constant | {value.name for value in model.graph.input} | {""}
    _refuse([value.name for value in model.graph.input if value.name in constant], "weights as inputs:")
    constant.add("")
    for node in model.graph.node:
        _refuse([name for name in node.input if name not in known], "values before they are computed:")
        known.update(node.output)
        is_constant = constant.issuperset(node.input)
        constant.update(node.output if is_constant else ())
        for size in (sizes.get(name) for name in node.output if name):
            if is_constant and (size is None or None in size):
                _refuse([node.op_type], "constants of unknown size, of")
            if (is_constant or node.op_type in _ENLARGING) and prod(side for side in size or () if side) > most:
                raise ValueError(
                    f"{node.op_type} makes more than the limit of {most} values; DRIVABLE_MAX_PIXELS raises it fourfold"
                )


def _sizes(onnx: Any, model: Any) -> dict[str, list[int | None] | None]:
    """Sizes of what the nodes compute, ``None`` for free sides, as they follow from inputs and weights."""
    graph = model.graph
    small = [tensor for tensor in graph.initializer if prod(tensor.dims) <= _MOST_SIZES]
    large = [
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if prod(tensor.dims) > _MOST_SIZES
    ]
    outputs = [onnx.helper.make_empty_tensor_value_info(value.name) for value in graph.output]
    bare = onnx.helper.make_graph(graph.node, "sizes", [*graph.input, *large], outputs, small)
    told = onnx.helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)
    inferred = onnx.shape_inference.infer_shapes(told, data_prop=True).graph
    return {
        value.name: [
            side.dim_value if side.HasField("dim_value") else None for side in value.type.tensor_type.shape.dim
        ]
        if value.type.tensor_type.HasField("shape")
        else None
        for value in (*inferred.value_info, *inferred.output)
    }
