"""Look at a data folder: what is there, what does not fit, how the classes are spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivable.data.layouts import RoadData
from drivable.data.overlay import draw_overlay, picture_sheet
from drivable.data.pictures import Pixels
from drivable.data.samples import read_pair
from drivable.errors import DataError


@dataclass(frozen=True)
class Inspection:
    """What a data folder holds.

    Args:
        layout: name of its layout.
        num_pairs: labelled pictures by split folder.
        num_unlabelled: pictures without a mask.
        orphans: masks without a picture.
        sizes: pictures by (height, width).
        class_shares: share of all labelled pixels by class name, 0..1.
        pictures_with: pictures in which the class occurs, by class name.
        ignored_share: share of all pixels that carry the ignore id, 0..1.
        faults: one line for each pair that cannot be read.
    """

    layout: str
    num_pairs: dict[str, int]
    num_unlabelled: int
    orphans: tuple[str, ...]
    sizes: dict[tuple[int, int], int]
    class_shares: dict[str, float]
    pictures_with: dict[str, int]
    ignored_share: float
    faults: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layout": self.layout,
            "num_pairs": self.num_pairs,
            "num_unlabelled": self.num_unlabelled,
            "orphans": list(self.orphans),
            "sizes": {f"{height}x{width}": count for (height, width), count in self.sizes.items()},
            "class_shares": self.class_shares,
            "pictures_with": self.pictures_with,
            "ignored_share": self.ignored_share,
            "faults": list(self.faults),
        }


def inspect(data: RoadData, on_sample: Callable[[], None] = lambda: None) -> Inspection:
    """Read every pair once and count.

    Args:
        data: what to look at.
        on_sample: called after each pair.

    Example:
        >>> inspect(open_data("bdd100k")).class_shares["direct"]
        0.122
    """
    sizes: Counter[tuple[int, int]] = Counter()
    pixels = np.zeros(256, dtype=np.int64)
    pictures_with = np.zeros(256, dtype=np.int64)
    faults = []
    for sample in data.all_samples:
        try:
            _, label_map = read_pair(sample)
        except DataError as fault:
            faults.append(str(fault))
        else:
            counts = np.bincount(label_map.ravel(), minlength=256)
            pixels += counts
            pictures_with += counts > 0
            sizes[label_map.shape[0], label_map.shape[1]] += 1
        on_sample()
    labelled = max(1, int(pixels[: data.labels.num_classes].sum()))
    return Inspection(
        layout=data.layout,
        num_pairs={split or "all": len(samples) for split, samples in data.samples.items()},
        num_unlabelled=len(data.unlabelled),
        orphans=tuple(str(path) for path in data.orphans),
        sizes=dict(sizes.most_common()),
        class_shares={name: float(pixels[k] / labelled) for k, name in enumerate(data.labels.names)},
        pictures_with={name: int(pictures_with[k]) for k, name in enumerate(data.labels.names)},
        ignored_share=float(pixels[data.labels.ignore_id] / max(1, int(pixels.sum()))),
        faults=tuple(faults),
    )


def example_sheet(data: RoadData, num_pictures: int = 24, seed: int = 0) -> Pixels:
    """Examples with their labels drawn over them, in rows of four.

    Returns:
        RGB uint8 of one picture sheet.

    Raises:
        DataError: where none of the drawn pairs can be read.
    """
    samples = data.all_samples
    drawn = np.random.default_rng(seed).permutation(len(samples))[:num_pictures]
    overlays = []
    for index in sorted(drawn):
        try:
            image, label_map = read_pair(samples[index])
        except DataError:
            continue  # The inspection names it; the sheet shows the others.
        overlays.append(draw_overlay(image, label_map, data.labels))
    if not overlays:
        raise DataError(f"{data.root}: none of {len(drawn)} drawn pairs can be read")
    return picture_sheet(overlays, num_columns=4, cell=(180, 320))
