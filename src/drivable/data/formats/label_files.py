"""Labels without a layout: a JSON file, or a folder of label files."""

from __future__ import annotations

from pathlib import Path

from drivable.data.encodings import COLORS_2018, CURRENT_IDS, IDS_2018, MaskConvention
from drivable.data.formats.bdd100k import BACKGROUND, CLASSES, require_shapes, split_of
from drivable.data.formats.label_json import NATIVE_SIZE, read_frames
from drivable.data.road_data import Pairs, RoadData, merged, pair_frames
from drivable.data.samples import MaskFile, NoImage, Sample
from drivable.errors import DataError
from drivable.labels import BDD100K_DRIVABLE


def open_label_files(path: Path) -> RoadData:
    """BDD100K's labels in one JSON file, or in all JSON files or all masks of one generation below a folder.

    A split is known by the name of the file or of its folder. There are no pictures; shapes are drawn at 720x1280
    unless they say a size.

    Raises:
        DataError: where there are none, or of several generations.
    """
    if path.is_file():
        return _json(path, [path])
    # Most telling suffixes first: every 2018 mask is also a .png.
    kinds: dict[str, list[Path]] = {"_drivable_id.png": [], "_drivable_color.png": [], ".png": [], ".json": []}
    for file in sorted(path.rglob("*")):
        suffix = next((suffix for suffix in kinds if file.name.endswith(suffix) and file.name[0] != "."), None)
        if suffix is not None:
            kinds[suffix].append(file)
    found = {suffix: files for suffix, files in kinds.items() if files}
    if "_drivable_id.png" in found:
        found.pop("_drivable_color.png", None)  # The same labels once more.
    if len(found) != 1:
        said = ", ".join(f"{len(files)} *{suffix}" for suffix, files in found.items()) or "no label files"
        raise DataError(
            f"{path}: expected a data root, or label files of one kind (*.json, *_drivable_id.png, "
            f"*_drivable_color.png or *.png); found {said}"
        )
    (suffix, files) = found.popitem()
    if suffix == ".json":
        return _json(path, files)
    conventions = {"_drivable_id.png": IDS_2018, "_drivable_color.png": COLORS_2018, ".png": CURRENT_IDS}
    return _masks(path, files, suffix, conventions[suffix])


def _json(root: Path, files: list[Path]) -> RoadData:
    frames = [(file, frame) for file in files for frame in read_frames(file)]
    require_shapes([frame for _, frame in frames], root)
    parts: dict[str, Pairs] = {}
    for split in sorted({split_of(file) for file in files}):
        own = [(file, frame) for file, frame in frames if split_of(file) == split]
        parts[split] = pair_frames({}, own, CLASSES, BACKGROUND, NATIVE_SIZE)
    attributes = {frame.id: frame.attributes for _, frame in frames}
    # One empty picture among few says nothing of the background's share.
    return merged(root, "label-files", BDD100K_DRIVABLE, parts, attributes)


def _masks(root: Path, files: list[Path], suffix: str, convention: MaskConvention) -> RoadData:
    parts: dict[str, list[Sample]] = {}
    for file in files:
        sample = Sample(file.name.removesuffix(suffix), NoImage(file, NATIVE_SIZE), MaskFile(file, convention))
        parts.setdefault(split_of(file), []).append(sample)
    pairs = {split: Pairs(tuple(samples), [], []) for split, samples in parts.items()}
    return merged(root, "label-files", BDD100K_DRIVABLE, pairs, background_is_largest=True)
