"""What an ONNX file may hold before ONNX Runtime sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drivable.errors import one_line
from drivable.labels import LabelSet
from drivable.models.finite import refuse_not_finite
from drivable.reading import check_limit, require_regular
from drivable.segmenter.runtimes import need


def checked_onnx(path: Path) -> Any:
    """An ``onnx.ModelProto`` whose weights lie in the file itself, with the standard's operators alone.

    Raises:
        ValueError: where weights lie in other files, or operators are of another domain: contexts of other runtimes
            name files, and operators of one's own need libraries. A damaged file may raise anything; the caller is the
            boundary.
    """
    onnx = need("onnx", "checking .onnx files")
    require_regular(path)
    model = onnx.load(path, load_external_data=False)
    domains = {opset.domain for opset in model.opset_import} | {node.domain for node in _nodes(model.graph)}
    foreign = sorted(domains - {"", "ai.onnx"})
    if foreign or model.functions:
        raise ValueError(
            f"operators of {one_line(', '.join(foreign) or 'its own', 80)}, which no export of this tool has"
        )
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ValueError(
                f"weights of {one_line(tensor.name, 80)} in another file, as no export of this tool has them"
            )
    return model


def require_finite_onnx(model: Any, labels: LabelSet, where: str) -> None:
    """Refuse constants that are no numbers, see :func:`~drivable.models.finite.require_finite`.

    Raises:
        CheckpointError: there.
    """
    onnx = need("onnx", "checking .onnx files")
    for tensor in _tensors(model.graph):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.kind not in "biuSUO" and not np.isfinite(values.astype(np.float32)).all():
            refuse_not_finite(tensor.name, labels, where)
    for node in _nodes(model.graph):
        if not all(np.isfinite([value for attribute in node.attribute for value in (attribute.f, *attribute.floats)])):
            refuse_not_finite(node.name, labels, where)


def _nodes(graph: Any, depth: int = 0) -> Iterator[Any]:
    check_limit("DRIVABLE_MAX_DEPTH", depth, "levels of graphs")
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _nodes(inner, depth + 1)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors)
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from inner.initializer
