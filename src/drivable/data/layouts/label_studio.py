"""Label Studio's JSON export beside its pictures."""

from __future__ import annotations

from pathlib import Path

from drivable.data.annotations import Frame, undrawn_regions
from drivable.data.annotations.label_studio import read_label_studio
from drivable.data.layouts.cvat import labels_of
from drivable.data.layouts.road_data import RoadData, merged, pair_frames
from drivable.data.pictures import PICTURE_SUFFIXES
from drivable.errors import DataError


def open_label_studio(root: Path) -> RoadData | None:
    """``*.json`` with the pictures that it names in ``images/``, or beside it; folders inside are not entered.

    Classes are sorted by name. An annotation in which nothing is drawn says that the picture is all background; one of
    regions that cannot be drawn says nothing.
    """
    files = [file for file in sorted(root.glob("*.json")) if file.is_file()]
    if not files:
        return None
    by_name = {
        entry.name: entry
        for folder in (root, root / "images")
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.suffix.lower() in PICTURE_SUFFIXES and entry.name[0] != "."
    }
    frames: list[tuple[Path, Frame]] = []
    exports = []
    for file in files:
        found = read_label_studio(file, by_name)
        if found is not None:
            exports.append(file)
            frames += [(file, frame) for frame in found]
    if not exports:
        return None
    names = sorted({shape.name for _, frame in frames for shape in frame.shapes})
    if not names:
        said = undrawn_regions(frame for _, frame in frames) or "other labels?"
        raise DataError(
            f"{exports[0]}: no polygon, brush stroke, rectangle or ellipse in {len(frames)} annotations; {said}"
        )
    labels, classes, rest = labels_of(dict.fromkeys(names), exports[0])
    pictures = {entry.stem: entry for entry in by_name.values()}
    return merged(root, "label-studio", labels, {"": pair_frames(pictures, frames, classes, rest)})
