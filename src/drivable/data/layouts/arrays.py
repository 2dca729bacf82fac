"""A pair of arrays: ``image_*.npy`` (N, H, W, 3) and ``label_*.npy`` (N, H, W), both uint8."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivable.data.id_files import read_ids
from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.layouts.road_data import RoadData, read_attributes
from drivable.data.samples import ArrayImage, ArrayLabels, Sample
from drivable.errors import DataError
from drivable.labels import BDD100K_DRIVABLE


def open_arrays(root: Path) -> RoadData | None:
    """The arrays' entries; ids stand in ``ids.txt``, one a line, or are counted. Classes as in ``labels.yaml``."""
    images = next(iter(sorted(root.glob("image_*.npy"))), None)
    if images is None:
        return None
    label_maps = images.with_name("label_" + images.name.removeprefix("image_"))
    if not label_maps.is_file():
        raise DataError(f"{images}: its label array {label_maps.name} is missing beside it")
    shapes = []
    for file, axes in ((images, 4), (label_maps, 3)):
        try:
            array = np.load(file, mmap_mode="r")
        except (OSError, ValueError) as fault:
            raise DataError(f"{file}: not a readable .npy array: {fault}") from fault
        if array.ndim != axes or array.dtype != np.uint8:
            raise DataError(f"{file}: got {array.dtype} {array.shape}, expected uint8 with {axes} axes")
        shapes.append(array.shape)
    if shapes[0] != (*shapes[1], 3):
        raise DataError(f"{images}: pictures {shapes[0]} and labels {shapes[1]} do not match; expected (N, H, W, 3)")
    num = shapes[0][0]
    described = root / "labels.yaml"
    labels = read_labels_yaml(described).labels if described.is_file() else BDD100K_DRIVABLE
    named = root / "ids.txt"
    ids = read_ids(named) if named.is_file() else [f"{i:0{max(6, len(str(num)))}d}" for i in range(num)]
    if len(ids) != num:
        raise DataError(f"{named}: {len(ids)} ids for {num} pictures")
    samples = tuple(
        Sample(key, ArrayImage(images, i), ArrayLabels(label_maps, i, labels.names, labels.ignore_id))
        for i, key in enumerate(ids)
    )
    return RoadData(
        root,
        "npy",
        labels,
        {"": samples},
        attributes=read_attributes(root / "attributes.csv"),
        background_is_largest=labels == BDD100K_DRIVABLE,
    )
