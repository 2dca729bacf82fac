"""Deal a data set's images into train, val and test, and write the files of ids."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from drivable.data.id_files import ids_text
from drivable.data.splits import COURSE_SEED, COURSE_SHARES, SPLITS, check_shares, refuse_empty
from drivable.files import check_name, write_text


def balanced_split(
    ids: Sequence[str],
    shares: Sequence[float] = COURSE_SHARES,
    seed: int = COURSE_SEED,
    group_of: Callable[[str], str] = lambda key: key,
    stratum_of: Callable[[str], Hashable] = lambda key: None,
) -> dict[str, list[str]]:
    """Split ids at random so that no group straddles and every split has its share of every stratum.

    Groups are dealt from the largest to the smallest, equal ones in random order, each to the split that lacks most of
    what the group holds (Sechidis et al. 2011, with groups in place of single examples).

    Args:
        ids: all ids, in any order.
        shares: train, val and test; they add up to 1.
        seed: of the order.
        group_of: what must stay together, such as :func:`drive_of`.
        stratum_of: what must be spread evenly, such as a picture's weather and time of day.

    Returns:
        Ids by split name, each list sorted.

    Raises:
        ConfigError: where the shares are not three positive numbers that add up to 1.
        DataError: where a split would be empty.

    Example:
        >>> balanced_split(["a-1", "a-2", "b-1", "c-1"], (0.5, 0.25, 0.25), group_of=lambda key: key[0])["train"]
        ['a-1', 'a-2']
    """
    check_shares(shares)
    groups: dict[str, list[str]] = {}
    for key in sorted(ids):
        groups.setdefault(group_of(key), []).append(key)
    names = list(groups)
    random.Random(seed).shuffle(names)
    names.sort(key=lambda name: -len(groups[name]))
    totals = Counter(stratum_of(key) for key in ids)
    # What each split still lacks of each stratum, as a share of the stratum.
    lacks = [dict.fromkeys(totals, share) for share in shares]
    dealt: list[list[str]] = [[] for _ in shares]
    for name in names:
        held = Counter(stratum_of(key) for key in groups[name])
        needs = [
            sum(lack[stratum] / share * num for stratum, num in held.items())
            for lack, share in zip(lacks, shares, strict=True)
        ]
        chosen = max(range(len(shares)), key=lambda k: (needs[k], shares[k]))
        dealt[chosen] += groups[name]
        for stratum, num in held.items():
            lacks[chosen][stratum] -= num / totals[stratum]
    split = {name: sorted(part) for name, part in zip(SPLITS, dealt, strict=True)}
    refuse_empty(split)
    return split


def drive_of(key: str, attributes: Mapping[str, str] | None = None) -> str:
    """The drive that a picture was taken on, as far as its attributes or its id say.

    The attribute ``drive`` decides. Ids of BDD100K that begin alike come from one phone. Of other ids the number at
    the end is a frame's, and what stands before it the drive.

    Example:
        >>> drive_of("0a0a0b1a-27d9fc44"), drive_of("aachen_000012_000019"), drive_of("frame")
        ('0a0a0b1a', 'aachen_000012', 'frame')
    """
    if attributes and "drive" in attributes:
        return attributes["drive"]
    if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{8}", key):
        return key[:8]
    return re.sub(r"[^0-9A-Za-z]?\d+$", "", key) or key


def write_split(folder: Path, split: dict[str, list[str]]) -> None:
    """Write one file of ids per split: ``<folder>/train.txt`` and so on.

    Raises:
        DataError: where a name could lead elsewhere, or an id does not fit on a line.
        OutputError: where the folder is not writable.
    """
    texts = {f"{check_name(name, 'split')}.txt": ids_text(ids) for name, ids in split.items()}
    for name, text in texts.items():
        write_text(folder / name, text)
