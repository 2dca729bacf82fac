"""CamVid: all of its classes, as published and as fast.ai packs it, and SegNet's eleven."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from drivable.data.encodings import MaskConvention
from drivable.data.id_files import read_ids
from drivable.data.road_data import SPLIT_NAMES, Pairs, RoadData, files_in, merged, pair_masks, pictures_in
from drivable.errors import ConfigError, DataError, one_line
from drivable.labels import RGB, LabelSet
from drivable.reading import is_named, read_text, reading

_VOID = "void"
# As label_colors.txt has them; copies of the data often lack that file.
_COLORS: dict[str, RGB] = {
    "Animal": (64, 128, 64),
    "Archway": (192, 0, 128),
    "Bicyclist": (0, 128, 192),
    "Bridge": (0, 128, 64),
    "Building": (128, 0, 0),
    "Car": (64, 0, 128),
    "CartLuggagePram": (64, 0, 192),
    "Child": (192, 128, 64),
    "Column_Pole": (192, 192, 128),
    "Fence": (64, 64, 128),
    "LaneMkgsDriv": (128, 0, 192),
    "LaneMkgsNonDriv": (192, 0, 64),
    "Misc_Text": (128, 128, 64),
    "MotorcycleScooter": (192, 0, 192),
    "OtherMoving": (128, 64, 64),
    "ParkingBlock": (64, 192, 128),
    "Pedestrian": (64, 64, 0),
    "Road": (128, 64, 128),
    "RoadShoulder": (128, 128, 192),
    "Sidewalk": (0, 0, 192),
    "SignSymbol": (192, 128, 128),
    "Sky": (128, 128, 128),
    "SUVPickupTruck": (64, 128, 192),
    "TrafficCone": (0, 0, 64),
    "TrafficLight": (0, 64, 64),
    "Train": (192, 64, 128),
    "Tree": (128, 128, 0),
    "Truck_Bus": (192, 128, 192),
    "Tunnel": (64, 0, 64),
    "VegetationMisc": (192, 192, 0),
    "Void": (0, 0, 0),
    "Wall": (64, 192, 0),
}
_UNKNOWN_COLOR: RGB = (224, 224, 224)
CAMVID_11 = LabelSet(
    names=(
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
    ),
    colors=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0), (192, 128, 128),
        (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip
_SEGNET_IDS = MaskConvention(
    "SegNet's CamVid", values={k: k for k in range(CAMVID_11.num_classes)} | {CAMVID_11.num_classes: 255}
)


def open_camvid(root: Path) -> RoadData | None:
    """All classes but Void, which is ignored; as published (colours), or as fast.ai packs it (ids).

    Published: ``701_StillsRaw_full/<id>.png``, ``LabeledApproved_full/<id>_L.png`` and ``label_colors.txt``. fast.ai:
    ``images/<id>.png``, ``labels/<id>_P.png``, ``codes.txt`` and ``valid.txt``, which names the val pictures.
    """
    if (root / "701_StillsRaw_full").is_dir() and (root / "LabeledApproved_full").is_dir():
        return _published(root)
    if is_named(root / "codes.txt") and (root / "images").is_dir() and files_in(root / "labels", "_P.png"):
        return _fastai(root)
    return None


def open_camvid_11(root: Path) -> RoadData | None:
    """SegNet's ``<split>/<id>.png`` with ``<split>annot/<id>.png``: ids 0 to 10, and 11 for what is ignored."""
    splits = [split for split in SPLIT_NAMES if (root / f"{split}annot").is_dir()]
    # CVAT exports its own classes into the same folders, and tells them in label_colors.txt.
    if not any((root / split).is_dir() for split in splits) or is_named(root / "label_colors.txt"):
        return None
    parts = {
        split: pair_masks(pictures_in(root / split), files_in(root / f"{split}annot", ".png"), _SEGNET_IDS)
        for split in splits
    }
    return merged(root, "camvid-11", CAMVID_11, parts, _drives(parts))


def _published(root: Path) -> RoadData:
    file = root / "label_colors.txt"
    colors = _read_colors(file) if is_named(file) else _COLORS
    labels = _label_set(colors, colors, file)
    convention = MaskConvention(
        "CamVid's label_colors.txt", colors={color: _id(labels, name) for name, color in colors.items()}
    )
    masks = files_in(root / "LabeledApproved_full", "_L.png")
    parts = {"": pair_masks(pictures_in(root / "701_StillsRaw_full"), masks, convention)}
    return merged(root, "camvid", labels, parts, _drives(parts))


def _fastai(root: Path) -> RoadData:
    codes = read_ids(root / "codes.txt")
    labels = _label_set(codes, _COLORS, root / "codes.txt")
    convention = MaskConvention("CamVid's codes.txt", values={k: _id(labels, name) for k, name in enumerate(codes)})
    pictures, masks = pictures_in(root / "images"), files_in(root / "labels", "_P.png")
    valid = root / "valid.txt"
    val = {PurePosixPath(name).stem for name in read_ids(valid)} if is_named(valid) else set()
    parts = {
        split: pair_masks(
            {key: path for key, path in pictures.items() if (key in val) == (split == "val")},
            {key: path for key, path in masks.items() if (key in val) == (split == "val")},
            convention,
        )
        for split in (("train", "val") if val else ("",))
    }
    return merged(root, "camvid", labels, parts, _drives(parts))


def _label_set(names: Iterable[str], colors: Mapping[str, RGB], where: Path) -> LabelSet:
    classes = tuple(name for name in names if name.casefold() != _VOID)
    try:
        return LabelSet(classes, tuple(colors.get(name, _UNKNOWN_COLOR) for name in classes))
    except ConfigError as fault:
        raise DataError(f"{where}: {fault}") from fault


def _id(labels: LabelSet, name: str) -> int:
    return labels.ignore_id if name.casefold() == _VOID else labels.names.index(name)


def _drives(parts: Mapping[str, Pairs]) -> dict[str, dict[str, str]]:
    """The sequence that a frame comes from begins its name: 0001TP, 0006R0, 0016E5 or Seq05VD."""
    ids = [sample.id for pairs in parts.values() for sample in pairs.samples]
    return {key: {"drive": key.partition("_")[0]} for key in ids}


def _read_colors(file: Path) -> dict[str, RGB]:
    with reading(file, DataError, "not a readable list of colours"):
        lines = read_text(file).splitlines()
    colors: dict[str, RGB] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9]{1,3})\s+(\S.*?)\s*", line)
        if found is None:
            raise DataError(f"{file}, line {number}: got '{one_line(line, 80)}', expected 'R G B name'")
        color, name = (int(found[1]), int(found[2]), int(found[3])), found[4]
        if name in colors or color in colors.values():
            said = f"{one_line(name, 80)} or its colour stands there twice; every class needs its own"
            raise DataError(f"{file}, line {number}: {said}")
        colors[name] = color
    return colors
