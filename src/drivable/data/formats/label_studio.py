"""Label Studio's JSON export beside its pictures."""

from __future__ import annotations

from pathlib import Path

from drivable.data.formats.cvat import labels_of
from drivable.data.formats.label_studio_json import read_label_studio
from drivable.data.road_data import RoadData, by_name, joined, merged, pair_frames
from drivable.data.shapes import Frame, undrawn_regions
from drivable.errors import DataError
from drivable.imaging.images import PICTURE_SUFFIXES


def open_label_studio(root: Path) -> RoadData | None:
    """``*.json`` with the pictures that it names in ``images/``, or beside it; folders inside are not entered.

    Classes are sorted by name. An annotation in which nothing is drawn says that the picture is all background; one of
    regions that cannot be drawn says nothing.
    """
    files = [file for file in sorted(root.glob("*.json")) if file.is_file()]
    if not files:
        return None
    beside, inside = _pictures_in(root), _pictures_in(root / "images")
    frames: list[tuple[Path, Frame]] = []
    exports = []
    for file in files:
        found = read_label_studio(file, beside.keys() | inside.keys())
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
    files_by_name = joined(beside, inside)
    # Two images of one stem, such as a.jpg and a.png, are two images: the labels are of the one that the task names.
    pictures = by_name(
        (frame.id, files_by_name[frame.picture]) for _, frame in frames if frame.picture in files_by_name
    )
    pairs = pair_frames(pictures, frames, classes, rest)
    named = set(pictures.values())
    pairs.unlabelled.extend(path for _, path in sorted(files_by_name.items()) if path not in named)
    return merged(root, "label-studio", labels, {"": pairs})


def _pictures_in(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by file name; empty where there is no such folder."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return {entry.name: entry for entry in entries if entry.suffix.lower() in PICTURE_SUFFIXES and entry.name[0] != "."}
