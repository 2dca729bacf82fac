"""Write labels, with their pictures and attributes, in the formats that others read."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import yaml
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from drivable.curation.destination import place_for, require_names
from drivable.data.id_files import ids_text, read_ids
from drivable.data.road_data import RoadData
from drivable.data.samples import ImageFile, NoImage, Sample, Size, require_one_size
from drivable.data.shapes import text_attributes
from drivable.errors import ConfigError, DataError, nearest_match
from drivable.files import refuse_used, written_whole
from drivable.imaging.images import Pixels, resize_image, resize_label_map
from drivable.imaging.polygonize import outline_mask
from drivable.labels import BDD100K_DRIVABLE, LabelSet
from drivable.reading import open_regular, reading

_log = logging.getLogger(__name__)


class Writer(ABC):
    """Takes label maps one by one and writes one format.

    Args:
        root: an existing folder, empty.
        data: what is written.
    """

    def __init__(self, root: Path, data: RoadData) -> None:
        self.root = root
        self.data = data

    @abstractmethod
    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Write one label map (H, W)."""

    def finish(self) -> None:  # noqa: B027 - most formats have nothing to add at the end.
        """Write what needs all of them."""

    def picture_folder(self) -> str | None:
        """Where pictures go, by splits; ``None`` where the format holds them otherwise."""
        return "images/100k"

    def _save(self, place: str, split: str, key: str, pixels: Pixels) -> None:
        Image.fromarray(pixels).save(place_for(self.root, place, split, f"{key}.png"))


class Bdd100kMasks(Writer):
    """``labels/drivable/masks/<split>/<id>.png``: 0 direct, 1 alternative, 2 background, 255 ignored."""

    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Write the ids."""
        _require_drivable(self.data.labels, "bdd100k-masks")
        self._save("labels/drivable/masks", split, sample.id, label_map)


class _JsonWriter(Writer):
    """One JSON file a split."""

    def __init__(self, root: Path, data: RoadData) -> None:
        super().__init__(root, data)
        self.entries: dict[str, list[dict[str, Any]]] = {}

    def _write(self, place: str, contents: Mapping[str, Any]) -> None:
        for split, values in contents.items():
            file = place_for(self.root, place, f"drivable_{split}.json")
            file.write_text(json.dumps(values), encoding="utf-8")


class Bdd100kPolygons(_JsonWriter):
    """``labels/drivable/polygons/drivable_<split>.json``, frames with ``poly2d`` as of 2021."""

    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Outline the classes; ignored pixels become the category ``unknown``."""
        _require_drivable(self.data.labels, "bdd100k-polygons")
        labels: list[dict[str, Any]] = []
        for category, class_id in (("direct", 0), ("alternative", 1), ("unknown", self.data.labels.ignore_id)):
            for ring in outline_mask(label_map == class_id):
                # The toolkit of 2021 counts from the corner of the first pixel and rounds.
                vertices = (ring + 0.5).astype(int).tolist()
                poly2d = [{"vertices": vertices, "types": "L" * len(vertices), "closed": True}]
                labels.append({"id": str(len(labels)), "category": category, "poly2d": poly2d})
        frame = {
            "name": _picture_name(sample),
            "size": {"width": label_map.shape[1], "height": label_map.shape[0]},
            "attributes": dict(self.data.attributes.get(sample.id, {})),
            "labels": labels,
        }
        self.entries.setdefault(split, []).append(frame)

    def finish(self) -> None:
        """Write one file a split."""
        self._write("labels/drivable/polygons", self.entries)


class CocoRle(_JsonWriter):
    """``labels/drivable/rles/drivable_<split>.json``: COCO's images and annotations with run lengths."""

    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Encode each class that occurs."""
        _require_drivable(self.data.labels, "coco-rle")
        regions = []
        for category, class_id in ((1, 0), (2, 1), (3, self.data.labels.ignore_id)):
            mask = label_map == class_id
            if mask.any():
                rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
                box = coco_mask.toBbox(rle).tolist()
                segmentation = {"counts": rle["counts"].decode("ascii"), "size": list(label_map.shape)}
                regions.append(
                    {"category_id": category, "segmentation": segmentation, "area": int(mask.sum()), "bbox": box}
                )
        height, width = label_map.shape
        image = {"file_name": _picture_name(sample), "height": height, "width": width}
        attributes = dict(self.data.attributes.get(sample.id, {}))
        self.entries.setdefault(split, []).append(
            {"image": image | ({"attributes": attributes} if attributes else {}), "regions": regions}
        )

    def finish(self) -> None:
        """Number everything and write one file a split."""
        categories = [{"id": k, "name": name} for k, name in ((1, "direct"), (2, "alternative"), (3, "unknown"))]
        contents = {}
        for split, entries in self.entries.items():
            images = [{"id": number, **entry["image"]} for number, entry in enumerate(entries, 1)]
            regions = [(number, r) for number, entry in enumerate(entries, 1) for r in entry["regions"]]
            annotations = [
                {"id": k, "image_id": number, "iscrowd": 0, **region} for k, (number, region) in enumerate(regions, 1)
            ]
            contents[split] = {"images": images, "annotations": annotations, "categories": categories}
        self._write("labels/drivable/rles", contents)


class Yolop(Writer):
    """YOLOP's ``images/<split>`` and ``da_seg_annotations/<split>/<id>.png``: 255 may be driven on, 0 not."""

    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Merge all classes but the background; ignored pixels count as not drivable, since YOLOP knows no others."""
        if self.data.labels.background is None:
            raise DataError(f"{self.data.root}: yolop needs a background class, and {self.data.layout} has none")
        drivable = np.isin(label_map, self.data.labels.foreground_ids)
        self._save("da_seg_annotations", split, sample.id, np.where(drivable, 255, 0).astype(np.uint8))

    def picture_folder(self) -> str:
        """``images/<split>``."""
        return "images"


class Folder(Writer):
    """``images/<split>``, ``masks/<split>/<id>.png`` and a ``labels.yaml``, for any classes."""

    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Write the ids."""
        self._save("masks", split, sample.id, label_map)

    def finish(self) -> None:
        """Say what the ids mean."""
        write_labels_yaml(self.root, self.data.labels)

    def picture_folder(self) -> str:
        """``images/<split>``."""
        return "images"


class Arrays(Writer):
    """``image_H_W.npy``, ``label_H_W.npy`` and ``ids.txt``; all pictures of one size, for any classes.

    Args:
        root: an existing folder, empty.
        data: what is written.
        size: (height, width) that all are resized to; ``None`` where all are of one size.
    """

    def __init__(self, root: Path, data: RoadData, size: Size | None = None) -> None:
        super().__init__(root, data)
        self.resizes = size is not None
        self.ids: dict[str, str] = {}
        if size is not None:
            self._start(size)

    def _start(self, size: Size) -> None:
        self.size = size
        num = len(self.data.all_samples)
        self.files = [self.root / f"{kind}_{size[0]}_{size[1]}.npy" for kind in ("image", "label")]
        self.images = _reserved(self.files[0], (num, *size, 3))
        self.label_maps = _reserved(self.files[1], (num, *size))

    def add(self, split: str, sample: Sample, label_map: Pixels) -> None:
        """Append picture and ids."""
        image = sample.image.read()
        if not self.ids and not self.resizes:  # The first that can be read says the size.
            height, width = label_map.shape
            self._start((height, width))
        if label_map.shape != self.size and not self.resizes:
            raise ConfigError(
                f"npy holds pictures of one size, and {sample.id} is {_text(label_map.shape)} where others are "
                f"{_text(self.size)}; give --size HEIGHTxWIDTH"
            )
        self.images[len(self.ids)] = resize_image(image, self.size)
        self.label_maps[len(self.ids)] = resize_label_map(label_map, self.size)
        self.ids[sample.id] = split

    def finish(self) -> None:
        """Drop the rows of pictures that were left out; write ids, splits and what the ids mean."""
        num = len(self.ids)
        for file, rows in zip(self.files, (self.images, self.label_maps), strict=True):
            if num < len(rows):
                np.save(file.with_suffix(".kept.npy"), rows[:num])
                file.with_suffix(".kept.npy").replace(file)
        _write_ids(place_for(self.root, "", "ids.txt"), list(self.ids))
        if any(self.data.samples):
            for split in self.data.samples:
                ids = [key for key, its_split in self.ids.items() if its_split == split]
                _write_ids(place_for(self.root, "splits", f"{split}.txt"), ids)
        write_labels_yaml(self.root, self.data.labels)

    def picture_folder(self) -> None:
        """The array holds them."""


WRITERS: dict[str, Callable[[Path, RoadData], Writer]] = {
    "bdd100k-masks": Bdd100kMasks,
    "bdd100k-polygons": Bdd100kPolygons,
    "coco-rle": CocoRle,
    "yolop": Yolop,
    "npy": Arrays,
    "folder": Folder,
}


def convert(
    data: RoadData,
    destination: Path,
    target: str,
    size: Size | None = None,
    skip_broken: bool = False,
    on_sample: Callable[[], None] = lambda: None,
) -> list[DataError]:
    """Write all labels in another format; pictures, attributes and split files come along.

    Pictures are copied byte by byte. Where there are only labels, they are written without.

    Args:
        data: what to write.
        destination: a new or empty folder.
        target: one of :data:`WRITERS`.
        size: (height, width) in pixels; only for ``npy``, which holds one size.
        skip_broken: leave out what cannot be read.
        on_sample: called after each picture.

    Returns:
        One fault for each picture left out.

    Raises:
        ConfigError: where there is no such format, or a size is given that it does not take.
        DataError: where the format does not know these classes or, without ``skip_broken``, a picture is broken.
        OutputError: where the destination holds files or is not writable; nothing is left of a failed conversion.

    Example:
        >>> convert(open_data("bdd100k"), Path("polygons"), "bdd100k-polygons")
        []
    """
    if target not in WRITERS:
        raise ConfigError(f"format '{target}' is unknown; {nearest_match(target, WRITERS)}")
    if size is not None and target != "npy":
        raise ConfigError(f"--size is for npy, which holds one size; {target} keeps each picture's own")
    destination = destination.absolute()
    refuse_used(destination)
    require_names(data)
    warn_of_orphans(data)
    faults: list[DataError] = []
    left_out: set[str] = set()
    if target in _NO_SPLIT:
        warn_of_no_division(data)
    with written_whole(destination) as temporary:
        temporary.mkdir()
        writer = Arrays(temporary, data, size) if target == "npy" else WRITERS[target](temporary, data)
        for folder, samples in data.samples.items():
            for sample in samples:
                split = folder or _NO_SPLIT.get(target, "")
                try:
                    label_map = sample.label.read()
                    if not isinstance(sample.image, NoImage):
                        require_one_size(sample.id, label_map.shape, sample.image.size())
                    if skip_broken and writer.picture_folder() and not isinstance(sample.image, NoImage):
                        sample.image.read()  # Copied byte by byte, it would not be seen to be broken.
                    writer.add(split, sample, label_map)
                    _copy_picture(sample, temporary, writer.picture_folder(), split)
                except DataError as fault:
                    if not skip_broken:
                        raise
                    faults.append(fault)
                    left_out.add(sample.id)
                on_sample()
        if faults and len(faults) == len(data.all_samples):
            raise DataError(f"{data.root}: not one of {len(faults)} pairs can be read; the first: {faults[0]}")
        writer.finish()
        write_companions(data, temporary, left_out)
    return faults


# Where data has no official folders, these formats want one all the same; split files still divide it.
_NO_SPLIT = dict.fromkeys(("bdd100k-masks", "bdd100k-polygons", "coco-rle", "yolop"), "train")


def warn_of_no_division(data: RoadData) -> None:
    """Say that a format with split folders will hold all images in ``train``, where nothing divides them."""
    splits = data.root / "splits"
    if data.samples.get("") and not (splits.is_dir() and any(splits.rglob("*.txt"))):
        _log.warning(
            "%s: no division of its own, so all %d images become 'train'; divide them first with: drivable data split",
            data.root,
            len(data.samples[""]),
        )


def warn_of_orphans(data: RoadData) -> None:
    """Say how many labels are left out since their images are missing."""
    if data.orphans:
        _log.warning(
            "%s: %d labels without their image are left out, the first: %s",
            data.root,
            len(data.orphans),
            data.orphans[0],
        )


def write_companions(data: RoadData, root: Path, left_out: Collection[str] = ()) -> None:
    """Write attributes and split files beside labels, without the ids that were left out."""
    with reading(data.root):
        said = {key: text_attributes(values) for key, values in data.attributes.items() if key not in left_out}
    rows = {key: values for key, values in said.items() if values}
    if rows:
        columns = ["id", *dict.fromkeys(key for values in rows.values() for key in values)]
        text = io.StringIO()
        cells = chain(columns, rows, *(values.values() for values in rows.values()))
        # A carriage return alone ends a line where csv reads, and gets no quotes where it writes.
        quoting: Literal[0, 1] = csv.QUOTE_ALL if any("\r" in cell for cell in cells) else csv.QUOTE_MINIMAL
        table = csv.DictWriter(text, columns, restval="", lineterminator="\n", quoting=quoting)
        table.writeheader()
        table.writerows({"id": key, **values} for key, values in sorted(rows.items()))
        place_for(root, "", "attributes.csv").write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")
    splits = data.root / "splits"
    for file in sorted(splits.rglob("*.txt")) if splits.is_dir() else ():
        kept = [key for key in read_ids(file) if key not in left_out]
        _write_ids(place_for(root, "splits", *file.relative_to(splits).parts), kept)


def _write_ids(file: Path, ids: list[str]) -> None:
    file.write_text(ids_text(ids), encoding="utf-8", errors="surrogateescape")


def _reserved(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A new array in a file, whose room on the disk is taken at once.

    A mapped file that runs out of room later ends the process with a signal.

    Raises:
        OSError: where there is no room.
    """
    array = open_memmap(file, "w+", np.uint8, shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return array


def _copy_picture(sample: Sample, root: Path, folder: str | None, split: str) -> None:
    if folder is None or isinstance(sample.image, NoImage):
        return
    target = place_for(root, folder, split, _picture_name(sample))
    if isinstance(sample.image, ImageFile):
        with reading(sample.image.file, DataError, "not readable"):
            source = open_regular(sample.image.file)
        with source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    else:
        Image.fromarray(sample.image.read()).save(target)


def _picture_name(sample: Sample) -> str:
    """Name that a picture has where it is copied to."""
    if isinstance(sample.image, ImageFile):
        return f"{sample.id}{PurePath(str(sample.image.file)).suffix}"
    return f"{sample.id}.jpg" if isinstance(sample.image, NoImage) else f"{sample.id}.png"


def _require_drivable(labels: LabelSet, target: str) -> None:
    if labels.names != BDD100K_DRIVABLE.names or labels.ignore_id != BDD100K_DRIVABLE.ignore_id:
        raise DataError(
            f"{target} knows direct, alternative and background, and these classes are {list(labels.names)}; write "
            "them --to folder, or map them to BDD100K's by the classes of a labels.yaml"
        )


def write_labels_yaml(root: Path, labels: LabelSet) -> None:
    """Write a label set as :func:`read_labels_yaml` reads it."""
    # Without a background, whose null might be the name of a class.
    values = {key: value for key, value in labels.to_dict().items() if value is not None}
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None)
    place_for(root, "", "labels.yaml").write_text(text, encoding="utf-8")


def _text(size: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in size)
