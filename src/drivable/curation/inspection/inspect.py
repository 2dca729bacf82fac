"""Read every pair of a data folder once, on all cores, and say what is there and what is wrong."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from drivable.curation.inspection.examine import Record, examine
from drivable.curation.inspection.findings import Finding, finding
from drivable.curation.inspection.likeness import alike
from drivable.curation.splits import drive_of
from drivable.data.encodings import MaskConvention, black_and_white, explain_one_and_255
from drivable.data.formats.shards import TarMember
from drivable.data.id_files import read_ids
from drivable.data.road_data import SPLIT_NAMES, RoadData
from drivable.data.samples import Sample
from drivable.data.splits import hint_at_ids
from drivable.data.workers import in_workers
from drivable.errors import DataError
from drivable.reading import parse_json

_log = logging.getLogger(__name__)
_CHUNK = 16
_CACHE_VERSION = 2
# A picture whose sky is road was read by another generation's ids.
_ROTATED_SHARE = 0.5
_IGNORED_SHARE = 0.03
_MUCH_IGNORED = 0.1


@dataclass(frozen=True)
class Inspection:
    """What a data folder holds.

    Args:
        layout: name of its layout.
        num_pairs: labelled pictures by split folder.
        num_unlabelled: pictures without a label.
        sizes: pictures by (height, width).
        ids: pixels by id over all label maps.
        class_shares: share of all labelled pixels by class name, 0..1.
        pictures_with: pictures in which the class occurs, by class name.
        ignored_share: share of all pixels that carry the ignore id, 0..1.
        slices: class shares and number of pictures by attribute and value.
        brightness: mean grey of each picture, 0..255.
        findings: errors, warnings and notes, in this order.
    """

    layout: str
    num_pairs: dict[str, int]
    num_unlabelled: int
    sizes: dict[tuple[int, int], int]
    ids: dict[int, int]
    class_shares: dict[str, float]
    pictures_with: dict[str, int]
    ignored_share: float
    slices: dict[str, dict[str, dict[str, float]]]
    brightness: list[float]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Errors and warnings."""
        return tuple(found for found in self.findings if found.severity != "note")

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What would spoil a training."""
        return tuple(found for found in self.findings if found.severity == "error")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "layout": self.layout,
            "num_pairs": self.num_pairs,
            "num_unlabelled": self.num_unlabelled,
            "sizes": {f"{height}x{width}": count for (height, width), count in self.sizes.items()},
            "ids": {str(value): count for value, count in self.ids.items()},
            "class_shares": self.class_shares,
            "pictures_with": self.pictures_with,
            "ignored_share": self.ignored_share,
            "slices": self.slices,
            "brightness": {
                "mean": float(np.mean(self.brightness)) if self.brightness else None,
                "dark_share": float(np.mean(np.array(self.brightness) < 60)) if self.brightness else None,
            },
            "faults": [found.to_dict() for found in self.faults],
            "notes": [found.to_dict() for found in self.findings if found.severity == "note"],
        }


def inspect(
    data: RoadData,
    on_sample: Callable[[], None] = lambda: None,
    cache: Path | None = None,
    num_workers: int | None = None,
) -> Inspection:
    """Examine every pair, the pairs among each other, and the split files.

    Args:
        data: what to look at; opened with ``confirmed=False``, so that wrong ids can be named.
        on_sample: called after each pair.
        cache: file that keeps what was found of each pair as long as its files stay the same, so that a stopped
            inspection goes on where it was.
        num_workers: processes; ``None`` for one a core.

    Example:
        >>> inspect(open_data("bdd100k", confirmed=False)).class_shares["direct"]
        0.122
    """
    samples = data.all_samples
    by_id = {sample.id: sample for sample in samples}
    records = list(_records(data, samples, on_sample, cache, num_workers or os.cpu_count() or 1))
    findings = [
        finding(kind, by_id[record.id].image.file if part == "image" else by_id[record.id].label.file, message)
        for record in records
        for kind, part, message in record.findings
    ]
    findings = _explain_ids(data, records, by_id, findings)
    if all(found.kind != "ids-0-255" for found in findings):
        findings += _absent_classes(data, records, by_id)
    if not samples:
        found = f"{len(data.unlabelled)} pictures without a label, {len(data.orphans)} labels without a picture"
        findings.append(finding("no-pairs", data.root, f"not one pair of picture and label ({found})"))
    findings += [finding("missing-picture", path, "label without its picture") for path in data.orphans]
    findings += [finding("missing-label", path, "picture without a label") for path in data.unlabelled]
    findings += [finding("undrawn-regions", path, message) for path, message in data.undrawn]
    sets, faults = _split_sets(data, set(by_id))
    findings += faults + _doubles(data, records, by_id, sets) + _straddling(data, sets)
    order = ("error", "warning", "note")
    findings.sort(key=lambda found: (order.index(found.severity), found.kind, found.path))
    return _summary(data, records, tuple(findings))


def _summary(data: RoadData, records: Sequence[Record], findings: tuple[Finding, ...]) -> Inspection:
    totals: Counter[int] = Counter()
    for record in records:
        totals.update(record.counts)
    shares = _shares(data, totals)
    slices: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for name in sorted({name for values in data.attributes.values() for name in values}):
        by_value: dict[str, Counter[int]] = defaultdict(Counter)
        nums: Counter[str] = Counter()
        for record in records:
            value = data.attributes.get(record.id, {}).get(name)
            if value is not None:
                by_value[value].update(record.counts)
                nums[value] += 1
        if len(by_value) <= 50:  # More are no slices but names, such as those of drives.
            slices[name] = {
                value: {"num_pictures": nums[value], **_shares(data, counts)}
                for value, counts in sorted(by_value.items())
            }
    return Inspection(
        layout=data.layout,
        num_pairs={split or "all": len(members) for split, members in data.samples.items()},
        num_unlabelled=len(data.unlabelled),
        sizes=dict(Counter(record.size for record in records if record.size is not None).most_common()),
        ids=dict(sorted(totals.items())),
        class_shares=shares,
        pictures_with={
            name: sum(class_id in record.counts for record in records)
            for class_id, name in enumerate(data.labels.names)
        },
        ignored_share=totals[data.labels.ignore_id] / max(1, sum(totals.values())),
        slices=dict(slices),
        brightness=[round(record.brightness, 2) for record in records if record.size is not None],
        findings=findings,
    )


def _shares(data: RoadData, counts: Mapping[int, int]) -> dict[str, float]:
    labelled = max(1, sum(counts.get(class_id, 0) for class_id in range(data.labels.num_classes)))
    return {name: counts.get(class_id, 0) / labelled for class_id, name in enumerate(data.labels.names)}


def _explain_ids(
    data: RoadData, records: Sequence[Record], by_id: Mapping[str, Sample], findings: list[Finding]
) -> list[Finding]:
    """Name ids that mean something else than the layout says: once, where most masks have them."""
    background = data.labels.background_id
    if background is None or not data.background_is_largest:
        present = {value for record in records for value in record.counts}
        convention = next((_convention(sample) for sample in by_id.values()), None)
        explained = convention and explain_one_and_255(present, data.labels, convention)
        if not explained:
            return findings + _black_and_white(data, records, by_id)
        # What the wrong reading makes of the regions says nothing.
        told = [found for found in findings if found.severity == "error"]
        return [*told, finding("ids-0-255", data.root, *explained)]
    named: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        present = set(record.counts)
        ignored = record.counts.get(data.labels.ignore_id, 0) / max(1, sum(record.counts.values()))
        if data.labels.ignore_id in present and len(present) == 2 and ignored > _IGNORED_SHARE:
            if record.top_share > _ROTATED_SHARE or background in present:
                named["ids-0-255"].append(record)
        elif record.top_share > _ROTATED_SHARE and max(present, key=record.counts.__getitem__) != background:
            named["rotated-ids"].append(record)
    for kind, wrong in named.items():
        ids = {record.id for record in wrong}
        files = {str(by_id[key].label.file) for key in ids}
        # What the wrong reading makes of the regions says nothing.
        findings = [found for found in findings if found.path not in files or found.severity == "error"]
        other = "current" if "2018" in data.layout else "2018"
        message = (
            f"0 and 255 are read as {data.labels.names[0]} and ignored"
            if kind == "ids-0-255"
            else f"the sky is road: these are not the ids that layout {data.layout} says"
        )
        remedy = None if kind == "ids-0-255" else f"read them with --ids {other}, or data.ids={other} in a recipe"
        if len(wrong) > len(records) / 2:
            findings.append(finding(kind, data.root, f"{message} ({len(wrong)} of {len(records)} masks)", remedy))
        else:
            findings += [finding(kind, by_id[record.id].label.file, message, remedy) for record in wrong]
    road = sum(
        count for record in records for value, count in record.counts.items() if value in data.labels.foreground_ids
    )
    if records and not road and not named and any(record.counts for record in records):
        findings.append(finding("labels-all-alike", data.root, f"{len(records)} label maps hold no road at all"))
    return findings


def _convention(sample: Sample) -> MaskConvention | None:
    found = getattr(sample.label, "convention", None)
    return found if isinstance(found, MaskConvention) else None


def _black_and_white(data: RoadData, records: Sequence[Record], by_id: Mapping[str, Sample]) -> list[Finding]:
    """Masks of 0 and 255 alone beside masks of ids."""
    present = {
        record.id: set(record.counts)
        for record in records
        if (convention := _convention(by_id[record.id])) is not None and convention.ignores_by_default
    }
    found = black_and_white(present) if data.labels.ignore_id == 255 else []
    message = f"holds 0 and 255 alone where others hold ids: read as {data.labels.names[0]}, and all else is ignored"
    remedy = "write it with the ids of the other masks, or say under ids in a labels.yaml what 255 means, or ignore"
    if len(found) > len(records) / 2:
        first = by_id[found[0]].label.file
        said = f"{first}: {message} ({len(found)} of {len(records)} masks)"
        return [finding("ids-0-255", data.root, said, remedy)]
    return [finding("ids-0-255", by_id[key].label.file, message, remedy) for key in found]


def _absent_classes(data: RoadData, records: Sequence[Record], by_id: Mapping[str, Sample]) -> list[Finding]:
    """Classes that no mask has where much is ignored, which may be those classes under another id."""
    totals = sum((Counter(record.counts) for record in records), Counter[int]())
    ignored = totals[data.labels.ignore_id] / max(1, sum(totals.values()))
    absent = [name for class_id, name in enumerate(data.labels.names) if not totals[class_id]]
    if ignored < _MUCH_IGNORED or not absent or len(absent) == data.labels.num_classes:
        return []
    message = f"{', '.join(absent[:8])}: in no mask, and {ignored:.0%} of all pixels are ignored"
    convention = next((_convention(sample) for sample in by_id.values()), None)
    # Where the layout or the user says which pixels are ignored, a class may well be rare.
    is_error = convention is not None and convention.ignores_by_default
    return [finding("absent-class", data.root, message, severity="error" if is_error else "warning")]


def _split_sets(data: RoadData, known: set[str]) -> tuple[dict[str, dict[str, list[str]]], list[Finding]]:
    """Ids by split of each division of the data: the official folders and each folder of split files."""
    sets: dict[str, dict[str, list[str]]] = {}
    findings = []
    official = {split: [sample.id for sample in members] for split, members in data.samples.items() if split}
    if official:
        sets["official folders"] = official
    folder = data.root / "splits"
    for file in sorted(file for file in folder.rglob("*.txt") if file.name[0] != ".") if folder.is_dir() else ():
        try:
            ids = read_ids(file)
        except DataError as fault:
            findings.append(finding("split-file", file, str(fault).removeprefix(f"{file}: ")))
            continue
        missing = [key for key in ids if key not in known]
        # Lists of another purpose lie there too; only a split promises that all its pictures are here.
        if file.stem.casefold() in SPLIT_NAMES:
            if missing:
                message = f"{len(missing)} of {len(ids)} ids have no labelled picture, '{missing[0]}' first"
                message += hint_at_ids(missing[0], known)
                findings.append(finding("split-file", file, message))
            sets.setdefault(str(file.parent.relative_to(data.root)), {})[file.stem] = ids
    for name, splits in sets.items():
        for (first, ids), (second, others) in combinations(splits.items(), 2):
            both = sorted(set(ids) & set(others))
            findings += [
                finding("id-in-two-splits", data.root, f"'{key}' is in {first} and {second} of {name}") for key in both
            ]
    return sets, findings


def _doubles(
    data: RoadData,
    records: Sequence[Record],
    by_id: Mapping[str, Sample],
    sets: Mapping[str, Mapping[str, Sequence[str]]],
) -> list[Finding]:
    """Pictures that are there twice, to the byte or to the eye."""
    seen = [record for record in records if record.size is not None]
    groups: dict[str, list[str]] = defaultdict(list)
    for record in seen:
        groups[record.content].append(record.id)
    exact = {(ids[0], key) for ids in groups.values() for key in ids[1:]}
    told_blank = {record.id for record in seen if any(kind == "blank-picture" for kind, _, _ in record.findings)}
    usual = [record for record in seen if record.id not in told_blank]
    near = {(usual[a].id, usual[b].id) for a, b in alike(np.stack([r.grey() for r in usual]))} if usual else set()
    content = {record.id: record.content for record in seen}
    split_of = {name: {key: split for split, ids in splits.items() for key in ids} for name, splits in sets.items()}
    findings = []
    for kind, pairs in (("duplicate", exact), ("near-duplicate", near)):
        for first, second in sorted(pairs):
            if kind == "near-duplicate" and content[first] == content[second]:
                continue
            apart = [
                f"{splits[first]} and {splits[second]} of {name}"
                for name, splits in split_of.items()
                if first in splits and second in splits and splits[first] != splits[second]
            ]
            what = "the same picture" if kind == "duplicate" else "almost the same picture"
            message = f"{what} as {by_id[first].image.file}" + (f", in {'; '.join(apart)}" if apart else "")
            findings.append(finding(f"{kind}-across-splits" if apart else kind, by_id[second].image.file, message))
    return findings


def _straddling(data: RoadData, sets: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Finding]:
    """Drives whose frames are in several splits: one note a division, since many random splits are so."""
    findings = []
    for name, splits in sets.items():
        drives = {split: {drive_of(key, data.attributes.get(key)) for key in ids} for split, ids in splits.items()}
        for first, second in combinations(drives, 2):
            both = drives[first] & drives[second]
            if both:
                message = f"{len(both)} drives are in {first} and {second} of {name}, '{min(both)}' first"
                findings.append(finding("drive-in-two-splits", data.root, message))
    return findings


def _records(
    data: RoadData, samples: Sequence[Sample], on_sample: Callable[[], None], cache: Path | None, num_workers: int
) -> Iterator[Record]:
    """A record of each sample in their order, from the cache where its files have not changed."""
    known = _read_cache(cache) if cache is not None else {}
    signatures = {sample.id: _signature(data, sample) for sample in samples}
    fresh = [sample for sample in samples if signatures[sample.id] not in known]
    found = {sample.id: known[signatures[sample.id]] for sample in samples if signatures[sample.id] in known}
    for _ in found:
        on_sample()
    writer = _CacheWriter(cache)
    with writer, closing(in_workers(partial(examine, labels=data.labels), fresh, num_workers, _CHUNK)) as examined:
        for record in examined:
            found[record.id] = record
            writer.add(signatures[record.id], record)
            on_sample()
    yield from (found[sample.id] for sample in samples)


def _signature(data: RoadData, sample: Sample) -> str:
    """What changes when the pair's files or their meaning do."""
    parts: list[str] = [str(_CACHE_VERSION), data.layout, sample.id, json.dumps(data.labels.to_dict())]
    for file in (sample.image.file, sample.label.file):
        parts.append(str(file))
        place = file.tar if isinstance(file, TarMember) else file
        if isinstance(place, Path):  # Not a remote one, whose state would take a request each.
            try:
                stat = place.stat()
                parts += [str(stat.st_size), str(stat.st_mtime_ns)]
            except OSError:
                parts.append("missing")
    parts.append(repr(getattr(sample.label, "convention", "")))
    return hashlib.blake2b("\n".join(parts).encode(errors="surrogateescape"), digest_size=16).hexdigest()


def _read_cache(file: Path) -> dict[str, Record]:
    """Records by signature; a line that was cut off by an interruption is left out."""
    records = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = parse_json(line)
                records[entry["signature"]] = Record.from_dict(entry["record"])
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, DataError):
                continue
    return records


class _CacheWriter:
    """Appends records to the cache as they come."""

    def __init__(self, file: Path | None) -> None:
        self.file = file

    def __enter__(self) -> None:
        self._stream = None
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self.file.open("a", encoding="utf-8")
                self._stream.write("\n")  # After a line that was cut off.
            except OSError as fault:
                _log.warning("%s: no cache, so a stopped inspection starts anew: %s", self.file, fault.strerror)

    def add(self, signature: str, record: Record) -> None:
        """Append one record."""
        if self._stream is not None:
            try:
                self._stream.write(json.dumps({"signature": signature, "record": record.to_dict()}) + "\n")
            except OSError as fault:
                self._give_up(fault)

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError as fault:
                self._give_up(fault)

    def _give_up(self, fault: OSError) -> None:
        _log.warning("%s: no cache, so a stopped inspection starts anew: %s", self.file, fault.strerror)
        self._stream = None
