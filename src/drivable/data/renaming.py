"""One label set seen as another, such as Cityscapes' road as drivable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from drivable.data.labels_yaml import read_labels_yaml
from drivable.data.samples import RenamedLabels, Sample
from drivable.errors import DataError, nearest_match
from drivable.labels import LabelSet

if TYPE_CHECKING:
    from drivable.data.layouts.road_data import RoadData


def renamed(data: RoadData) -> RoadData:
    """The data in the classes of its own ``labels.yaml``, where that has ``classes``; otherwise as it is."""
    file = data.root / "labels.yaml"
    if not file.is_file():
        return data
    described = read_labels_yaml(file)
    return data if described.classes is None else rename(data, described.labels, described.classes, file)


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
