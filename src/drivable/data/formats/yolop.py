"""YOLOP's masks: one grey channel, and all above its threshold is drivable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivable.data.encodings import DRIVABLE_OR_NOT, MaskConvention
from drivable.data.road_data import SPLIT_NAMES, RoadData, merged, pair_folders
from drivable.errors import DataError
from drivable.imaging.images import Pixels, Stored, open_picture

_MASKS = ("da_seg_annotations", "bdd_seg_gt")
_IMAGES = ("images/100k", "images")
# Of YOLOP's own loader. Its masks hold 0, 127 and 255, of which it tells only 0 from the rest.
_THRESHOLD = 1
_LARGEST_ID = 2


@dataclass(frozen=True)
class GreyMasks(MaskConvention):
    """Masks of one channel, or of several equal ones, that are cut at a threshold."""

    def decode(self, file: Stored) -> Pixels:
        """Read a mask file; see :meth:`MaskConvention.decode`."""
        picture = open_picture(file)
        if picture.mode in ("1", "LA"):
            picture = picture.convert("L")  # Of one bit become 0 and 255.
        elif picture.mode in ("P", "RGBA"):
            picture = picture.convert("RGB")
        if picture.mode not in ("L", "RGB"):
            raise DataError(
                f"{file}: mask of mode {picture.mode}; {self.name} have one channel of 8 bits", kind="mask-format"
            )
        grey = np.asarray(picture)
        if grey.ndim == 3:
            if (grey != grey[..., :1]).any():
                raise DataError(
                    f"{file}: a coloured mask; {self.name} have one channel, or three that are equal. Say what its "
                    "colours mean in a labels.yaml",
                    kind="mask-format",
                )
            grey = grey[..., 0]
        if 0 < grey.max() <= _LARGEST_ID:
            raise DataError(
                f"{file}: no value above {_LARGEST_ID}; {self.name} hold 0, 127 and 255, these look like ids. Read "
                "them with --ids 2018, --ids current or a labels.yaml",
                kind="unknown-ids",
            )
        drivable, background = (DRIVABLE_OR_NOT.names.index(name) for name in ("drivable", "background"))
        return np.where(grey > _THRESHOLD, drivable, background).astype(np.uint8)


def open_yolop(root: Path) -> RoadData | None:
    """``images/<split>/<id>.jpg``, also below ``images/100k``, with ``da_seg_annotations/<split>/<id>.png``.

    The folder of the masks may also have the name that it has in YOLOP's archive, ``bdd_seg_gt``.
    """
    masks = next((root / name for name in _MASKS if (root / name).is_dir()), None)
    images = next((root / name for name in _IMAGES if (root / name).is_dir()), None)
    if masks is None or images is None:
        return None
    convention = GreyMasks("YOLOP's masks")
    parts = pair_folders(images, masks, convention, has_flat=True)
    splits = {split: part for split, part in parts.items() if split in SPLIT_NAMES}
    return merged(root, "yolop", DRIVABLE_OR_NOT, splits or {"": parts[""]})
