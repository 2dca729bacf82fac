"""Recognise how a data folder is laid out and list its labelled pictures.

One file a family of layouts; :data:`LAYOUTS` is the list. A new layout is a function from a folder to
:class:`RoadData` or ``None``, and a line here.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from upath import UPath

from drivable.data.encodings import IDS, black_and_white, confirm_background, explain_one_and_255
from drivable.data.formats.arrays import open_arrays
from drivable.data.formats.bdd100k import (
    open_colormaps,
    open_colors_2018,
    open_ids_2018,
    open_json_2018,
    open_masks,
    open_polygons,
    open_rles,
)
from drivable.data.formats.camvid import open_camvid, open_camvid_11
from drivable.data.formats.cityscapes import open_cityscapes, open_cityscapes_road
from drivable.data.formats.comma10k import open_comma10k
from drivable.data.formats.cvat import open_cvat, open_cvat_masks
from drivable.data.formats.folder import open_folder
from drivable.data.formats.kitti_road import open_kitti_lane, open_kitti_road
from drivable.data.formats.label_files import open_label_files
from drivable.data.formats.label_studio import open_label_studio
from drivable.data.formats.mapillary import open_mapillary
from drivable.data.formats.shards import open_shards
from drivable.data.formats.yolop import open_yolop
from drivable.data.remap import described, renamed, with_convention
from drivable.data.road_data import Layout, RoadData
from drivable.data.samples import ArrayLabels, MaskFile, Sample
from drivable.errors import ConfigError, DataError, nearest_match, one_line
from drivable.reading import reading

_log = logging.getLogger(__name__)

__all__ = ["LAYOUTS", "Layout", "RoadData", "confirm", "open_data", "open_labels"]

# In the order in which they are tried.
LAYOUTS: dict[str, Layout] = {
    "bdd100k-masks": open_masks,
    "bdd100k-colormaps": open_colormaps,
    "bdd100k-polygons": open_polygons,
    "bdd100k-rles": open_rles,
    "bdd100k-2018-ids": open_ids_2018,
    "bdd100k-2018-colors": open_colors_2018,
    # Before the JSON of 2018, which holds other tasks' labels in YOLOP's folders.
    "yolop": open_yolop,
    "bdd100k-2018-json": open_json_2018,
    "webdataset": open_shards,
    "npy": open_arrays,
    "folder": open_folder,
    "cityscapes": open_cityscapes,
    "cityscapes-road": open_cityscapes_road,
    "camvid": open_camvid,
    "camvid-11": open_camvid_11,
    "kitti-road": open_kitti_road,
    "kitti-lane": open_kitti_lane,
    "comma10k": open_comma10k,
    "mapillary": open_mapillary,
    "cvat": open_cvat,
    "cvat-masks": open_cvat_masks,
    "label-studio": open_label_studio,
}
_NUM_CONFIRMED = 32


def open_data(path: str | Path, layout: str = "auto", ids: str | None = None, confirmed: bool = True) -> RoadData:
    """Find the labelled pictures below a folder.

    ``auto`` tries the layouts in the order of :data:`LAYOUTS`. What a place says of its ids is confirmed by the share
    of the background. Where the folder has a ``labels.yaml`` with ``classes``, its classes replace the layout's own.

    Args:
        path: the data root; also an address such as ``s3://bucket/bdd100k``, see :func:`data_root`.
        layout: one of :data:`LAYOUTS`, or ``auto``.
        ids: what the masks' values mean where it is not what their place says: one of :data:`IDS`.
        confirmed: refuse ids that contradict their layout; an inspection wants to see them.

    Raises:
        DataError: where the folder is missing, empty, of unknown layout, or its ids contradict its layout.
        ConfigError: where there is no layout or convention of that name.

    Example:
        >>> open_data("bdd100k").layout
        'bdd100k-masks'
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise ConfigError(f"data layout '{layout}' is unknown; {nearest_match(layout, LAYOUTS)}")
    root = data_root(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such data folder; give the folder that holds images/ and labels/")
    with reading(root, DataError, "cannot be looked into"):
        if not any(root.iterdir()):
            raise DataError(f"{root}: the data folder is empty")
    data = _recognise(root, layout, ids, confirmed)
    if data is None:
        wanted = "any known layout" if layout == "auto" else f"layout {layout}"
        found = ", ".join(sorted(entry.name for entry in root.iterdir())[:8])
        raise DataError(
            f"{root}: not laid out as {wanted} (found: {found}). Expected images/100k/<split>/<id>.jpg with "
            "labels/drivable/masks/<split>/<id>.png or drivable_maps/labels/<split>/<id>_drivable_id.png; "
            "image_*.npy with label_*.npy; images/ and masks/ with a labels.yaml; or one of the layouts "
            f"{', '.join(LAYOUTS)}"
        )
    return data


def data_root(path: str | Path) -> Path:
    """The folder that a user names: a local path, or any address that fsspec knows, such as ``s3://bucket/roads``.

    Raises:
        ConfigError: where the address's kind is unknown or its package is not installed.
    """
    if isinstance(path, Path) or not isinstance(path, str) or "://" not in path:
        return Path(path) if isinstance(path, str) else path
    try:
        return UPath(path)  # type: ignore[return-value]
    except (ValueError, ImportError) as fault:
        raise ConfigError(f"{path}: {' '.join(str(fault).split())}") from fault


def _recognise(root: Path, layout: str, ids: str | None = None, confirmed: bool = True) -> RoadData | None:
    # The official archives unpack below a folder of their own.
    for place in (root, root / "bdd100k"):
        for name in LAYOUTS if layout == "auto" else (layout,):
            data = LAYOUTS[name](place)
            if data is not None:
                data = _with_ids(described(data), ids)
                if confirmed:
                    confirm(data)
                    _warn(data)
                return renamed(data)
    return None


def _with_ids(data: RoadData, ids: str | None) -> RoadData:
    if ids is None:
        return data
    if ids not in IDS:
        raise ConfigError(f"ids '{ids}' are unknown; {nearest_match(ids, IDS)}")
    read = with_convention(data, *IDS[ids])
    if read is None:
        raise ConfigError(f"--ids says what masks of one channel mean, and {data.layout} has none")
    return read


def open_labels(path: str | Path, layout: str = "auto", ids: str | None = None) -> RoadData:
    """Like :func:`open_data`, but a JSON file or a folder of label files will do; those have no pictures.

    Raises:
        DataError: as there.
        ConfigError: as there.

    Example:
        >>> open_labels("drivable_val.json").labels.names
        ('direct', 'alternative', 'background')
    """
    root = data_root(path)
    if layout != "auto" or not root.exists():
        return open_data(root, layout, ids)
    data = _recognise(root, layout, ids) if root.is_dir() else None
    if data is None:
        data = _with_ids(open_label_files(root), ids)
        confirm(data)
        _warn(data)
    return data


def _warn(data: RoadData) -> None:
    for file, said in data.undrawn:
        _log.warning("%s: %s", file, said)


def confirm(data: RoadData) -> None:
    """Read a few label maps and see whether their ids mean what their place says.

    Raises:
        DataError: where there is no labelled picture, no pixel has a class, background is not the largest class, or all
            that the masks mark is ignored.
    """
    samples = data.all_samples
    if not samples:
        found = f"{len(data.unlabelled)} pictures without a label, {len(data.orphans)} labels without a picture"
        raise DataError(f"{data.root}: no labelled picture in layout {data.layout} ({found}); names must match")
    # Of labels that are drawn, and of colours, there is nothing to confirm.
    conventions = [sample.label.convention for sample in samples if isinstance(sample.label, MaskFile | ArrayLabels)]
    if not data.background_is_largest and all(c.is_told or c.values is None for c in conventions):
        return
    step = max(1, len(samples) // _NUM_CONFIRMED)
    read: list[Sample] = []
    label_maps, faults = [], []
    for sample in samples[::step][:_NUM_CONFIRMED]:
        try:
            label_maps.append(sample.label.read())
            read.append(sample)
        except DataError as fault:
            faults.append(fault)  # One broken mask is told by whoever needs it; only all of them stop here.
    if not label_maps:
        raise faults[0]
    ids_of = [np.flatnonzero(np.bincount(label_map.ravel())).tolist() for label_map in label_maps]
    present = sorted(set[int]().union(*ids_of))
    if not any(value < data.labels.num_classes for value in present):
        expected = list(range(data.labels.num_classes))
        raise DataError(f"{data.root}: no pixel has a class; ids found {present}, expected {one_line(expected)}")
    if data.background_is_largest:
        confirm_background(label_maps, data.labels, f"{data.root} ({data.layout})")
    elif conventions and (explained := explain_one_and_255(present, data.labels, conventions[0])):
        raise DataError(f"{data.root}: {'; '.join(explained)}", kind="ids-0-255")
    _warn_of_black_and_white(data, read, ids_of)


def _warn_of_black_and_white(data: RoadData, samples: Sequence[Sample], ids_of: Sequence[Collection[int]]) -> None:
    """Warn of masks of 0 and 255 alone beside others; ``ids_of`` are what each sample's label map holds."""
    if data.labels.ignore_id != 255:
        return
    present = {
        sample.id: ids
        for sample, ids in zip(samples, ids_of, strict=True)
        if isinstance(sample.label, MaskFile | ArrayLabels)
        and sample.label.convention.ignores_by_default
        and (sample.label.convention.values or {}).get(0) == 0
    }
    found = black_and_white(present)
    if found:
        _log.warning(
            "%s: %d of %d masks looked at hold 0 and 255 alone where others hold ids, '%s' first: read as %s, and all "
            "else is ignored; write them with the ids of the others, or say under ids in a labels.yaml what 255 means, "
            "or ignore",
            data.root,
            len(found),
            len(samples),
            one_line(found[0], 80),
            data.labels.names[0],
        )
