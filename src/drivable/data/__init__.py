"""Labelled road pictures: layouts, conventions, splits and tensors."""

from drivable.data.conventions import class_counts
from drivable.data.dataset import Batch, RoadDataset, readable_samples
from drivable.data.layouts import LAYOUTS, RoadData, open_data, open_labels
from drivable.data.loader import EpochSampler, RoadLoader, loading_fault
from drivable.data.samples import Sample, read_pair
from drivable.data.splits import balanced_split, drive_of, seeded_split, select_split, write_split

__all__ = [
    "LAYOUTS",
    "Batch",
    "EpochSampler",
    "RoadData",
    "RoadDataset",
    "RoadLoader",
    "Sample",
    "balanced_split",
    "class_counts",
    "drive_of",
    "loading_fault",
    "open_data",
    "open_labels",
    "read_pair",
    "readable_samples",
    "seeded_split",
    "select_split",
    "write_split",
]
