"""A resized copy of a data folder, for machines with little disk and loaders with little time."""

from __future__ import annotations

import json
import os
import random
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePath

from PIL import Image

from drivable.curation.conversion import warn_of_no_division, warn_of_orphans, write_companions, write_labels_yaml
from drivable.curation.destination import place_for, require_names
from drivable.data.formats.shards import SHARDS, write_index
from drivable.data.road_data import RoadData
from drivable.data.samples import ImageFile, Sample, Size, read_pair
from drivable.data.workers import in_workers
from drivable.errors import DataError, OutputError
from drivable.files import check_name, refuse_used, written_whole
from drivable.imaging.images import resize_image, resize_label_map
from drivable.labels import BDD100K_DRIVABLE
from drivable.reading import open_regular

_CHUNK = 8


@dataclass(frozen=True)
class Packed:
    """A pair as it will lie on the disk, or what is wrong with it."""

    id: str
    suffix: str = ""
    image: bytes = b""
    mask: bytes = b""
    fault: DataError | None = None


class _Packer(ABC):
    """Takes pairs split by split and lays them out."""

    def __init__(self, root: Path, data: RoadData) -> None:
        self.root = root
        self.data = data

    @abstractmethod
    def add(self, split: str, packed: Packed) -> None:
        """Write one pair."""

    def finish(self) -> None:  # noqa: B027 - files in folders are finished as they are.
        """Write what needs all pairs."""


class _Folders(_Packer):
    """BDD100K's current layout, or a plain folder for other classes."""

    def add(self, split: str, packed: Packed) -> None:
        """Write two files."""
        is_bdd100k = self.data.labels == BDD100K_DRIVABLE
        images = "images/100k" if is_bdd100k else "images"
        masks = "labels/drivable/masks" if is_bdd100k else "masks"
        place_for(self.root, images, split, f"{packed.id}{packed.suffix}").write_bytes(packed.image)
        place_for(self.root, masks, split, f"{packed.id}.png").write_bytes(packed.mask)


class _Shards(_Packer):
    """WebDataset's tar files, so many pairs in each."""

    def __init__(self, root: Path, data: RoadData, pairs_per_shard: int) -> None:
        super().__init__(root, data)
        self.pairs_per_shard = pairs_per_shard
        self._split, self._num_pairs = "", 0
        self._tar: tarfile.TarFile | None = None

    def add(self, split: str, packed: Packed) -> None:
        """Append two or three members."""
        if "." in packed.id:
            raise DataError(f"'{packed.id}': in shards the name of a picture ends at its first dot; rename it")
        if split != self._split:
            self._split, self._num_pairs = split, 0
        if self._num_pairs % self.pairs_per_shard == 0:
            self._close()
            number = self._num_pairs // self.pairs_per_shard
            self._tar = tarfile.TarFile(place_for(self.root, SHARDS, f"{split}-{number:06d}.tar"), "w")
        # A picture that is a PNG must not take the mask's name.
        suffix = f".image{packed.suffix}" if packed.suffix == ".png" else packed.suffix
        self._append(f"{packed.id}{suffix}", packed.image)
        self._append(f"{packed.id}.png", packed.mask)
        if self.data.attributes.get(packed.id):
            self._append(f"{packed.id}.json", json.dumps(dict(self.data.attributes[packed.id])).encode())
        self._num_pairs += 1

    def finish(self) -> None:
        """Close the last shard and write down where everything is."""
        self._close()
        write_index(self.root / SHARDS)

    def _append(self, name: str, content: bytes) -> None:
        assert self._tar is not None
        member = tarfile.TarInfo(check_name(name, "name"))
        member.size = len(content)
        self._tar.addfile(member, BytesIO(content))

    def _close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def pack(
    data: RoadData,
    destination: Path,
    size: Size | None,
    skip_broken: bool = False,
    on_sample: Callable[[], None] = lambda: None,
    pairs_per_shard: int | None = None,
    num_workers: int | None = None,
) -> list[DataError]:
    """Write every labelled picture at ``size``, as folders or as shards.

    Split files and attributes come along. Resized pictures become JPEG of quality 90, label maps PNG of ids, resized
    by the nearest pixel. Folders are BDD100K's current layout, or ``images/`` and ``masks/`` with a ``labels.yaml``
    for other classes. Shards are WebDataset's, each in a random order of its own split, so that whoever reads them
    from end to end meets the pictures mixed.

    Args:
        data: what to copy.
        destination: a new or empty folder.
        size: (height, width) in pixels; ``None`` keeps pictures as they are.
        skip_broken: leave out pictures that cannot be read.
        on_sample: called after each picture.
        pairs_per_shard: write shards of so many pairs.
        num_workers: processes that read and write pictures; ``None`` for one a core.

    Returns:
        One fault for each picture left out.

    Raises:
        DataError: where, without ``skip_broken``, a picture is broken.
        OutputError: where the destination holds files or is not writable; nothing is left of a failed copy.

    Example:
        >>> pack(open_data("bdd100k"), Path("bdd100k-small"), (180, 320))
        []
    """
    destination = destination.absolute()
    if destination == Path.cwd():
        raise OutputError(f"{destination}: is the current folder; name a new one")
    refuse_used(destination)
    require_names(data)
    warn_of_orphans(data)
    faults: list[DataError] = []
    left_out: set[str] = set()
    warn_of_no_division(data)
    with written_whole(destination) as temporary:
        temporary.mkdir()
        packer = _Folders(temporary, data) if pairs_per_shard is None else _Shards(temporary, data, pairs_per_shard)
        for folder, samples in data.samples.items():
            ordered = list(samples)
            if pairs_per_shard is not None:
                random.Random(0).shuffle(ordered)
            encode, num = partial(_encode, size=size), num_workers or os.cpu_count() or 1
            with closing(in_workers(encode, ordered, num, _CHUNK)) as encoded:
                for packed in encoded:
                    if packed.fault is None:
                        packer.add(folder or "train", packed)
                    elif not skip_broken:
                        raise packed.fault
                    else:
                        faults.append(packed.fault)
                        left_out.add(packed.id)
                    on_sample()
        packer.finish()
        if data.labels != BDD100K_DRIVABLE:
            write_labels_yaml(temporary, data.labels)
        write_companions(data, temporary, left_out)
    return faults


def _encode(sample: Sample, size: Size | None) -> Packed:
    try:
        image, label_map = read_pair(sample)
    except DataError as fault:
        return Packed(sample.id, fault=fault)
    mask = BytesIO()
    Image.fromarray(label_map if size is None else resize_label_map(label_map, size)).save(mask, "PNG")
    if size is None and isinstance(sample.image, ImageFile):
        with open_regular(sample.image.file) as stream:
            suffix = PurePath(str(sample.image.file)).suffix.lower()
            return Packed(sample.id, suffix, stream.read(), mask.getvalue())
    content = BytesIO()
    Image.fromarray(image if size is None else resize_image(image, size)).save(content, "JPEG", quality=90)
    return Packed(sample.id, ".jpg", content.getvalue(), mask.getvalue())
