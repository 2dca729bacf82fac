"""Labelled road pictures: layouts, conventions, splits and tensors."""

from drivable.data.dataset import Batch, RoadDataset, readable_samples
from drivable.data.encodings import class_counts
from drivable.data.loader import EpochSampler, RoadLoader, loading_fault
from drivable.data.open import LAYOUTS, RoadData, open_data, open_labels
from drivable.data.samples import Sample, read_pair
from drivable.data.splits import select_split

__all__ = [
    "LAYOUTS",
    "Batch",
    "EpochSampler",
    "RoadData",
    "RoadDataset",
    "RoadLoader",
    "Sample",
    "class_counts",
    "loading_fault",
    "open_data",
    "open_labels",
    "read_pair",
    "readable_samples",
    "select_split",
]
