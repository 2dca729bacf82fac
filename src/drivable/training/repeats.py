"""How often an epoch has each training image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from functools import partial

import numpy as np

from drivable.config.recipe import DataSpec
from drivable.data import RoadData, Sample
from drivable.data.workers import in_workers
from drivable.errors import ConfigError, one_line
from drivable.labels import LabelSet
from drivable.progress import progress

# The attribute that label maps tell themselves, and its values.
_ROAD, _NONE, _SOME = "road", "none", "some"
_PORTION = 64


def repeats_of(spec: DataSpec, data: RoadData, labels: LabelSet, samples: Sequence[Sample]) -> list[int]:
    """How often an epoch has each training image, by ``data.repeat``.

    Args:
        spec: the recipe's section.
        data: whose attributes count. Where they do not have ``road``, label maps are read: ``none`` where no pixel has
            a class but the background, else ``some``.
        labels: the classes.
        samples: the training images.

    Returns:
        For each sample 1 or more, the most of all that fit.

    Raises:
        ConfigError: where no image has a value that is asked for.
        DataError: where a label map cannot be read.

    Example:
        >>> repeats_of(DataSpec(repeat={"weather": {"snowy": 2}}), data, data.labels, samples)
        [1, 1, 2]
    """
    repeats = [1] * len(samples)
    for name, times in spec.repeat.items():
        values = [data.attributes.get(sample.id, {}).get(name) for sample in samples]
        if name == _ROAD and not any(values):
            values = _road(samples, labels, max(1, spec.num_workers))
        known = Counter(value for value in values if value)
        for value in times:
            if value not in known:
                has = f"the attributes have {one_line(sorted(known))}" if known else f"the attributes have no {name}"
                raise ConfigError(
                    f"data.repeat: no training image of {data.root} has {name} '{value}'; {has}; data.repeat={{}} "
                    "takes each image once"
                )
        repeats = [max(most, times.get(value or "", 1)) for most, value in zip(repeats, values, strict=True)]
    return repeats


def _road(samples: Sequence[Sample], labels: LabelSet, num_workers: int) -> list[str | None]:
    values: list[str | None] = []
    read = partial(_road_of, roadless=(labels.background_id, labels.ignore_id))
    with (
        progress("looking for images without road", len(samples)) as advance,
        closing(in_workers(read, samples, num_workers, _PORTION)) as told,
    ):
        for value in told:
            values.append(value)
            advance()
    return values


def _road_of(sample: Sample, roadless: tuple[int | None, int]) -> str:
    # Without a background every class is road.
    ids = [k for k in roadless if k is not None]
    return _NONE if np.isin(sample.label.read(), ids).all() else _SOME
