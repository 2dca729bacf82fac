"""CVAT's exports: "CVAT for images 1.1" and "Segmentation mask 1.1"."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from drivable.data.encodings import MaskConvention
from drivable.data.formats.cvat_xml import picture_id, read_cvat
from drivable.data.formats.label_studio_json import only_folded
from drivable.data.id_files import read_ids
from drivable.data.road_data import Pairs, RoadData, by_name, folders_in, merged, pair_frames, pair_masks
from drivable.data.shapes import Frame
from drivable.errors import ConfigError, DataError, one_line
from drivable.imaging.images import PICTURE_SUFFIXES
from drivable.labels import RGB, LabelSet
from drivable.reading import read_text, reading

BACKGROUND = "background"
BACKGROUND_COLOR: RGB = (0, 0, 0)
_BACKGROUNDS = frozenset({BACKGROUND, "void", "unlabeled", "unlabelled"})
_IGNORED = frozenset({"ignore", "ignored"})
# For classes without a colour: easily told apart, first of all the first few.
PALETTE: tuple[RGB, ...] = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180), (70, 240, 240),
    (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (220, 190, 255), (170, 110, 40), (255, 250, 200),
    (128, 0, 0), (170, 255, 195), (128, 128, 0), (255, 215, 180), (0, 0, 128), (128, 128, 128),
)  # fmt: skip
_SPLITS = {"default": "", "training": "train", "valid": "val", "validation": "val", "testing": "test"}


def open_cvat(root: Path) -> RoadData | None:
    """``annotations.xml`` with the pictures that it names below ``images/``, or beside it.

    Pictures in which nothing is drawn, or no area, count as not yet labelled: the export has them, too. A project's
    subsets are the splits.
    """
    file = root / "annotations.xml"
    if not file.is_file():
        return None
    found = read_cvat(file)
    if found is None:
        return None
    labels, classes, rest = labels_of(found.colors, file)
    base = root / "images" if (root / "images").is_dir() else root
    files = _pictures_below(base)
    named = _files_of(found.frames, files)
    pictures: dict[str, Path] = {}
    frames: dict[str, list[tuple[Path, Frame]]] = {}
    for subset, frame in found.frames:
        frames.setdefault(_split(subset), []).append((file, frame))
        if frame.id in named:
            pictures[frame.id] = files.pop(named[frame.id])
    parts = {
        split: pair_frames(
            {frame.id: pictures[frame.id] for _, frame in members if frame.id in pictures},
            members,
            classes,
            rest,
        )
        for split, members in sorted(frames.items())
    } or {"": Pairs((), [], [])}
    next(iter(parts.values())).unlabelled.extend(path for _, path in sorted(files.items()))
    return merged(root, "cvat", labels, parts)


def open_cvat_masks(root: Path) -> RoadData | None:
    """``SegmentationClass/<id>.png`` in the colours of ``labelmap.txt``, pictures in ``JPEGImages/``.

    The lists in ``ImageSets/Segmentation`` are the splits.
    """
    file, masks = root / "labelmap.txt", root / "SegmentationClass"
    if not (file.is_file() and masks.is_dir()):
        return None
    colors = _read_labelmap(file)
    labels, classes, rest = labels_of(colors, file)
    convention = MaskConvention(
        "CVAT's labelmap.txt",
        colors={BACKGROUND_COLOR: rest} | {color: classes[name] for name, color in colors.items()},
    )
    pictures = by_name((picture_id(name), path) for name, path in _pictures_below(root / "JPEGImages").items())
    files = by_name((picture_id(name), path) for name, path in _pictures_below(masks).items())
    lists = sorted((root / "ImageSets/Segmentation").glob("*.txt"))
    splits = _read_splits([listed for listed in lists if listed.stem != "trainval"])
    known = {*pictures, *files}
    parts = {
        split: pair_masks(
            {key: path for key, path in pictures.items() if splits.get(key, "") == split},
            {key: path for key, path in files.items() if splits.get(key, "") == split},
            convention,
        )
        for split in sorted({splits.get(key, "") for key in known})
    }
    return merged(root, "cvat-masks", labels, parts)


def _read_splits(lists: Sequence[Path]) -> dict[str, str]:
    """The split of each id that the lists name."""
    found: dict[str, Path] = {}
    for file in lists:
        for name in read_ids(file):
            key = picture_id(name.strip('"') + ".png")
            other = found.setdefault(key, file)
            if _split(other.stem) != _split(file.stem):
                raise DataError(f"{file}: '{one_line(key, 80)}' stands in {other.name} too; keep it in one of them")
    return {key: _split(file.stem) for key, file in found.items()}


def labels_of(colors: Mapping[str, RGB | None], where: Path) -> tuple[LabelSet, dict[str, int], int]:
    """The label set of an annotation tool's classes, the id of each of them, and that of what they leave uncovered.

    A class named background, void or unlabelled is the background; where there is none, one is added at the end. What
    is named ignore is ignored.

    Args:
        colors: colour by class, ``None`` where the tool does not say it.
        where: file to name in messages.

    Raises:
        DataError: where there are too few or too many classes.
    """
    shown = {name: color for name, color in colors.items() if name.casefold() not in _IGNORED}
    background = next((name for name in shown if name.casefold() in _BACKGROUNDS), None)
    if background is None:
        background = BACKGROUND
        shown[BACKGROUND] = BACKGROUND_COLOR
    names = tuple(shown)
    try:
        labels = LabelSet(
            names, tuple(shown[name] or PALETTE[k % len(PALETTE)] for k, name in enumerate(names)), background
        )
    except ConfigError as fault:
        raise DataError(f"{where}: {fault}") from fault
    classes = dict.fromkeys(colors, labels.ignore_id) | {name: k for k, name in enumerate(names)}
    return labels, classes, classes[background]


def _split(subset: str) -> str:
    return _SPLITS.get(subset.casefold(), subset.casefold())


def _files_of(frames: Sequence[tuple[str, Frame]], files: Collection[str]) -> dict[str, str]:
    """The file of each frame by its id: named exactly so, or the only one but for capital letters; each file once."""
    named: dict[str, str] = {}
    # CVAT puts the pictures of a subset into a folder of its name.
    told = {
        frame.id: (f"{subset}/{name}", name)
        for subset, frame in frames
        for name in [(frame.picture or "").replace("\\", "/")]
    }
    taken = set[str]()
    folded = only_folded(files)
    # Exact names first, so that no other takes their file.
    for known, fold in ((dict(zip(files, files, strict=True)), str), (folded, str.casefold)):
        for key, names in told.items():
            file = next((known[fold(name)] for name in names if fold(name) in known), None)
            if key not in named and file is not None and file not in taken:
                named[key] = file
                taken.add(file)
    return named


def _pictures_below(folder: Path, prefix: str = "") -> dict[str, Path]:
    """Pictures of a folder and of those inside it, by their way from there; empty where there is no such folder."""
    inside = folders_in(folder)
    found = {
        prefix + entry.name: entry
        for entry in (folder.iterdir() if folder.is_dir() else ())
        if entry.name[0] != "." and entry.name not in inside and entry.suffix.lower() in PICTURE_SUFFIXES
    }
    for name in inside:
        found |= _pictures_below(folder / name, f"{prefix}{name}/")
    return found


def _read_labelmap(file: Path) -> dict[str, RGB]:
    with reading(file, DataError, "not a readable label map"):
        lines = read_text(file).splitlines()
    colors: dict[str, RGB] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"(.+?):([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}):[^:]*:[^:]*", line.strip())
        if found is None:
            raise DataError(f"{file}, line {number}: got '{line.strip()}', expected 'name:R,G,B::'")
        name, color = found[1], (int(found[2]), int(found[3]), int(found[4]))
        if name in colors or color in colors.values():
            raise DataError(
                f"{file}, line {number}: {name} or its colour stands there twice; every class needs its own"
            )
        colors[name] = color
    return colors
