"""Shards as WebDataset defines them: tar files whose neighbouring members of one name make a sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

from drivable.data.encodings import CURRENT_IDS, identity_convention
from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.road_data import Pairs, RoadData, merged
from drivable.data.samples import ImageFile, MaskFile, Sample
from drivable.data.shapes import text_attributes
from drivable.errors import DataError, one_line
from drivable.files import check_name
from drivable.labels import BDD100K_DRIVABLE
from drivable.reading import open_regular, parse_json, read_text, reading

SHARDS, INDEX = "shards", "index.json"
Member = tuple[str, int, int]


@dataclass(frozen=True)
class TarMember:
    """One file within a tar file, read by its place without looking at what stands before it.

    Args:
        tar: the tar file.
        name: of the member.
        offset: of its first byte in the tar file.
        num_bytes: its length.
    """

    tar: Path
    name: str
    offset: int
    num_bytes: int

    def __str__(self) -> str:
        return f"{self.tar}/{self.name}"

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Its bytes.

        Raises:
            OSError: where the tar file ends before them.
        """
        with open_regular(self.tar) as stream:
            stream.seek(self.offset)
            content = stream.read(self.num_bytes)
        if len(content) < self.num_bytes:
            raise OSError(f"{len(content)} of {self.num_bytes} bytes; was the copy of {self.tar.name} cut off?")
        return BytesIO(content)


def open_shards(root: Path) -> RoadData | None:
    """``shards/<split>-<number>.tar`` with ``<id>.jpg``, ``<id>.png`` (ids) and, for attributes, ``<id>.json``.

    Places of members stand in ``shards/index.json``; without it, or for shards of others, the tar files are looked
    through. Classes as in ``labels.yaml``, BDD100K's without one.
    """
    tars = sorted((root / SHARDS).glob("*.tar")) if (root / SHARDS).is_dir() else []
    if not tars:
        return None
    described = root / "labels.yaml"
    labels = read_labels_yaml(described).labels if described.is_file() else BDD100K_DRIVABLE
    convention = CURRENT_IDS if labels == BDD100K_DRIVABLE else identity_convention(labels)
    index = _read_index(root / SHARDS / INDEX)
    has_table = (root / "attributes.csv").is_file()  # One file instead of one member a picture.
    parts: dict[str, Pairs] = {}
    attributes: dict[str, dict[str, str]] = {}
    seen: dict[tuple[str, str], Path] = {}
    for tar in tars:
        split = tar.stem.rpartition("-")[0]
        if split:
            with reading(tar):
                check_name(split, "split")
        pairs = parts.setdefault(split, Pairs((), [], []))
        if tar.name in index:
            members = index[tar.name]
            _require_inside(tar, members, root / SHARDS / INDEX)
        else:
            members = _members(tar)
        samples = []
        for key, files in _by_key(tar, members).items():
            if (split, key) in seen:
                raise DataError(f"{tar}: '{key}' is in {seen[split, key].name} too; a sample has one place in a split")
            seen[split, key] = tar
            image = next((files[suffix] for suffix in ("jpg", "jpeg", "image.png") if suffix in files), None)
            mask = files.get("png")
            if image is not None and mask is not None:
                samples.append(Sample(key, ImageFile(image), MaskFile(mask, convention)))
            elif mask is not None:
                pairs.orphans.append(tar / one_line(mask.name))
            elif image is not None:
                pairs.unlabelled.append(tar / one_line(image.name))
            if "json" in files and not has_table:
                attributes[key] = _attributes(files["json"])
        parts[split] = Pairs(
            tuple(sorted((*pairs.samples, *samples), key=lambda sample: sample.id)), pairs.unlabelled, pairs.orphans
        )
    return merged(root, "webdataset", labels, parts, attributes, background_is_largest=labels == BDD100K_DRIVABLE)


def _members(tar: Path) -> list[Member]:
    """(name, offset, bytes) of the files in a tar file, which is not compressed."""
    members: list[Member] = []
    # Mode "r:", since whoever reads a member seeks it.
    with (
        reading(tar, DataError, "not a readable tar file", "was its copy cut off?"),
        open_regular(tar) as stream,
        tarfile.open(fileobj=stream, mode="r:") as opened,
    ):
        before = -1
        for member in opened:
            # A negative size leads the reading back to where it was.
            if member.offset_data <= before or member.size < 0:
                raise DataError(f"{tar}: '{one_line(member.name, 80)}' has no place of its own; make it anew")
            before = member.offset_data
            if member.issparse():
                raise DataError(f"{tar}: '{one_line(member.name, 80)}' is stored with holes; make it anew without")
            if member.isfile():
                members.append((member.name, member.offset_data, member.size))
        # A block of zeros is the end; tarfile takes a missing or a broken head for it too.
        stream.seek(opened.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            said = f"'{one_line(members[-1][0], 80)}'" if members else "the beginning"
            raise DataError(f"{tar}: no member and no end after {said}; was its copy cut off?")
    return members


def write_index(folder: Path) -> None:
    """Write down where the members of all shards in a folder are."""
    index = {tar.name: _members(tar) for tar in sorted(folder.glob("*.tar"))}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _read_index(file: Path) -> dict[str, list[Member]]:
    if not file.is_file():
        return {}
    with reading(file, DataError, "not a readable index", "remove it and the shards are looked through"):
        values = parse_json(read_text(file))
        return {tar: [_member(*entry) for entry in members] for tar, members in values.items()}


def _member(name: object, offset: object, num_bytes: object) -> Member:
    if not (isinstance(name, str) and type(offset) is int and type(num_bytes) is int and min(offset, num_bytes) >= 0):
        raise ValueError(f"expected a name, a place and a length, got {one_line([name, offset, num_bytes])}")
    return name, offset, num_bytes


def _require_inside(tar: Path, members: Iterable[Member], index: Path) -> None:
    """What an index says of a tar file must lie in it: nobody reads more than there is."""
    with reading(tar, DataError, "not a readable tar file"):
        num_bytes = tar.stat().st_size
    for name, offset, length in members:
        if offset + length > num_bytes:
            raise DataError(
                f"{index}: '{one_line(name, 80)}' ends at byte {one_line(offset + length, 24)} of {tar.name}, which "
                f"has {num_bytes}; remove the index and the shards are looked through"
            )


def _by_key(tar: Path, members: Iterable[Member]) -> dict[str, dict[str, TarMember]]:
    """Members by key and suffix; as WebDataset has it, the key ends at the first dot."""
    keyed: dict[str, dict[str, TarMember]] = {}
    for name, offset, num_bytes in members:
        key, _, suffix = name.rpartition("/")[2].partition(".")
        if key:
            with reading(tar):
                check_name(key, "image id")
            keyed.setdefault(key, {})[suffix.lower()] = TarMember(tar, name, offset, num_bytes)
    return keyed


def _attributes(file: TarMember) -> dict[str, str]:
    with reading(file, DataError, "broken JSON"):
        values = parse_json(file.open("rb").read())
        return text_attributes(values) if isinstance(values, dict) else {}
