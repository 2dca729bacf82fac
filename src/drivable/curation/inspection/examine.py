"""Look at one labelled picture: everything that an inspection wants of it, in one reading."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.data.samples import ImageFile, Sample, Size
from drivable.errors import DataError
from drivable.imaging.images import Pixels, Stored
from drivable.labels import LabelSet
from drivable.reading import read_bytes, reading

THUMBNAIL = 16
_READ_AT = (90, 160)
# Calibrated on 5,000 pictures of BDD100K, whose own labels have no finding above a note.
_SPECK_SHARE = 6e-5  # of the picture's area: 14 pixels of 360x640
_SLIVER_SHARE = 1e-3
_SLIVER_WIDTH, _SLIVER_LENGTH = 0.006, 0.045  # of the picture's width
_SEAM_WIDTH = 0.0055
_HIGH, _HIGHEST = 0.24, 0.2  # of the picture's height
_HIGHEST_SHARE = 0.03


@dataclass(frozen=True)
class Record:
    """What one reading of a pair found.

    Args:
        id: of the picture.
        findings: [kind, "image" or "label", message] each.
        size: (height, width) of the picture, ``None`` where it cannot be read.
        counts: pixels by id.
        brightness: mean grey, 0..255.
        content: digest of the picture file's bytes, or of its pixels.
        thumbnail: base64 of 16x16 greys.
        top_share: share of the upper fifth that is road.
    """

    id: str
    findings: list[tuple[str, str, str]] = field(default_factory=list)
    size: Size | None = None
    counts: dict[int, int] = field(default_factory=dict)
    brightness: float = 0.0
    content: str = ""
    thumbnail: str = ""
    top_share: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a cache."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Record:
        """Rebuild a record from :meth:`to_dict`'s values after JSON.

        Raises:
            KeyError, TypeError, ValueError: where they are none.
        """
        record = cls(
            **{
                **values,
                "brightness": float(values["brightness"]),
                "findings": [(str(a), str(b), str(c)) for a, b, c in values["findings"]],
                "size": None if values["size"] is None else (int(values["size"][0]), int(values["size"][1])),
                "counts": {int(key): int(count) for key, count in values["counts"].items()},
            }
        )
        if record.size is not None:
            record.grey()
        return record

    def grey(self) -> NDArray[np.uint8]:
        """The thumbnail: (16, 16) uint8."""
        return np.frombuffer(base64.b64decode(self.thumbnail), np.uint8).reshape(THUMBNAIL, THUMBNAIL)


def examine(sample: Sample, labels: LabelSet) -> Record:
    """Read a pair and note what is there.

    Example:
        >>> examine(open_data("bdd100k").all_samples[0], BDD100K_DRIVABLE).findings
        []
    """
    findings: list[tuple[str, str, str]] = []
    size, brightness, content, thumbnail = None, 0.0, "", ""
    try:
        image = sample.image.read(_READ_AT)
        size = sample.image.size()
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        brightness = float(grey.mean())
        small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        thumbnail = base64.b64encode(small.tobytes()).decode("ascii")
        content = _digest(sample, image)
        if grey.std() < 2:
            findings.append(("blank-picture", "image", f"all of one grey ({brightness:.0f} of 255)"))
        elif brightness < 10:
            findings.append(("dark", "image", f"mean grey {brightness:.1f} of 255"))
    except DataError as fault:
        findings.append(("unreadable-picture", "image", _without_place(fault, sample.image.file)))
    try:
        label_map = sample.label.read()
    except DataError as fault:
        message = _without_place(fault, sample.label.file)
        findings.append((fault.kind or "unreadable-mask", "label", message))
        return Record(sample.id, findings, size, {}, brightness, content, thumbnail)
    if size is not None and label_map.shape != size:
        message = f"the mask is {label_map.shape[0]}x{label_map.shape[1]} and the picture {size[0]}x{size[1]}"
        findings.append(("size-mismatch", "label", message))
    counts = np.bincount(label_map.ravel(), minlength=256)
    if counts[: labels.num_classes].sum() == 0:
        findings.append(("no-class", "label", "every pixel is ignored"))
    top_share = 0.0
    if labels.background_id is not None:
        road = np.isin(label_map, labels.foreground_ids)
        top_share = float(road[: int(_HIGHEST * len(road))].mean())
        findings += [(kind, "label", message) for kind, message in _suspicions(label_map, road, labels)]
    present = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    return Record(sample.id, findings, size, present, brightness, content, thumbnail, top_share)


def _without_place(fault: DataError, file: Stored) -> str:
    return str(fault).removeprefix(f"{file}: ")


def _digest(sample: Sample, image: Pixels) -> str:
    if isinstance(sample.image, ImageFile):
        with reading(sample.image.file, DataError, "broken picture"):
            return hashlib.blake2b(read_bytes(sample.image.file), digest_size=12).hexdigest()
    return hashlib.blake2b(image.tobytes(), digest_size=12).hexdigest()


def _suspicions(label_map: Pixels, road: NDArray[np.bool_], labels: LabelSet) -> list[tuple[str, str]]:
    """Regions that road rarely has."""
    if not road.any():
        return [("no-road", "no pixel is road")]
    height, width = label_map.shape
    area = height * width
    found: list[tuple[str, str]] = []
    top_share = road[: int(_HIGHEST * height)].mean() * _HIGHEST
    if top_share > _HIGHEST_SHARE:
        found.append(("road-above-horizon", f"{top_share:.0%} of the picture is road in its upper fifth"))
    regions, holes = _outlined(road)
    for _, top, _, high, pixels in regions:
        if top + high <= _HIGH * height and pixels >= _SPECK_SHARE * area:
            found.append(("road-above-horizon", f"{pixels} pixels at row {top}, far above the horizon"))
    specks, seams = [], []
    for class_id in labels.foreground_ids:
        for left, top, wide, high, pixels in _outlined(label_map == class_id)[0]:
            longest = max(wide, high)
            is_thin = longest >= _SLIVER_LENGTH * width and pixels / longest < _SLIVER_WIDTH * width
            if pixels < _SPECK_SHARE * area:
                specks.append(pixels)
            elif pixels < _SLIVER_SHARE * area or is_thin:
                found.append(("sliver", f"{labels.names[class_id]}, {pixels} pixels at row {top}, column {left}"))
    for left, top, wide, high, pixels in holes:
        if pixels < _SPECK_SHARE * area or pixels / max(wide, high) < _SEAM_WIDTH * width:
            seams.append(pixels)
        else:
            found.append(("hole", f"{pixels} pixels at row {top}, column {left}"))
    if specks:
        found.append(("speck", f"{len(specks)} regions of at most {max(specks)} pixels"))
    if seams:
        found.append(("seam", f"{len(seams)} gaps within the road, of at most {max(seams)} pixels"))
    return found


_Region = tuple[int, int, int, int, int]


def _outlined(mask: NDArray[np.bool_]) -> tuple[list[_Region], list[_Region]]:
    """(left, top, width, height, pixels) of each connected region, its holes filled, and of each hole.

    Outlines are found many times faster than all pixels are numbered. By Pick's theorem a polygon through b pixel
    centres that encloses the area a holds a + b/2 + 1 of them, a - b/2 + 1 strictly inside; the outline of a hole runs
    through the pixels around it.
    """
    outlines, nesting = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    regions: list[_Region] = []
    holes: list[_Region] = []
    for outline, (_, _, _, parent) in zip(outlines, nesting[0] if outlines else (), strict=True):
        left, top, wide, high = cv2.boundingRect(outline)
        enclosed = cv2.contourArea(outline)
        if parent < 0:
            regions.append((left, top, wide, high, round(enclosed + len(outline) / 2 + 1)))
        else:
            holes.append((left + 1, top + 1, wide - 2, high - 2, round(enclosed - len(outline) / 2 + 1)))
    return regions, holes
