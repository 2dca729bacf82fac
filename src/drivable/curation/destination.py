"""Files below a destination, under names that come from data of others."""

from __future__ import annotations

from pathlib import Path

from drivable.data.road_data import RoadData
from drivable.files import check_name, inside
from drivable.reading import reading


def require_names(data: RoadData) -> None:
    """Refuse data whose splits or ids are no names of files, before anything is written.

    Raises:
        DataError: there.
    """
    with reading(data.root):
        for split, samples in data.samples.items():
            if split:
                check_name(split, "split")
            for sample in samples:
                check_name(sample.id, "image id")


def place_for(root: Path, folder: str, *names: str) -> Path:
    """Where a file of a copy goes; the folders above it are made.

    Everything that is written of a data folder goes through here: no split and no id leads out of it.

    Args:
        root: the destination.
        folder: our own, below it, such as ``labels/drivable/masks``; ``""`` for none.
        names: from the data: the split (``""`` for none) and the file's name.

    Raises:
        DataError: where a name is no file name, or leads out of the destination.

    Example:
        >>> place_for(Path("out"), "images", "train", "a.jpg")
        PosixPath('out/images/train/a.jpg')
    """
    parts = [check_name(name, "name") for name in names if name]
    target = inside(root, *([folder] if folder else []), *parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
