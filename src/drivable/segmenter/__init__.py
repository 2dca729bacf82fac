"""A model ready for use, whatever runs it."""

from drivable.segmenter.protocol import Image, LabelMap, Probabilities, Segmenter
from drivable.segmenter.torch_segmenter import TorchSegmenter, load

__all__ = ["Image", "LabelMap", "Probabilities", "Segmenter", "TorchSegmenter", "load"]
