"""A model ready for use, whatever runs it."""

from drivable.segmenter.exported import ExportedSegmenter
from drivable.segmenter.exported_program import ProgramSegmenter
from drivable.segmenter.loading import is_exported, load
from drivable.segmenter.onnx import OnnxSegmenter
from drivable.segmenter.openvino import OpenVINOSegmenter
from drivable.segmenter.protocol import Image, LabelMap, Probabilities, Segmenter
from drivable.segmenter.torch import TorchPrecision, TorchSegmenter

__all__ = [
    "ExportedSegmenter",
    "Image",
    "LabelMap",
    "OnnxSegmenter",
    "OpenVINOSegmenter",
    "Probabilities",
    "ProgramSegmenter",
    "Segmenter",
    "TorchPrecision",
    "TorchSegmenter",
    "is_exported",
    "load",
]
