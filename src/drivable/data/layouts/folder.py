"""A plain folder: ``images/`` and ``masks/`` with a ``labels.yaml`` that says what the masks mean."""

from __future__ import annotations

from pathlib import Path

from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.layouts.road_data import RoadData, files_in, folders_in, merged, pair_masks, pictures_in
from drivable.reading import is_named


def open_folder(root: Path) -> RoadData | None:
    """Pictures and masks of one name; folders of one name inside both are splits, if there is any in them."""
    images, masks, description = root / "images", root / "masks", root / "labels.yaml"
    if not (images.is_dir() and masks.is_dir() and is_named(description)):
        return None
    described = read_labels_yaml(description)
    found = {
        split: (pictures_in(images / split), files_in(masks / split, ".png"))
        for split in ["", *folders_in(images, masks)]
    }
    parts = {split: pair_masks(*both, described.convention) for split, both in found.items() if any(both)}
    return merged(root, "folder", described.labels, parts)
