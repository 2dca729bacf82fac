"""BDD100K: every generation of its drivable-area labels below the official folders."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from drivable.data.encodings import COLORS_2018, CURRENT_IDS, IDS_2018, MaskConvention
from drivable.data.formats.label_json import read_frames
from drivable.data.road_data import (
    SPLIT_NAMES,
    Pairs,
    RoadData,
    files_in,
    folders_in,
    merged,
    pair_folders,
    pair_frames,
    pictures_in,
    split_as_named,
)
from drivable.data.shapes import IGNORE, Frame, undrawn_regions
from drivable.errors import DataError
from drivable.labels import BDD100K_DRIVABLE

CLASSES = {name: index for index, name in enumerate(BDD100K_DRIVABLE.names)} | {IGNORE: BDD100K_DRIVABLE.ignore_id}
BACKGROUND = CLASSES["background"]
_IMAGES = ("images/100k", "images/10k")


def open_masks(root: Path) -> RoadData | None:
    """``labels/drivable/masks/<split>/<id>.png``."""
    return _open_masks(root, "bdd100k-masks", "labels/drivable/masks", ".png", CURRENT_IDS)


def open_colormaps(root: Path) -> RoadData | None:
    """``labels/drivable/colormaps/<split>/<id>.png``, whose palette indices are the ids."""
    return _open_masks(root, "bdd100k-colormaps", "labels/drivable/colormaps", ".png", CURRENT_IDS)


def open_ids_2018(root: Path) -> RoadData | None:
    """``drivable_maps/labels/<split>/<id>_drivable_id.png``."""
    return _open_masks(root, "bdd100k-2018-ids", "drivable_maps/labels", "_drivable_id.png", IDS_2018)


def open_colors_2018(root: Path) -> RoadData | None:
    """``drivable_maps/color_labels/<split>/<id>_drivable_color.png``."""
    return _open_masks(root, "bdd100k-2018-colors", "drivable_maps/color_labels", "_drivable_color.png", COLORS_2018)


def open_polygons(root: Path) -> RoadData | None:
    """``labels/drivable/polygons/drivable_<split>.json``."""
    return _open_json(root, "bdd100k-polygons", files_in(root / "labels/drivable/polygons", ".json").values())


def open_rles(root: Path) -> RoadData | None:
    """``labels/drivable/rles/drivable_<split>.json``, BDD100K's frames or COCO's annotations."""
    return _open_json(root, "bdd100k-rles", files_in(root / "labels/drivable/rles", ".json").values())


def open_json_2018(root: Path) -> RoadData | None:
    """``labels/100k/<split>/<id>.json`` or ``labels/bdd100k_labels_images_<split>.json``."""
    files = [
        *files_in(root / "labels", ".json", "bdd100k_labels_images_").values(),
        *(file for split in SPLIT_NAMES for file in files_in(root / "labels/100k" / split, ".json").values()),
    ]
    return _open_json(root, "bdd100k-2018-json", files)


def split_of(file: Path) -> str:
    """The split that a label file's name or folder says, ``""`` where neither does."""
    if file.parent.name in SPLIT_NAMES:
        return file.parent.name
    found = re.search(rf"(?:^|[_-])({'|'.join(SPLIT_NAMES)})(?:$|[_-])", file.stem)
    return found[1] if found else ""


def require_shapes(frames: list[Frame], where: Path) -> None:
    """Refuse labels without any drivable area, such as those of BDD100K's other tasks.

    Raises:
        DataError: there; read as drivable area they would be all background.
    """
    if not any(frame.shapes for frame in frames):
        said = undrawn_regions(frames) or "other labels?"
        raise DataError(f"{where}: none of {len(frames)} labelled pictures has a drivable area; {said}")


def _image_folder(root: Path) -> Path | None:
    return next((root / name for name in _IMAGES if (root / name).is_dir()), None)


def _open_masks(root: Path, layout: str, place: str, suffix: str, convention: MaskConvention) -> RoadData | None:
    images, masks = _image_folder(root), root / place
    if images is None or not masks.is_dir():
        return None
    parts = pair_folders(images, masks, convention, suffix)
    return merged(root, layout, BDD100K_DRIVABLE, parts, background_is_largest=True)


def _open_json(root: Path, layout: str, files: Collection[Path]) -> RoadData | None:
    images = _image_folder(root)
    if images is None or not files:
        return None
    by_split: dict[str, list[tuple[Path, Frame]]] = {}
    folders = folders_in(images)
    for file in files:
        by_split.setdefault(split_as_named(split_of(file), folders), []).extend(
            (file, frame) for frame in read_frames(file)
        )
    require_shapes([frame for frames in by_split.values() for _, frame in frames], root)
    parts: dict[str, Pairs] = {
        split: pair_frames(pictures_in(images / split), frames, CLASSES, BACKGROUND)
        for split, frames in sorted(by_split.items())
    }
    attributes = {frame.id: frame.attributes for frames in by_split.values() for _, frame in frames}
    return merged(root, layout, BDD100K_DRIVABLE, parts, attributes, background_is_largest=True)
