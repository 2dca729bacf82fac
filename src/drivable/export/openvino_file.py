"""The segmenter as an OpenVINO graph."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from drivable.segmenter import Image
from drivable.segmenter.description import KEY, ExportDescription
from drivable.segmenter.runtimes import need

_PURPOSE = "exporting to OpenVINO"
_TRANSFORMERS = ("segformer",)


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


def quantized(model: Any, pictures: Sequence[Image], architecture: str) -> Any:
    """int8 by NNCF's post-training quantisation: symmetric weights per channel, activations per tensor.

    Args:
        model: ``openvino.Model`` in float32.
        pictures: to see the ranges of the activations on.
        architecture: name of the model; transformers keep their sensitive products in float.

    Raises:
        ConfigError: where NNCF is not installed.
    """
    nncf = _nncf()
    return nncf.quantize(
        model,
        nncf.Dataset([picture[None] for picture in pictures]),
        subset_size=len(pictures),
        model_type=_kind(nncf, architecture),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=_outside_network(nncf, model),
    )


def save_openvino(model: Any, path: Path, description: ExportDescription, halve: bool) -> None:
    """Write ``path``, which ends in ``.xml``, and the ``.bin`` beside it, weights in float16 if halved."""
    openvino = need("openvino", _PURPOSE)
    model.set_rt_info(description.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=halve)


def _nncf() -> Any:
    nncf = need("nncf", "int8 for OpenVINO")
    nncf.set_log_level(logging.ERROR)
    return nncf


def _kind(nncf: Any, architecture: str) -> Any:
    return nncf.ModelType.TRANSFORMER if architecture.startswith(_TRANSFORMERS) else None


def _outside_network(nncf: Any, model: Any) -> Any:
    """Everything before the first and after the last convolution."""
    nodes = [
        node for node in model.get_ordered_ops() if node.get_type_name() not in ("Parameter", "Result", "Constant")
    ]
    places = [place for place, node in enumerate(nodes) if "Convolution" in node.get_type_name()]
    outside = {node.get_friendly_name() for node in nodes[: places[0]]}
    outside |= {node.get_friendly_name() for node in nodes[places[-1] + 1 :]}
    return nncf.IgnoredScope(names=sorted(outside), validate=False)
