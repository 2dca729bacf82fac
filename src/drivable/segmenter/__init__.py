"""A model ready for use, whatever runs it, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drivable.segmenter.base import Segmenter
    from drivable.segmenter.exported import ExportedSegmenter
    from drivable.segmenter.exported_program import ProgramSegmenter
    from drivable.segmenter.inputs import ImageLike
    from drivable.segmenter.loading import is_exported, load
    from drivable.segmenter.onnx import OnnxSegmenter
    from drivable.segmenter.openvino import OpenVINOSegmenter
    from drivable.segmenter.protocol import Image, LabelMap, Origin, Probabilities, SegmenterInfo
    from drivable.segmenter.segmentation import Segmentation
    from drivable.segmenter.torch import TorchPrecision, TorchSegmenter

__all__ = [
    "ExportedSegmenter",
    "Image",
    "ImageLike",
    "LabelMap",
    "OnnxSegmenter",
    "OpenVINOSegmenter",
    "Origin",
    "Probabilities",
    "ProgramSegmenter",
    "Segmentation",
    "Segmenter",
    "SegmenterInfo",
    "TorchPrecision",
    "TorchSegmenter",
    "is_exported",
    "load",
]

_HOMES = {
    "ExportedSegmenter": "exported",
    "Image": "protocol",
    "ImageLike": "inputs",
    "LabelMap": "protocol",
    "OnnxSegmenter": "onnx",
    "OpenVINOSegmenter": "openvino",
    "Origin": "protocol",
    "Probabilities": "protocol",
    "ProgramSegmenter": "exported_program",
    "Segmentation": "segmentation",
    "Segmenter": "base",
    "SegmenterInfo": "protocol",
    "TorchPrecision": "torch",
    "TorchSegmenter": "torch",
    "is_exported": "loading",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    # A segmentation needs no torch, so the room that it stands in must not import it.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
