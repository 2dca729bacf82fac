"""Labelled pictures as tensors of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from drivable.config.recipe import AugmentationSpec
from drivable.data.augmentation import Change, draw_change
from drivable.data.label_cache import LabelMemory
from drivable.data.samples import Sample, Size, read_pair
from drivable.errors import DataError
from drivable.imaging.images import Pixels

# (epoch, index, which time of the picture's in this epoch)
Draw = tuple[int, int, int]


class Batch(TypedDict):
    """A collated batch; the same keys without the leading axis make one item.

    images: (N, 3, H, W) uint8 RGB; label_maps: (N, H, W) uint8 ids; indices: (N,) int64 into the data set.
    """

    images: Tensor
    label_maps: Tensor
    indices: Tensor


class RoadDataset(Dataset[Batch]):
    """Read, check, change at random and resize samples.

    An item is asked for by (epoch, index, time), since an epoch may have it several times. Its random changes depend on
    that and the seed alone, so they are the same in any number of worker processes and after a restart.

    Args:
        samples: what to read.
        size: (height, width) of all items.
        augmentation: random changes; the default changes nothing.
        seed: of the changes.
        size_of_epoch: (height, width) of the items of an epoch, where that is not always ``size``.

    Example:
        >>> RoadDataset(select_split(open_data("bdd100k"), "val"), (180, 320))[0, 0, 0]["images"].shape
        torch.Size([3, 180, 320])
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        size: tuple[int, int],
        augmentation: AugmentationSpec | None = None,
        seed: int = 0,
        size_of_epoch: Callable[[int], Size] | None = None,
    ) -> None:
        self.samples = samples
        self.size = size
        self.augmentation = augmentation
        self.seed = seed
        self.size_of_epoch = size_of_epoch
        self._memory = LabelMemory(len(samples))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: Draw) -> Batch:
        epoch, index, time = draw
        size = self.size if self.size_of_epoch is None else self.size_of_epoch(epoch)
        change = Change()
        if self.augmentation is not None:
            change = draw_change(self.augmentation, size, np.random.default_rng((self.seed, epoch, index, time)))
        image, label_map = self._read(index, change.least_size(size))
        image, label_map = change.apply(image, label_map, size)
        return Batch(
            # Colours first already here, in the worker, where the copy costs the training nothing.
            images=torch.from_numpy(np.stack(cv2.split(image))),
            label_maps=torch.from_numpy(label_map),
            indices=torch.tensor(index),
        )

    def _read(self, index: int, at_least: Size) -> tuple[Pixels, Pixels]:
        sample = self.samples[index]
        known = self._memory.get(index)
        if known is not None:
            return sample.image.read(at_least), known
        image, label_map = read_pair(sample, at_least)
        self._memory.keep(index, label_map)
        return image, label_map


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
