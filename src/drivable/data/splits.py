"""Choose a split's pictures: by official folder, or by a file of ids."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.data import random_split

from drivable.data.id_files import read_ids
from drivable.data.road_data import SPLIT_NAMES, RoadData, files_in, folders_in, id_of_name, split_as_named
from drivable.data.samples import Sample
from drivable.errors import ConfigError, DataError, one_line

_log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
COURSE_SHARES = (0.7, 0.2, 0.1)
COURSE_SEED = 1


def seeded_split(
    ids: Sequence[str], shares: Sequence[float] = COURSE_SHARES, seed: int = COURSE_SEED
) -> dict[str, list[str]]:
    """Split ids at random, always the same way.

    The ids are sorted and then dealt by ``torch.utils.data.random_split`` with a generator of that seed; with the
    defaults, BDD100K's 3,430 course pictures become that course's exact 2,401 / 686 / 343.

    Args:
        ids: all ids, in any order.
        shares: train, val and test; they add up to 1.
        seed: of the generator.

    Returns:
        Ids by split name, each list sorted.

    Raises:
        ConfigError: where the shares are not three positive numbers that add up to 1.
        DataError: where a split would be empty.

    Example:
        >>> {name: len(part) for name, part in seeded_split([f"{i:04d}" for i in range(3430)]).items()}
        {'train': 2401, 'val': 686, 'test': 343}
    """
    check_shares(shares)
    ordered = sorted(ids)
    generator = torch.Generator().manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Of empty parts, which are refused below.
        parts = random_split(range(len(ordered)), list(shares), generator=generator)  # type: ignore[arg-type, var-annotated]
    split = {name: sorted(ordered[i] for i in part.indices) for name, part in zip(SPLITS, parts, strict=True)}
    refuse_empty(split)
    return split


def check_shares(shares: Sequence[float]) -> None:
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(f"split shares must be three positive numbers that add up to 1, got {list(shares)}")


def refuse_empty(split: Mapping[str, Sequence[str]]) -> None:
    empty = [name for name, part in split.items() if not part]
    if empty:
        num = sum(len(part) for part in split.values())
        raise DataError(f"{num} pictures are too few to split: '{empty[0]}' would be empty")


def hint_at_ids(name: str, known: Collection[str]) -> str:
    """What to do where a list of ids has the name of a file, ``""`` where it does not.

    Example:
        >>> hint_at_ids("images/a.jpg", {"a"})
        "; ids stand without folder and suffix, such as 'a'"
    """
    key = id_of_name(name)
    return f"; ids stand without folder and suffix, such as '{one_line(key, 80)}'" if key in known else ""


def select_split(
    data: RoadData, split: str, splits: str | None = None, limit: float | None = None
) -> tuple[Sample, ...]:
    """Labelled pictures of a split.

    The first of these that applies decides: ``split`` as a path to a file of ids; ``splits/<splits>/<split>.txt``
    below the data root, where ``splits`` is given; ``splits/<split>.txt``, where ``split`` may itself be
    ``course/test``; the official folder of that name; the only folder below ``splits/``; and for data without any
    division the seeded split. Files and folders may have a split's other names, see :func:`split_as_named`.

    Args:
        data: where to choose from.
        split: ``train``, ``val``, ``test``, ``all``, ``<folder>/<name>`` or a file of ids.
        splits: folder below ``splits/`` that holds the files of ids; it must have one of the split.
        limit: for a trial, so many images, or below 1 such a share of them, evenly spaced; ``None`` for all.

    Returns:
        Samples sorted by id.

    Raises:
        DataError: where there is no such split, an id has no labelled picture, or a mask has no picture.
        ConfigError: where ``limit`` is neither.
    """
    samples = _whole_split(data, split, splits)
    if limit is None:
        return samples
    if limit <= 0 or (limit >= 1 and limit % 1):
        raise ConfigError(f"a limit of {limit}: expected a number of images, or a share of them below 1")
    num = max(1, round(limit * len(samples))) if limit < 1 else min(int(limit), len(samples))
    return tuple(samples[index * len(samples) // num] for index in range(num if samples else 0))


def _whole_split(data: RoadData, split: str, splits: str | None) -> tuple[Sample, ...]:
    by_id = {sample.id: sample for sample in data.all_samples}
    path = _ids_file(data, split, splits)
    if path is not None:
        ids = read_ids(path)
        missing = [key for key in ids if key not in by_id]
        if missing:
            raise DataError(
                f"{path}: {len(missing)} of {len(ids)} ids have no labelled picture below {data.root}, "
                f"'{one_line(missing[0], 80)}' first{hint_at_ids(missing[0], by_id)}"
            )
        return tuple(by_id[key] for key in sorted(ids))
    split = split if split == "all" else split_as_named(split, data.samples)
    # Who has only the pictures of one official folder may well use that one.
    orphans = data.orphans_of.get(split, ()) if split in data.samples else data.orphans
    if orphans:
        raise DataError(
            f"{orphans[0]}: mask without its picture ({len(orphans)} such below {data.root}); restore the "
            "pictures, remove the masks, or choose pictures by a file of ids"
        )
    if split == "all":
        return tuple(by_id.values())
    if split in data.samples:
        return data.samples[split]
    if any(name.casefold() in SPLIT_NAMES for name in data.samples) or split not in SPLITS:
        known = sorted({*data.samples, *_split_files(data)} - {""}) or list(SPLITS)
        raise DataError(
            f"{data.root}: no split '{split}' (there are: {', '.join(known)}); name one of them, give a file of ids, "
            "or make one with: drivable data split"
        )
    _log.warning("%s: no division of its own, so the seeded 70/20/10 split is used", data.root)
    return tuple(by_id[key] for key in seeded_split(list(by_id))[split])


def _split_files(data: RoadData) -> list[str]:
    folder = data.root / "splits"
    return [f"{name}/{split}" for name in folders_in(folder) for split in files_in(folder / name, ".txt")]


def _ids_file(data: RoadData, split: str, splits: str | None) -> Path | None:
    folder = data.root / "splits"
    if split.endswith(".txt") or (split not in (*SPLITS, "all") and Path(split).is_file()):
        return Path(split)
    if splits is not None and split != "all":
        path = _listed(folder / splits, split)
        if path is None:
            known = ", ".join(sorted(_split_files(data))) or "none"
            raise DataError(f"{data.root}: no split file splits/{splits}/{split}.txt (there are: {known})")
        return path
    within, _, name = split.rpartition("/")
    path = _listed(folder / within, name)
    if path is not None or split_as_named(split, data.samples) in data.samples:
        return path
    sets = folders_in(folder)
    return _listed(folder / sets[0], split) if len(sets) == 1 else None


def _listed(folder: Path, split: str) -> Path | None:
    """The file of ids of a split in a folder."""
    files = files_in(folder, ".txt")
    return files.get(split_as_named(split, files))
