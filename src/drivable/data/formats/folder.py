"""A plain folder: ``images/`` and ``masks/`` with a ``labels.yaml`` that says what the masks mean."""

from __future__ import annotations

from pathlib import Path

from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.road_data import RoadData, merged, pair_folders
from drivable.reading import is_named


def open_folder(root: Path) -> RoadData | None:
    """Pictures and masks of one name; folders of one name inside both are splits, if there is any in them."""
    images, masks, description = root / "images", root / "masks", root / "labels.yaml"
    if not (images.is_dir() and masks.is_dir() and is_named(description)):
        return None
    described = read_labels_yaml(description)
    parts = {
        split: part
        for split, part in pair_folders(images, masks, described.convention, has_flat=True).items()
        if part.samples or part.unlabelled or part.orphans
    }
    return merged(root, "folder", described.labels, parts)
