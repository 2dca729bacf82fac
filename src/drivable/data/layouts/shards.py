"""Shards as WebDataset defines them: tar files whose neighbouring members of one name make a sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from drivable.data.conventions import CURRENT_IDS, identity_convention
from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.layouts.road_data import Pairs, RoadData, merged
from drivable.data.samples import ImageFile, MaskFile, Sample
from drivable.errors import DataError
from drivable.labels import BDD100K_DRIVABLE

SHARDS, INDEX = "shards", "index.json"


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
        """Its bytes."""
        with self.tar.open(mode) as stream:
            stream.seek(self.offset)
            return BytesIO(stream.read(self.num_bytes))


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
    for tar in tars:
        pairs = parts.setdefault(tar.stem.rpartition("-")[0], Pairs((), [], []))
        members = index[tar.name] if tar.name in index else _members(tar)
        samples = []
        for key, files in _by_key(tar, members).items():
            image = next((files[suffix] for suffix in ("jpg", "jpeg", "image.png") if suffix in files), None)
            mask = files.get("png")
            if image is not None and mask is not None:
                samples.append(Sample(key, ImageFile(image), MaskFile(mask, convention)))
            elif mask is not None:
                pairs.orphans.append(tar / mask.name)
            elif image is not None:
                pairs.unlabelled.append(tar / image.name)
            if "json" in files and not has_table:
                attributes[key] = _attributes(files["json"])
        parts[tar.stem.rpartition("-")[0]] = Pairs(
            tuple(sorted((*pairs.samples, *samples), key=lambda sample: sample.id)), pairs.unlabelled, pairs.orphans
        )
    return merged(root, "webdataset", labels, parts, attributes, background_is_largest=labels == BDD100K_DRIVABLE)


def _members(tar: Path) -> list[tuple[str, int, int]]:
    try:
        with tar.open("rb") as stream, tarfile.open(fileobj=stream) as opened:
            return [(member.name, member.offset_data, member.size) for member in opened if member.isfile()]
    except (OSError, tarfile.TarError) as fault:
        raise DataError(f"{tar}: not a readable tar file: {fault}; was its copy cut off?") from fault


def write_index(folder: Path) -> None:
    """Write down where the members of all shards in a folder are."""
    index = {tar.name: _members(tar) for tar in sorted(folder.glob("*.tar"))}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def _read_index(file: Path) -> dict[str, list[tuple[str, int, int]]]:
    if not file.is_file():
        return {}
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
        return {tar: [(str(a), int(b), int(c)) for a, b, c in members] for tar, members in values.items()}
    except (OSError, ValueError, TypeError, AttributeError) as fault:
        raise DataError(
            f"{file}: not a readable index: {fault}; remove it and the shards are looked through"
        ) from fault


def _by_key(tar: Path, members: Iterable[tuple[str, int, int]]) -> dict[str, dict[str, TarMember]]:
    """Members by key and suffix; as WebDataset has it, the key ends at the first dot."""
    keyed: dict[str, dict[str, TarMember]] = {}
    for name, offset, num_bytes in members:
        key, _, suffix = name.rpartition("/")[2].partition(".")
        if key:
            keyed.setdefault(key, {})[suffix.lower()] = TarMember(tar, name, offset, num_bytes)
    return keyed


def _attributes(file: TarMember) -> dict[str, str]:
    try:
        values = json.loads(file.open("rb").read())
    except (OSError, ValueError) as fault:
        raise DataError(f"{file}: broken JSON: {fault}") from fault
    return {key: value for key, value in values.items() if isinstance(value, str)} if isinstance(values, dict) else {}
