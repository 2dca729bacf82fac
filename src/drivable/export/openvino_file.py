"""The segmenter as an OpenVINO graph."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from drivable.export.quantization import Quantizable, Segment, ids_of
from drivable.optional import need
from drivable.segmenter.description import KEY, ExportDescription

_PURPOSE = "exporting to OpenVINO"


def to_openvino(onnx_model: Any) -> Any:
    """An ``openvino.Model`` of an ``onnx.ModelProto``.

    Raises:
        ConfigError: where OpenVINO is not installed.
    """
    openvino, onnx = need("openvino", _PURPOSE), need("onnx", _PURPOSE)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(onnx_model, path)
        return openvino.convert_model(path)


def quantizable(model: Any) -> Quantizable:
    """What :func:`~drivable.export.quantization.quantize` needs to know of an ``openvino.Model``."""
    depthwise = [
        node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "GroupConvolution"
    ]
    return Quantizable(
        model, lambda picture: picture[None], _segment, _int8_layers, _outside_network(model), depthwise,
        per_channel=True,
    )  # fmt: skip


def _segment(compiled: Any) -> Segment:
    return lambda picture: ids_of(compiled([picture[None]])[0][0])


def _int8_layers(model: Any) -> set[str]:
    names = (node.get_friendly_name() for node in model.get_ordered_ops())
    return {name.partition("/fq_weights")[0] for name in names if "/fq_weights" in name}


def _outside_network(model: Any) -> list[str]:
    """Names of the nodes before the first and after the last convolution."""
    nodes = [
        node for node in model.get_ordered_ops() if node.get_type_name() not in ("Parameter", "Result", "Constant")
    ]
    places = [place for place, node in enumerate(nodes) if "Convolution" in node.get_type_name()]
    return [node.get_friendly_name() for node in [*nodes[: places[0]], *nodes[places[-1] + 1 :]]]


def save_openvino(model: Any, path: Path, description: ExportDescription, halve: bool) -> None:
    """Write ``path``, which ends in ``.xml``, and the ``.bin`` beside it, weights in float16 if halved."""
    openvino = need("openvino", _PURPOSE)
    model.set_rt_info(description.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=halve)
