"""The classes a pixel may belong to: the only place that knows that 0 is the direct lane."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivable.errors import ConfigError, one_line

RGB = tuple[int, int, int]
_MAX_NAME = 200
_UNSEEN = ("Cc", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class LabelSet:
    """Class names, display colours and the id that no loss and no score counts.

    Class ``k`` is ``names[k]``, drawn in ``colors[k]`` (RGB, 0..255).

    Args:
        names: class names in the order of their ids, at least two, all different.
        colors: one RGB triple per class.
        background: the class that is not drawn in overlays and that ``binary`` scores treat as "not road";
            ``None`` where the label set has no such class.
        ignore_id: the label-map value that is left out of losses and scores, 0..255, not a class id.

    Raises:
        ConfigError: where the fields contradict each other.

    Example:
        >>> BDD100K_DRIVABLE.names[0], BDD100K_DRIVABLE.num_classes
        ('direct', 3)
    """

    names: tuple[str, ...]
    colors: tuple[RGB, ...]
    background: str | None = None
    ignore_id: int = 255

    def __post_init__(self) -> None:
        if not all(_is_name(name) for name in self.names):
            got = one_line(list(self.names))
            raise ConfigError(f"labels: names must be one line of text, of at most {_MAX_NAME} characters, got {got}")
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise ConfigError(f"labels: names must be two or more different names, got {one_line(list(self.names))}")
        if len(self.colors) != len(self.names):
            raise ConfigError(f"labels: got {len(self.colors)} colours for {len(self.names)} names; give one each")
        if any(len(color) != 3 or not all(_is_byte(v) for v in color) for color in self.colors):
            raise ConfigError(f"labels: colours must be RGB triples of 0..255, got {one_line(list(self.colors))}")
        if self.background is not None and self.background not in self.names:
            raise ConfigError(
                f"labels: background '{one_line(self.background, 80)}' is not one of {one_line(list(self.names))}"
            )
        if not (_is_byte(self.ignore_id) and self.ignore_id >= self.num_classes):
            raise ConfigError(f"labels: ignore_id must be {self.num_classes}..255, got {one_line(self.ignore_id, 24)}")

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.names)

    @property
    def background_id(self) -> int | None:
        """Id of the background class, ``None`` where there is none."""
        return None if self.background is None else self.names.index(self.background)

    @property
    def foreground_ids(self) -> tuple[int, ...]:
        """Ids of all classes but the background, in order."""
        return tuple(k for k in range(self.num_classes) if k != self.background_id)

    def most_probable(self, probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
        """The most probable class of each pixel; never one that may be driven on where a probability is no number.

        The background is taken there, and where nothing is more probable than it; of other equals the first.

        Args:
            probabilities: (..., K, H, W), or whatever grows with them, such as logits.

        Returns:
            Ids (..., H, W).

        Example:
            >>> BDD100K_DRIVABLE.most_probable(np.full((3, 1, 1), np.nan))
            array([[2]], dtype=uint8)
        """
        by_class = np.moveaxis(probabilities, -3, 0)
        background = self.background_id or 0
        ids: NDArray[np.uint8] = by_class.argmax(axis=0).astype(np.uint8)
        # A sum keeps what is no number; NaN is not above anything.
        with np.errstate(invalid="ignore", over="ignore"):
            are_above = (by_class.max(axis=0) > by_class[background]) & np.isfinite(by_class.sum(axis=0))
        ids[~are_above] = background
        return ids

    def palette(self) -> NDArray[np.uint8]:
        """Colours by id: (256, 3) uint8 RGB; ids without a class, the ignore id among them, are grey."""
        table = np.full((256, 3), 128, dtype=np.uint8)
        table[: self.num_classes] = self.colors
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON; :meth:`from_dict` reads them back."""
        return {
            "names": list(self.names),
            "colors": [list(color) for color in self.colors],
            "background": self.background,
            "ignore_id": self.ignore_id,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> LabelSet:
        """Rebuild a label set from :meth:`to_dict`'s values.

        Raises:
            ConfigError: where a field is missing or contradicts another.
        """
        names, colors = (values.get(key) if isinstance(values, dict) else None for key in ("names", "colors"))
        if not isinstance(names, list | tuple) or not isinstance(colors, list | tuple):
            raise ConfigError(
                f"labels: expected lists of names and colors, background and ignore_id, got {one_line(values)}"
            )
        if not all(isinstance(color, list | tuple) for color in colors):
            raise ConfigError(f"labels: colours must be RGB triples of 0..255, got {one_line(colors)}")
        return cls(
            names=tuple(names),
            colors=tuple(tuple(color) for color in colors),
            background=values.get("background"),
            ignore_id=values.get("ignore_id", 255),
        )


def _is_name(name: object) -> bool:
    """Text that a table and a plot can show: without control characters and halves of characters."""
    is_short = isinstance(name, str) and name.strip() and len(name) <= _MAX_NAME
    return bool(is_short) and not any(unicodedata.category(c) in _UNSEEN for c in str(name))


def _is_byte(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


BDD100K_DRIVABLE = LabelSet(
    names=("direct", "alternative", "background"),
    # The official colormaps' palette.
    colors=((219, 94, 86), (86, 211, 219), (0, 0, 0)),
    background="background",
)
