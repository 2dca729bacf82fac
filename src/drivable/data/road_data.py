"""What a data folder turns out to be, and how its pictures and labels find each other."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Protocol

from drivable.data.encodings import MaskConvention
from drivable.data.samples import DrawnLabels, ImageFile, ImageSource, MaskFile, NoImage, Sample, Size
from drivable.data.shapes import Frame, text_attributes, undrawn_regions
from drivable.errors import DataError, one_line
from drivable.imaging.images import PICTURE_SUFFIXES
from drivable.labels import LabelSet
from drivable.reading import is_named, read_text, reading

_log = logging.getLogger(__name__)
Attributes = Mapping[str, str]
# Names of the splits, and what they are called elsewhere.
SPLIT_NAMES: Mapping[str, str] = {
    name: split
    for split, names in {
        "train": ("train", "training"),
        "val": ("val", "valid", "validation"),
        "test": ("test", "testing"),
    }.items()
    for name in names
}
# Folders of network storage, macOS, Windows and viewers of pictures that do not begin with a sign of their own.
_OF_PROGRAMS = frozenset({"__macosx", "thumbs", "thumbnails", "system volume information", "lost+found"})


@dataclass(frozen=True)
class RoadData:
    """A data folder as found.

    Args:
        root: the folder.
        layout: name of its layout.
        labels: the classes of its label maps.
        samples: labelled pictures by official split folder (``train``, ``val``, ...); ``""`` where there is none.
        unlabelled: pictures without a label.
        orphans_of: labels without a picture by split folder: a mask, or the label file and the picture's name.
        attributes: weather, scene, time of day and the like by picture id, where the data says them.
        background_is_largest: whether more pixels of road pictures must be background than any other class.
        undrawn: label files with regions that cannot be drawn, such as key points, each with what is left out.
    """

    root: Path
    layout: str
    labels: LabelSet
    samples: Mapping[str, tuple[Sample, ...]]
    unlabelled: tuple[Path, ...] = ()
    orphans_of: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    attributes: Mapping[str, Attributes] = field(default_factory=dict)
    background_is_largest: bool = False
    undrawn: tuple[tuple[Path, str], ...] = ()

    @property
    def all_samples(self) -> tuple[Sample, ...]:
        """Every labelled picture, sorted by id."""
        return tuple(sorted((s for group in self.samples.values() for s in group), key=lambda sample: sample.id))

    @property
    def orphans(self) -> tuple[Path, ...]:
        """Every label without a picture."""
        return tuple(path for group in self.orphans_of.values() for path in group)


class Layout(Protocol):
    """Recognises one way of laying out a data folder."""

    def __call__(self, root: Path) -> RoadData | None:
        """What is there, or ``None`` where the folder is laid out otherwise.

        Raises:
            DataError: where it is laid out so, but broken.
        """
        ...


@dataclass
class Pairs:
    """Pictures and labels of one folder after they were paired.

    Args:
        samples: those that have both, sorted by id.
        unlabelled: pictures without a label.
        orphans: labels without a picture.
        undrawn: see :class:`RoadData`.
    """

    samples: tuple[Sample, ...]
    unlabelled: list[Path]
    orphans: list[Path]
    undrawn: list[tuple[Path, str]] = field(default_factory=list)


def pictures_in(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Pictures of a folder by name without ``suffix`` and file suffix; empty where there is no such folder.

    Raises:
        DataError: where two have one name, such as ``a.jpg`` and ``a.png``.
    """
    found = (path for path in _files(folder) if path.suffix.lower() in PICTURE_SUFFIXES)
    return by_name((path.stem.removesuffix(suffix), path) for path in found if path.stem.endswith(suffix))


def files_in(folder: Path, suffix: str, prefix: str = "") -> dict[str, Path]:
    """Files of a folder by name without ``suffix``, in small or capital letters; empty where there is no such folder.

    Raises:
        DataError: where two have one name, such as ``a.png`` and ``a.PNG``.
    """
    found = (path for path in _files(folder) if path.name.lower().endswith(suffix.lower()))
    return by_name((path.name[: -len(suffix)], path) for path in found if path.name.startswith(prefix))


def folders_in(*places: Path) -> list[str]:
    """Names of the folders in these folders, sorted; none that a system or a program has put there for itself."""
    with reading(places[0], DataError, "cannot be looked into"):
        names = {entry.name for place in places if place.is_dir() for entry in place.iterdir() if entry.is_dir()}
    return sorted(name for name in names if not _is_of_a_program(name))


def joined(first: Mapping[str, Path], second: Mapping[str, Path]) -> dict[str, Path]:
    """What lies in two folders that count as one.

    Raises:
        DataError: where both have a file of one name.
    """
    return by_name(chain(first.items(), second.items()))


def _files(folder: Path) -> list[Path]:
    """What lies in a folder but folders and hidden files, sorted; what is no regular file is told by its reader."""
    if not folder.is_dir():
        return []
    is_local = isinstance(folder, Path)
    with reading(folder, DataError, "cannot be looked into"):
        # A local listing itself says what is a folder; of a remote one each question is a request.
        found = (
            [entry.name for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)]
            if is_local
            else [path.name for path in folder.iterdir()]
        )
    return [folder / name for name in sorted(found) if name[0] != "."]


def _is_of_a_program(folder: str) -> bool:
    return folder[0] in ".@#$" or folder.casefold() in _OF_PROGRAMS


def by_name(found: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Files by name.

    Raises:
        DataError: where two have one name.
    """
    files: dict[str, Path] = {}
    for key, path in found:
        other = files.setdefault(key, path)
        if other != path:
            raise DataError(f"{other} and {path}: two files of one name, '{key}'; remove or rename one of them")
    return files


def pair_masks(pictures: Mapping[str, Path], masks: Mapping[str, Path], convention: MaskConvention) -> Pairs:
    """Pair pictures and mask files by id."""
    both = sorted(pictures.keys() & masks.keys())
    return Pairs(
        tuple(Sample(key, ImageFile(pictures[key]), MaskFile(masks[key], convention)) for key in both),
        [pictures[key] for key in sorted(pictures.keys() - masks.keys())],
        [masks[key] for key in sorted(masks.keys() - pictures.keys())],
    )


def split_as_named(split: str, known: Collection[str]) -> str:
    """The name that a split has among the known ones: ``val`` may be called ``valid`` or ``validation`` there.

    Raises:
        DataError: where several would do.

    Example:
        >>> split_as_named("val", ["train", "valid"])
        'valid'
    """
    wanted = SPLIT_NAMES.get(split.casefold())
    if split in known or wanted is None:
        return split
    others = sorted(name for name in known if SPLIT_NAMES.get(name.casefold()) == wanted)
    if len(others) > 1:
        raise DataError(f"no split '{split}', and {' and '.join(others)} may both be meant; name one of them")
    return others[0] if others else split


def pair_folders(
    images: Path, masks: Path, convention: MaskConvention, suffix: str = ".png", has_flat: bool = False
) -> dict[str, Pairs]:
    """Pair the images and masks of each split folder, which may have another of a split's names on either side.

    Args:
        images: folder with folders of images.
        masks: folder with folders of masks.
        convention: what the masks mean.
        suffix: what the name of a mask has more than the image's.
        has_flat: whether images and masks beside the folders count too, as the split ``""``.

    Raises:
        DataError: where there are masks, and none of them is a PNG.
    """
    here, there = folders_in(images), folders_in(masks)
    parts, others = dict[str, Pairs](), Counter[str]()
    # Masks whose whole folder of images is missing are noticed too.
    free = [name for name in there if name not in here]
    places = {split: split if split in there else split_as_named(split, free) for split in here}
    places |= {split: split for split in there if split not in places.values()}
    for split, place in sorted((places | ({"": ""} if has_flat else {})).items()):
        pictures, labels = pictures_in(images / split), files_in(masks / place, suffix)
        parts[split] = pair_masks(pictures, labels, convention)
        missing = pictures.keys() - labels.keys()
        end = suffix.removesuffix(".png")
        others.update(
            path.suffix.lower()
            for path in (_files(masks / place) if missing else ())
            if path.stem.removesuffix(end) in missing and path.suffix.lower() in PICTURE_SUFFIXES
        )
    others.pop(".png", None)
    if others:
        listed = ", ".join(f"{num} of {kind}" for kind, num in sorted(others.items()))
        said = f"masks must be .png, and there are {listed}; save them as PNG, which keeps each id as it is"
        if not any(part.samples for part in parts.values()):
            raise DataError(f"{masks}: {said}")
        _log.warning("%s: %s", masks, said)
    return parts


def pair_frames(
    pictures: Mapping[str, Path],
    frames: Sequence[tuple[Path, Frame]],
    classes: Mapping[str, int],
    rest: int,
    assumed_size: Size | None = None,
) -> Pairs:
    """Pair pictures and drawn labels by id.

    Args:
        pictures: by id.
        frames: labels, each with the file that it stands in.
        classes: id by class name, ``ignore`` among them.
        rest: id of the pixels that no shape covers.
        assumed_size: where given, labels without a picture are kept, at this (height, width) unless they know better.

    Pictures with regions that cannot be drawn, and no others, count as not labelled.

    Raises:
        DataError: where one picture is labelled twice.
    """
    samples, orphans, seen = [], [], dict[str, Path]()
    unlabelled = []
    by_file: dict[Path, list[Frame]] = {}
    for file, frame in frames:
        if frame.id in seen:
            raise DataError(
                f"{file}: picture '{frame.id}' is labelled twice, first in {seen[frame.id]}; remove one of them"
            )
        seen[frame.id] = file
        if frame.undrawn:
            by_file.setdefault(file, []).append(frame)
        if not frame.is_labelled:
            unlabelled += [pictures[frame.id]] if frame.id in pictures else []
            continue
        image: ImageSource
        if frame.id in pictures:
            image = ImageFile(pictures[frame.id])
        elif assumed_size is not None:
            image = NoImage(file, assumed_size)
        else:
            orphans.append(file / frame.id)
            continue
        samples.append(Sample(frame.id, image, DrawnLabels(file, frame, image, classes, rest)))
    unlabelled += [pictures[key] for key in sorted(pictures.keys() - seen.keys())]
    undrawn = [(file, undrawn_regions(members) or "") for file, members in by_file.items()]
    return Pairs(tuple(sorted(samples, key=lambda sample: sample.id)), unlabelled, orphans, undrawn)


def merged(
    root: Path,
    layout: str,
    labels: LabelSet,
    parts: Mapping[str, Pairs],
    attributes: Mapping[str, Attributes] | None = None,
    background_is_largest: bool = False,
) -> RoadData:
    """Put the folders of a layout together; a folder with neither pictures nor labels does not count.

    Where a name occurs in several folders, its ids are told apart as ``<folder>-<name>``.
    """
    listed = [path.stem for part in parts.values() for path in part.unlabelled]
    names = {*listed, *(sample.id for part in parts.values() for sample in part.samples)}
    said: dict[str, Attributes] = {**(attributes or {}), **own_attributes(root, names)}
    nums = Counter(sample.id for part in parts.values() for sample in part.samples)
    for split, part in parts.items():
        # Pictures that are numbered anew in each folder; an id is a picture's name in all of the data.
        for sample in part.samples:
            if split and nums[sample.id] > 1 and sample.id in said:
                said[f"{split}-{sample.id}"] = said[sample.id]
        part.samples = tuple(
            replace(sample, id=f"{split}-{sample.id}") if split and nums[sample.id] > 1 else sample
            for sample in part.samples
        )
    ids = Counter(sample.id for part in parts.values() for sample in part.samples)
    if ids and ids.most_common(1)[0][1] > 1:
        raise DataError(f"{root}: two pictures have the id '{ids.most_common(1)[0][0]}'; rename one of them")
    return RoadData(
        root,
        layout,
        labels,
        {split: part.samples for split, part in parts.items() if part.samples or part.unlabelled},
        tuple(path for part in parts.values() for path in part.unlabelled),
        {split: tuple(part.orphans) for split, part in parts.items() if part.orphans},
        {key: values for key, values in said.items() if values},
        background_is_largest,
        tuple(told for part in parts.values() for told in part.undrawn),
    )


def own_attributes(root: Path, ids: Collection[str]) -> dict[str, Attributes]:
    """What ``attributes.csv`` says, by id; a warning where it speaks of other images than these.

    Args:
        root: the data root.
        ids: of its images, where these are known; names of files may stand in their places.

    Raises:
        DataError: see :func:`read_attributes`.
    """
    file = root / "attributes.csv"
    said = without_suffixes(read_attributes(file), ids)
    num_known = sum(key in ids for key in said)
    # A table of more images than are here is usual, and so is one that says something of a few.
    if num_known < len(said) and 2 * num_known < min(len(said), len(ids)):
        other = next(key for key in said if key not in ids)
        _log.warning(
            "%s: %d of %d ids of attributes.csv belong to no image, '%s' first; images are named like '%s'",
            file,
            len(said) - num_known,
            len(said),
            one_line(other, 80),
            one_line(min(ids), 80),
        )
    return dict(said)


def without_suffixes(said: Mapping[str, Attributes], ids: Collection[str]) -> dict[str, Attributes]:
    """Attributes by id where a table has the names of image files.

    Example:
        >>> without_suffixes({"a.jpg": {"weather": "rainy"}}, {"a"})
        {'a': {'weather': 'rainy'}}
    """
    known = set(ids)
    found = {key: values for key, values in said.items() if key in known or id_of_name(key) not in known}
    renamed = {id_of_name(key): values for key, values in said.items() if key not in found}
    return {**renamed, **found}


def id_of_name(name: str) -> str:
    """The id of an image whose file has that name, with or without folder and suffix.

    Example:
        >>> id_of_name("images/a.1.JPG"), id_of_name("a.1")
        ('a.1', 'a.1')
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() in PICTURE_SUFFIXES else path.name


def read_attributes(file: Path) -> dict[str, dict[str, str]]:
    """Attributes by picture id from a CSV with the column ``id``; blanks are left out. Empty where there is no file.

    Raises:
        DataError: where the file cannot be read, has no such column, or an id twice with other attributes.
    """
    if not is_named(file):
        return {}
    said: dict[str, dict[str, str]] = {}
    with reading(file, DataError, "not a readable CSV"):
        text = read_text(file, errors="surrogateescape")  # Ids are names of files and need not be UTF-8.
        if "\0" in text:
            raise ValueError("not a text in UTF-8; save it as UTF-8")
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        if "id" not in (table.fieldnames or ()):
            raise DataError(f"{file}: no column 'id'; expected id and one column an attribute, parted by commas")
        for row in table:
            key = row["id"]
            # What a line has more than columns stands under None.
            values = text_attributes({name: value for name, value in row.items() if value})
            if key and said.setdefault(key, values) != values:
                raise DataError(f"{file}, line {table.line_num}: id '{one_line(key, 80)}' stands there twice")
    return said
