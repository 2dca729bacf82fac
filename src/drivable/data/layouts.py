"""Recognise how a data folder is laid out and list its labelled pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from drivable.data.conventions import (
    COLORS_2018,
    CURRENT_IDS,
    IDS_2018,
    MaskConvention,
    class_counts,
    confirm_background,
    identity_convention,
)
from drivable.data.pictures import PICTURE_SUFFIXES
from drivable.data.samples import ArraySample, FileSample, Sample
from drivable.errors import ConfigError, DataError, nearest_match
from drivable.labels import BDD100K_DRIVABLE, LabelSet

_NUM_CONFIRMED = 32


@dataclass(frozen=True)
class RoadData:
    """A data folder as found.

    Args:
        root: the folder.
        layout: name of its layout.
        labels: the classes of its label maps.
        samples: labelled pictures by official split folder (``train``, ``val``, ...); ``""`` where there is none.
        unlabelled: pictures without a mask.
        orphans: masks without a picture.
    """

    root: Path
    layout: str
    labels: LabelSet
    samples: Mapping[str, tuple[Sample, ...]]
    unlabelled: tuple[Path, ...] = ()
    orphans: tuple[Path, ...] = ()

    @property
    def all_samples(self) -> tuple[Sample, ...]:
        """Every labelled picture, sorted by id."""
        return tuple(sorted((s for group in self.samples.values() for s in group), key=lambda sample: sample.id))


@dataclass(frozen=True)
class _MaskFolders:
    """Where one generation of BDD100K keeps its masks: ``<masks>/<split>/<id><suffix>``."""

    masks: str
    suffix: str
    convention: MaskConvention


_BDD100K = {
    "bdd100k-masks": _MaskFolders("labels/drivable/masks", ".png", CURRENT_IDS),
    "bdd100k-colormaps": _MaskFolders("labels/drivable/colormaps", ".png", CURRENT_IDS),
    "bdd100k-2018-ids": _MaskFolders("drivable_maps/labels", "_drivable_id.png", IDS_2018),
    "bdd100k-2018-colors": _MaskFolders("drivable_maps/color_labels", "_drivable_color.png", COLORS_2018),
}
_IMAGES = ("images/100k", "images/10k")
LAYOUTS = (*_BDD100K, "npy", "folder")


def open_data(path: str | Path, layout: str = "auto") -> RoadData:
    """Find the labelled pictures below a folder.

    Known layouts, in the order in which ``auto`` tries them: BDD100K's current masks, its colormaps, the 2018 ids
    and the 2018 colour maps; a pair of arrays ``image_*.npy`` and ``label_*.npy``; a plain ``images/`` + ``masks/``
    folder with a ``labels.yaml``. What a place says of its ids is confirmed by the share of the background.

    Args:
        path: the data root.
        layout: one of :data:`LAYOUTS`, or ``auto``.

    Raises:
        DataError: where the folder is missing, empty, of unknown layout, or its ids contradict its layout.
        ConfigError: where there is no layout of that name.

    Example:
        >>> open_data("bdd100k").layout
        'bdd100k-masks'
    """
    root = Path(path)
    if layout != "auto" and layout not in LAYOUTS:
        raise ConfigError(f"data layout '{layout}' is unknown; {nearest_match(layout, LAYOUTS)}")
    if not root.is_dir():
        raise DataError(f"{root}: no such data folder; give the folder that holds images/ and labels/")
    if not any(root.iterdir()):
        raise DataError(f"{root}: the data folder is empty")
    # The official archives unpack below a folder of their own.
    for place in (root, root / "bdd100k"):
        for name in LAYOUTS if layout == "auto" else (layout,):
            data = _open(place, name)
            if data is not None:
                _confirm(data)
                return data
    wanted = "any known layout" if layout == "auto" else f"layout {layout}"
    found = ", ".join(sorted(entry.name for entry in root.iterdir())[:8])
    raise DataError(
        f"{root}: not laid out as {wanted} (found: {found}). Expected images/100k/<split>/<id>.jpg with "
        "labels/drivable/masks/<split>/<id>.png or drivable_maps/labels/<split>/<id>_drivable_id.png; "
        "image_*.npy with label_*.npy; or images/ and masks/ with a labels.yaml"
    )


def _open(root: Path, layout: str) -> RoadData | None:
    if layout == "npy":
        return _open_arrays(root)
    if layout == "folder":
        return _open_folder(root)
    return _open_bdd100k(root, layout, _BDD100K[layout])


def _open_bdd100k(root: Path, layout: str, folders: _MaskFolders) -> RoadData | None:
    images = next((root / name for name in _IMAGES if (root / name).is_dir()), None)
    masks = root / folders.masks
    if images is None or not masks.is_dir():
        return None
    # Of both, so that masks whose whole picture folder is missing are noticed.
    splits = sorted({entry.name for place in (images, masks) for entry in place.iterdir() if entry.is_dir()})
    samples: dict[str, tuple[Sample, ...]] = {}
    unlabelled: list[Path] = []
    orphans: list[Path] = []
    for split in splits:
        found, without_mask, without_picture = _pair(
            _pictures(images / split), _masks(masks / split, folders.suffix), folders.convention
        )
        if (images / split).is_dir():
            samples[split] = found
        unlabelled += without_mask
        orphans += without_picture
    return RoadData(root, layout, BDD100K_DRIVABLE, samples, tuple(unlabelled), tuple(orphans))


def _pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {p.stem: p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and p.name[0] != "."}


def _masks(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {p.name.removesuffix(suffix): p for p in folder.iterdir() if p.name.endswith(suffix) and p.name[0] != "."}


def _pair(
    pictures: dict[str, Path], masks: dict[str, Path], convention: MaskConvention
) -> tuple[tuple[Sample, ...], list[Path], list[Path]]:
    both = sorted(pictures.keys() & masks.keys())
    return (
        tuple(FileSample(key, pictures[key], masks[key], convention) for key in both),
        [pictures[key] for key in sorted(pictures.keys() - masks.keys())],
        [masks[key] for key in sorted(masks.keys() - pictures.keys())],
    )


def _open_folder(root: Path) -> RoadData | None:
    description = root / "labels.yaml"
    if not all(place.exists() for place in (root / "images", root / "masks", description)):
        return None
    labels, convention = _read_labels_yaml(description)
    samples, unlabelled, orphans = _pair(_pictures(root / "images"), _masks(root / "masks", ".png"), convention)
    return RoadData(root, "folder", labels, {"": samples}, tuple(unlabelled), tuple(orphans))


def _read_labels_yaml(path: Path) -> tuple[LabelSet, MaskConvention]:
    """``names``, ``colors``, ``background``, ``ignore_id``, and ``ids``: mask value -> class name or 'ignore'."""
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise DataError(f"{path}: not readable as YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(values, dict) or "names" not in values:
        raise DataError(f"{path}: expected names, colors, background and, where mask values differ, ids")
    unknown = values.keys() - {"names", "colors", "background", "ignore_id", "ids"}
    if unknown:
        raise DataError(f"{path}: unknown key '{sorted(unknown)[0]}'; known: names, colors, background, ignore_id, ids")
    ids = values.pop("ids", None)
    try:
        labels = LabelSet.from_dict(values)
    except ConfigError as fault:
        raise DataError(f"{path}: {fault}") from fault
    if ids is None:
        return labels, identity_convention(labels)
    if not isinstance(ids, dict) or not all(isinstance(value, int) and 0 <= value <= 255 for value in ids):
        raise DataError(f"{path}: ids must lead from mask values 0..255 to class names or 'ignore', got {ids!r}")
    known = {name: index for index, name in enumerate(labels.names)} | {"ignore": labels.ignore_id}
    wrong = [name for name in ids.values() if name not in known]
    if wrong:
        raise DataError(f"{path}: ids lead to '{wrong[0]}', which is no class; {nearest_match(str(wrong[0]), known)}")
    return labels, MaskConvention(str(path), values={int(value): known[name] for value, name in ids.items()})


def _open_arrays(root: Path) -> RoadData | None:
    for images in sorted(root.glob("image_*.npy")):
        label_maps = images.with_name("label_" + images.name.removeprefix("image_"))
        if not label_maps.is_file():
            raise DataError(f"{images}: its label array {label_maps.name} is missing beside it")
        shapes = []
        for path, axes in ((images, 4), (label_maps, 3)):
            try:
                array = np.load(path, mmap_mode="r")
            except (OSError, ValueError) as fault:
                raise DataError(f"{path}: not a readable .npy array: {fault}") from fault
            if array.ndim != axes or array.dtype != np.uint8:
                raise DataError(f"{path}: got {array.dtype} {array.shape}, expected uint8 with {axes} axes")
            shapes.append(array.shape)
        if shapes[0] != (*shapes[1], 3):
            raise DataError(
                f"{images}: pictures {shapes[0]} and labels {shapes[1]} do not match; expected (N, H, W, 3)"
            )
        digits = max(6, len(str(shapes[0][0])))
        samples = tuple(ArraySample(f"{i:0{digits}d}", images, label_maps, i) for i in range(shapes[0][0]))
        return RoadData(root, "npy", BDD100K_DRIVABLE, {"": samples})
    return None


def _confirm(data: RoadData) -> None:
    samples = data.all_samples
    if not samples:
        found = f"{len(data.unlabelled)} pictures without a mask, {len(data.orphans)} masks without a picture"
        raise DataError(f"{data.root}: no labelled picture in layout {data.layout} ({found}); names must match")
    if data.layout == "folder":
        return  # Its labels.yaml says what the ids mean.
    step = max(1, len(samples) // _NUM_CONFIRMED)
    label_maps, faults = [], []
    for sample in samples[::step][:_NUM_CONFIRMED]:
        try:
            label_maps.append(sample.read_label_map())
        except DataError as fault:
            faults.append(fault)  # One broken mask is told by whoever needs it; only all of them stop here.
    if not label_maps:
        raise faults[0]
    if class_counts(label_maps, data.labels).sum() == 0:
        values = sorted({int(v) for label_map in label_maps for v in np.unique(label_map)})
        raise DataError(f"{data.root}: no pixel has a class; ids found {values}, expected {list(range(3))}")
    where = re.sub(r"^bdd100k-", "BDD100K ", data.layout)
    confirm_background(label_maps, data.labels, f"{data.root} ({where})")
