"""How mask files write down classes: which value or colour means which id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.errors import DataError, one_line
from drivable.imaging.images import Pixels, Stored, open_mask, open_picture
from drivable.labels import BDD100K_DRIVABLE, RGB, LabelSet


@dataclass(frozen=True)
class MaskConvention:
    """Meaning of a mask's pixels.

    Args:
        name: for messages.
        values: mask value 0..255 -> class id or ignore id; for one-channel masks (palette masks by index).
        colors: RGB -> class id; for colour masks. Exactly one of ``values`` and ``colors`` is given.
        is_told: whether the user said so, value by value; otherwise the layout does.
    """

    name: str
    values: Mapping[int, int] | None = None
    colors: Mapping[RGB, int] | None = None
    is_told: bool = False

    @property
    def ignores_by_default(self) -> bool:
        """Whether masks hold the ids themselves, and 255 is ignored without the user having said so."""
        return not self.is_told and self.values is not None and self.values.get(255) == 255

    def decode(self, file: Stored) -> Pixels:
        """Read a mask file.

        Returns:
            Label map (H, W) uint8 of class ids and the ignore id.

        Raises:
            DataError: where the file is broken, has another number of channels, or holds unknown values.
        """
        return self._from_colors(file) if self.colors is not None else self._from_values(file)

    def from_numbers(self, numbers: Pixels, where: object) -> Pixels:
        """The ids that mask values (H, W) uint8 mean.

        Raises:
            DataError: where there are unknown values, or this convention is one of colours.
        """
        if self.values is None:
            raise DataError(f"{where}: one channel of ids, and {self.name} says what colours mean", kind="mask-format")
        # The fastest way to the values that occur.
        counts = cv2.calcHist([numbers], [0], None, [256], [0, 256]).ravel()
        unknown = [int(value) for value in np.flatnonzero(counts) if value not in self.values]
        if unknown:
            raise DataError(
                f"{where}: unknown ids {unknown[:8]}; {self.name} has {one_line(sorted(self.values))}",
                kind="unknown-ids",
            )
        if all(value == class_id for value, class_id in self.values.items()):
            return numbers
        table = np.zeros(256, dtype=np.uint8)
        table[list(self.values)] = list(self.values.values())
        return np.asarray(cv2.LUT(numbers, table), dtype=np.uint8)

    def _from_values(self, file: Stored) -> Pixels:
        assert self.values is not None
        picture, bits = open_mask(file)
        if picture.mode == "1":
            picture = picture.convert("L")  # 0 and 255
        if picture.mode not in ("L", "P"):
            raise DataError(
                f"{file}: mask of mode {picture.mode}; {self.name} has one 8-bit channel of ids. Save it as an 8-bit "
                "grey or palette PNG",
                kind="mask-format",
            )
        numbers = np.array(picture)
        # Fewer bits hold the ids themselves, unless only their greys mean something, such as black and white.
        if bits < 8 and any(0 < value < 2**bits for value in self.values):
            numbers //= 255 // (2**bits - 1)
        return self.from_numbers(numbers, file)

    def _from_colors(self, file: Stored) -> Pixels:
        assert self.colors is not None
        picture = open_picture(file)
        is_opaque = not picture.has_transparency_data or np.asarray(picture.convert("RGBA"))[..., 3].min() == 255
        if picture.mode[0] in "IF" or not is_opaque:
            raise DataError(
                f"{file}: mask of mode {picture.mode}; {self.name} are opaque, of 8 bits a channel. Save it as an RGB "
                "PNG",
                kind="mask-format",
            )
        packed = _packed(np.array(picture.convert("RGB")))
        known = np.array(sorted(r << 16 | g << 8 | b for r, g, b in self.colors), dtype=np.uint32)
        ids = {r << 16 | g << 8 | b: class_id for (r, g, b), class_id in self.colors.items()}
        places = np.searchsorted(known, packed).clip(max=len(known) - 1)
        unknown = known[places] != packed
        if unknown.any():
            found = [[int(v) >> 16, int(v) >> 8 & 255, int(v) & 255] for v in np.unique(packed[unknown])[:4]]
            raise DataError(
                f"{file}: unknown colours {found}; {self.name} has {one_line([list(c) for c in self.colors])}",
                kind="unknown-ids",
            )
        return np.asarray(np.array([ids[int(v)] for v in known], dtype=np.uint8)[places])


def _packed(rgb: Pixels) -> NDArray[np.uint32]:
    """(..., 3) -> one number per colour."""
    red, green, blue = (rgb[..., channel].astype(np.uint32) for channel in range(3))
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.uint32)


_DIRECT, _ALTERNATIVE, _BACKGROUND = (BDD100K_DRIVABLE.names.index(n) for n in ("direct", "alternative", "background"))
_IGNORE = BDD100K_DRIVABLE.ignore_id

CURRENT_IDS = MaskConvention(
    "BDD100K's current ids",
    values={0: _DIRECT, 1: _ALTERNATIVE, 2: _BACKGROUND, 255: _IGNORE},
)
IDS_2018 = MaskConvention(
    "BDD100K's 2018 ids",
    values={0: _BACKGROUND, 1: _DIRECT, 2: _ALTERNATIVE, 255: _IGNORE},
)
# Three colourings of the same classes circulate: the 2018 toolkit's, the current palette, and plain red and blue.
COLORS_2018 = MaskConvention(
    "BDD100K's 2018 colour maps",
    colors={
        (0, 0, 0): _BACKGROUND,
        (217, 83, 79): _DIRECT,
        (219, 94, 86): _DIRECT,
        (255, 0, 0): _DIRECT,
        (91, 192, 222): _ALTERNATIVE,
        (86, 211, 219): _ALTERNATIVE,
        (0, 0, 255): _ALTERNATIVE,
    },
)


DRIVABLE_OR_NOT = LabelSet(("drivable", "background"), ((219, 94, 86), (0, 0, 0)), "background")
YES_OR_NO = MaskConvention("a yes-or-no mask", values={0: 1, 255: 0}, is_told=True)
# What --ids names: a label set and what the masks' values mean in it.
IDS: dict[str, tuple[LabelSet, MaskConvention]] = {
    "current": (BDD100K_DRIVABLE, CURRENT_IDS),
    "2018": (BDD100K_DRIVABLE, IDS_2018),
    "0-255": (DRIVABLE_OR_NOT, YES_OR_NO),
}


def identity_convention(labels: LabelSet) -> MaskConvention:
    """Masks that hold the label set's own ids."""
    ids = [*range(labels.num_classes), labels.ignore_id]
    return MaskConvention("this data's labels.yaml", values=dict(zip(ids, ids, strict=True)))


def explain_one_and_255(present: Iterable[int], labels: LabelSet, convention: MaskConvention) -> tuple[str, str] | None:
    """Say what is wrong with masks that are read as one class and ignored: nothing is left to learn.

    Black and white masks are such, and those of 1 with 255 for all else.

    Args:
        present: ids that occur in the label maps.
        labels: their label set.
        convention: what they were read by; what the user said of each value stands.

    Returns:
        What is wrong and what to do; ``None`` where the masks hold anything else.

    Example:
        >>> explain_one_and_255({0, 1, 255}, BDD100K_DRIVABLE, CURRENT_IDS) is None
        True
    """
    ids = sorted(set(present))
    if not convention.ignores_by_default or labels.ignore_id != 255 or len(ids) != 2 or ids[1] != 255:
        return None
    value = ids[0]
    if value >= labels.num_classes or (convention.values or {}).get(value) != value:
        return None
    background = labels.background or labels.names[0]
    road = next(name for name in labels.names if name != background)
    # Of black and white, black is the background, whatever class 0 is.
    name = labels.names[value] if value else background
    rest = road if name == background else background
    other_way = (
        ", or read them with --ids 0-255 (data.ids in a recipe)" if labels.num_classes == 2 and not value else ""
    )
    return (
        f"the masks hold {value} and 255 alone, and 255 is the ignore id, so all that it marks would be left out",
        f"say what they mean in labels.yaml, such as ids: {{{value}: {name}, 255: {rest}}}{other_way}",
    )


def black_and_white(present: Mapping[str, Collection[int]]) -> list[str]:
    """Masks of 0 and 255 alone among others: one class and all else ignored, so most likely not meant so.

    A mask that holds 255 beside two classes shows that 255 is what is ignored. Where most masks with 255 are so, those
    of 0 and 255 are images of one class.

    Args:
        present: ids that occur in each mask whose 255 is ignored by default, by name.

    Example:
        >>> black_and_white({"a": {0, 1}, "b": {0, 255}, "c": {1, 255}})
        ['b']
    """
    found = [key for key, ids in present.items() if set(ids) == {0, 255}]
    num_ignoring = sum(255 in ids and len(ids) > 2 for ids in present.values())
    return found if len(found) > num_ignoring else []


def class_counts(label_maps: Iterable[Pixels], labels: LabelSet) -> NDArray[np.int64]:
    """Pixels of each class over label maps (H, W): (K,) int64; the ignore id is not counted."""
    counts = np.zeros(256, dtype=np.int64)
    for label_map in label_maps:
        counts += np.bincount(label_map.ravel(), minlength=256)
    return counts[: labels.num_classes]


def confirm_background(label_maps: Iterable[Pixels], labels: LabelSet, where: str) -> None:
    """Refuse masks whose ids mean something else than their place says.

    Both id conventions of BDD100K use 0, 1 and 2 with rotated meaning. Background covers about 80 % of road
    pictures, so where another class covers more of them, the masks were read by the wrong convention.

    Args:
        label_maps: a sample of label maps (H, W), already decoded.
        labels: their label set; one without a background cannot be checked and passes.
        where: what was read, for the message.

    Raises:
        DataError: where background is not the class with most pixels.
    """
    if labels.background_id is None:
        return
    counts = class_counts(label_maps, labels)
    if counts.argmax() == labels.background_id and counts[labels.background_id] > 0:
        return
    shares = counts / max(1, counts.sum())
    listed = ", ".join(f"{name} {share:.0%}" for name, share in zip(labels.names, shares, strict=True))
    raise DataError(
        f"{where}: read that way the pixels would be {listed}, but background is the largest class of road pictures. "
        "The ids mean something else than this place says: current masks (labels/drivable/masks) have 0 direct, "
        "1 alternative, 2 background; 2018 masks (drivable_maps/labels, *_drivable_id.png) have 0 background, "
        "1 direct, 2 alternative. Read them with --ids 2018, --ids current or --ids 0-255 (data.ids in a recipe), or "
        "describe them in a labels.yaml",
        kind="rotated-ids",
    )
