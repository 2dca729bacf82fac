"""KITTI's road benchmark: the whole road, or the lane of the car."""

from __future__ import annotations

import re
from pathlib import Path

from drivable.data.encodings import DRIVABLE_OR_NOT, MaskConvention
from drivable.data.road_data import RoadData, files_in, merged, pair_masks, pictures_in

_DRIVABLE, _BACKGROUND = (DRIVABLE_OR_NOT.names.index(name) for name in ("drivable", "background"))
# Red marks what is judged, blue what is road; side roads and what lies behind the horizon are black.
_COLORS = MaskConvention(
    "KITTI's road masks",
    colors={(255, 0, 255): _DRIVABLE, (255, 0, 0): _BACKGROUND, (0, 0, 0): DRIVABLE_OR_NOT.ignore_id},
)


def open_kitti_road(root: Path) -> RoadData | None:
    """``training/image_2/<scene>_<number>.png`` with ``training/gt_image_2/<scene>_road_<number>.png``."""
    return _open(root, "kitti-road", "road", "um|umm|uu")


def open_kitti_lane(root: Path) -> RoadData | None:
    """The same pictures with ``um_lane_<number>.png``; the lane is labelled in scenes ``um`` only."""
    return _open(root, "kitti-lane", "lane", "um")


def _open(root: Path, layout: str, kind: str, scenes: str) -> RoadData | None:
    images, masks = root / "training/image_2", root / "training/gt_image_2"
    if not (images.is_dir() and masks.is_dir()):
        return None
    labelled = {}
    for name, file in files_in(masks, ".png").items():
        found = re.fullmatch(rf"({scenes})_{kind}_(\d+)", name)
        if found is not None:
            labelled[f"{found[1]}_{found[2]}"] = file
    if not labelled:
        return None
    pictures = {key: path for key, path in pictures_in(images).items() if re.fullmatch(rf"({scenes})_\d+", key)}
    attributes = {key: {"scene": key.partition("_")[0]} for key in pictures}
    # The labels of "testing" are not published, so what there is has no division.
    return merged(root, layout, DRIVABLE_OR_NOT, {"": pair_masks(pictures, labelled, _COLORS)}, attributes)
