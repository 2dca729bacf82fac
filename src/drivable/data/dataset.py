"""Labelled pictures as tensors of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from drivable.data.pictures import resize_image, resize_label_map
from drivable.data.samples import Sample, read_pair
from drivable.errors import DataError


class Batch(TypedDict):
    """A collated batch; the same keys without the leading axis make one item.

    images: (N, 3, H, W) uint8 RGB; label_maps: (N, H, W) uint8 ids; indices: (N,) int64 into the data set.
    """

    images: Tensor
    label_maps: Tensor
    indices: Tensor


class RoadDataset(Dataset[Batch]):
    """Read, check and resize samples.

    Args:
        samples: what to read.
        size: (height, width) of all items.

    Example:
        >>> RoadDataset(select_split(open_data("bdd100k"), "val"), (180, 320))[0]["images"].shape
        torch.Size([3, 180, 320])
    """

    def __init__(self, samples: Sequence[Sample], size: tuple[int, int]) -> None:
        self.samples = samples
        self.size = size

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        image, label_map = read_pair(self.samples[index])
        return Batch(
            images=torch.from_numpy(resize_image(image, self.size)).permute(2, 0, 1),
            label_maps=torch.from_numpy(resize_label_map(label_map, self.size)),
            indices=torch.tensor(index),
        )


def readable_samples(
    samples: Sequence[Sample], on_sample: Callable[[], None] | None = None
) -> tuple[list[Sample], list[DataError]]:
    """Read every sample once and part the readable from the broken.

    Args:
        samples: what to read.
        on_sample: called after each, to move a progress bar.

    Returns:
        The readable samples in their order, and one fault for each of the others.
    """
    good: list[Sample] = []
    faults: list[DataError] = []
    for sample in samples:
        try:
            read_pair(sample)
            good.append(sample)
        except DataError as fault:
            faults.append(fault)
        if on_sample is not None:
            on_sample()
    return good, faults
