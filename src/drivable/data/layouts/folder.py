"""A plain folder: ``images/`` and ``masks/`` with a ``labels.yaml`` that says what the masks mean."""

from __future__ import annotations

from pathlib import Path

from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.layouts.road_data import Pairs, RoadData, files_in, merged, pair_masks, pictures_in


def open_folder(root: Path) -> RoadData | None:
    """Pictures and masks of one name; folders of one name inside both are splits."""
    images, masks, description = root / "images", root / "masks", root / "labels.yaml"
    if not (images.is_dir() and masks.is_dir() and description.is_file()):
        return None
    described = read_labels_yaml(description)

    def pairs(folder: str) -> Pairs:
        return pair_masks(pictures_in(images / folder), files_in(masks / folder, ".png"), described.convention)

    splits = sorted({entry.name for place in (images, masks) for entry in place.iterdir() if entry.is_dir()})
    parts = {split: pairs(split) for split in splits} or {"": pairs("")}
    return merged(root, "folder", described.labels, parts)
