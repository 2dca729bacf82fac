"""Cityscapes: its 19 classes, or its road against all else."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path

from drivable.data.encodings import DRIVABLE_OR_NOT, MaskConvention
from drivable.data.remap import rename
from drivable.data.road_data import Pairs, RoadData, files_in, folders_in, merged, pair_masks, pictures_in
from drivable.labels import RGB, LabelSet

# Masks of "test" hold no labels: its ego vehicle and borders, and nothing else.
SPLITS = ("train", "val")
# Label id, name and colour of each train id, in their order.
_CLASSES: tuple[tuple[int, str, RGB], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
_NUM_LABEL_IDS = 34

CITYSCAPES = LabelSet(tuple(name for _, name, _ in _CLASSES), tuple(color for _, _, color in _CLASSES))
_IGNORE = CITYSCAPES.ignore_id
_LABEL_IDS = MaskConvention(
    "Cityscapes' label ids",
    values=dict.fromkeys(range(_NUM_LABEL_IDS), _IGNORE) | {value: k for k, (value, _, _) in enumerate(_CLASSES)},
)
_TRAIN_IDS = MaskConvention(
    "Cityscapes' train ids", values={k: k for k in range(CITYSCAPES.num_classes)} | {_IGNORE: _IGNORE}
)


def open_cityscapes(root: Path) -> RoadData | None:
    """``leftImg8bit/<split>/<city>/<id>_leftImg8bit.png`` and ``gtFine/<split>/<city>/<id>_gtFine_*.png``.

    Of a picture's masks ``labelTrainIds`` comes before ``labelIds``. The test split has no labels and is left out.
    """
    images, masks = root / "leftImg8bit", root / "gtFine"
    if not (images.is_dir() and masks.is_dir()):
        return None
    parts = {split: _pairs(images / split, masks / split) for split in SPLITS}
    # Other data sets take over the folders, but not the names of the masks.
    if not any(part.samples or part.orphans for part in parts.values()):
        return None
    return merged(root, "cityscapes", CITYSCAPES, parts)


def open_cityscapes_road(root: Path) -> RoadData | None:
    """Cityscapes' road as drivable and every other class as background; what it ignores stays ignored."""
    data = open_cityscapes(root)
    if data is None:
        return None
    seen = rename(data, DRIVABLE_OR_NOT, {"road": "drivable", "*": "background"}, "layout cityscapes-road")
    return replace(seen, layout="cityscapes-road")


def _pairs(images: Path, masks: Path) -> Pairs:
    found = [pairs for city in folders_in(images, masks) for pairs in _pairs_of_city(images / city, masks / city)]
    return Pairs(
        tuple(sorted(chain.from_iterable(pairs.samples for pairs in found), key=lambda sample: sample.id)),
        [path for pairs in found for path in pairs.unlabelled],
        [path for pairs in found for path in pairs.orphans],
    )


def _pairs_of_city(images: Path, masks: Path) -> tuple[Pairs, Pairs]:
    pictures = pictures_in(images, "_leftImg8bit")
    train_ids = files_in(masks, "_gtFine_labelTrainIds.png")
    label_ids = {key: file for key, file in files_in(masks, "_gtFine_labelIds.png").items() if key not in train_ids}
    ready = {key: path for key, path in pictures.items() if key in train_ids}
    others = {key: path for key, path in pictures.items() if key not in train_ids}
    return pair_masks(ready, train_ids, _TRAIN_IDS), pair_masks(others, label_ids, _LABEL_IDS)
