"""What a user says of data: values of masks that mean something else, classes that are to be seen as others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivable.data.encodings import MaskConvention
from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.samples import ArrayLabels, MaskFile, RenamedLabels, Sample
from drivable.errors import DataError, nearest_match
from drivable.labels import LabelSet
from drivable.reading import is_named

if TYPE_CHECKING:
    from drivable.data.road_data import RoadData


def described(data: RoadData) -> RoadData:
    """The data with masks read as its own ``labels.yaml`` says, where that has ``ids`` or ``mask_colors``.

    Raises:
        DataError: where the labels are no masks.
    """
    file = data.root / "labels.yaml"
    if not is_named(file):
        return data
    said = read_labels_yaml(file)
    if not said.convention.is_told:
        return data
    read = with_convention(data, said.labels, said.convention)
    if read is None:
        raise DataError(f"{file}: ids and mask_colors say what masks mean, and layout {data.layout} has none")
    return read


def with_convention(data: RoadData, labels: LabelSet, convention: MaskConvention) -> RoadData | None:
    """The data with masks read by another convention; ``None`` where the labels are no masks."""
    samples = {}
    for split, members in data.samples.items():
        read = []
        for sample in members:
            match sample.label:
                case MaskFile(file):
                    read.append(replace(sample, label=MaskFile(file, convention)))
                case ArrayLabels(file, index) if convention.values is not None:
                    read.append(replace(sample, label=ArrayLabels(file, index, convention)))
                case _:
                    return None
        samples[split] = tuple(read)
    return replace(data, labels=labels, samples=samples)


def renamed(data: RoadData) -> RoadData:
    """The data in the classes of its own ``labels.yaml``, where that has ``classes``; otherwise as it is."""
    file = data.root / "labels.yaml"
    if not is_named(file):
        return data
    said = read_labels_yaml(file)
    return data if said.classes is None else rename(data, said.labels, said.classes, file)


def rename(data: RoadData, labels: LabelSet, classes: Mapping[str, str], where: Path | str) -> RoadData:
    """The data in other classes.

    Args:
        data: what to see otherwise.
        labels: the new label set.
        classes: new class or ``ignore`` by old class; ``*`` stands for all others.
        where: what asks for it, for messages.

    Raises:
        DataError: where an old class is unknown or has no new one.
    """
    known = [*data.labels.names, "*"]
    for name in classes:
        if name not in known:
            raise DataError(f"{where}: '{name}' is no class of layout {data.layout}; {nearest_match(name, known)}")
    left = [name for name in data.labels.names if name not in classes and "*" not in classes]
    if left:
        raise DataError(f"{where}: classes says nothing of {', '.join(left)}; name them, or all others as '*'")
    ids = [labels.ignore_id] * 256
    for index, name in enumerate(data.labels.names):
        target = classes.get(name, classes.get("*"))
        ids[index] = labels.ignore_id if target == "ignore" else labels.names.index(str(target))
    table = tuple(ids)
    return replace(
        data,
        labels=labels,
        samples={
            split: tuple(Sample(s.id, s.image, RenamedLabels(s.label, table)) for s in samples)
            for split, samples in data.samples.items()
        },
    )
