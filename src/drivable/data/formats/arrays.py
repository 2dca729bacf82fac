"""A pair of arrays: ``image_*.npy`` (N, H, W, 3) and ``label_*.npy`` (N, H, W), both uint8."""

from __future__ import annotations

from pathlib import Path

from drivable.data.encodings import CURRENT_IDS
from drivable.data.id_files import read_ids
from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.road_data import RoadData, files_in, own_attributes
from drivable.data.samples import ArrayImage, ArrayLabels, Sample, open_array
from drivable.errors import DataError
from drivable.files import check_name
from drivable.labels import BDD100K_DRIVABLE
from drivable.reading import is_named, reading


def open_arrays(root: Path) -> RoadData | None:
    """The arrays' entries; ids stand in ``ids.txt``, one a line, or are counted. Values as ``labels.yaml`` says."""
    images = next(iter(files_in(root, ".npy", "image_").values()), None)
    if images is None:
        return None
    label_maps = images.with_name("label_" + images.name[len("image_") :])
    if not is_named(label_maps):
        raise DataError(f"{images}: its label array {label_maps.name} is missing beside it")
    pixels, ids = open_array(images).shape, open_array(label_maps).shape
    if pixels != (*ids, 3):
        raise DataError(f"{images}: pictures {pixels} and labels {ids} do not match; expected (N, H, W, 3)")
    num = pixels[0]
    described = root / "labels.yaml"
    labels, convention = BDD100K_DRIVABLE, CURRENT_IDS
    if is_named(described):
        said = read_labels_yaml(described)
        labels, convention = said.labels, said.convention
    named = root / "ids.txt"
    keys = read_ids(named) if is_named(named) else [f"{i:0{max(6, len(str(num)))}d}" for i in range(num)]
    with reading(named):
        for key in keys:
            check_name(key, "image id")
    if len(keys) != num:
        raise DataError(f"{named}: {len(keys)} ids for {num} pictures")
    samples = tuple(
        Sample(key, ArrayImage(images, i), ArrayLabels(label_maps, i, convention)) for i, key in enumerate(keys)
    )
    return RoadData(
        root,
        "npy",
        labels,
        {"": samples},
        attributes=own_attributes(root, set(keys)),
        background_is_largest=labels == BDD100K_DRIVABLE,
    )
