"""comma10k: dashcam pictures labelled by volunteers, in colours."""

from __future__ import annotations

import re
from pathlib import Path

from drivable.data.encodings import MaskConvention
from drivable.data.road_data import RoadData, files_in, joined, merged, pair_masks, pictures_in
from drivable.labels import LabelSet

COMMA10K = LabelSet(
    names=("road", "lane markings", "undrivable", "movable", "my car", "movable in my car"),
    colors=((64, 32, 32), (255, 0, 0), (128, 128, 96), (0, 255, 102), (204, 0, 255), (0, 204, 255)),
)
_COLORS = MaskConvention("comma10k", colors={color: k for k, color in enumerate(COMMA10K.colors)})
_ROUTE = re.compile(r"[0-9a-f]{16}_\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d")
_NAME = re.compile(rf"\d{{4}}_{_ROUTE.pattern}_\d+_\d+")


def open_comma10k(root: Path) -> RoadData | None:
    """``imgs/<id>.png`` with ``masks/<id>.png``, likewise ``imgs2`` and, as split ``driver``, ``imgsd``.

    Ids that end in 9 are the official validation set, all others are ``train``. ``imgsd`` shows the driver, whom nobody
    wants among road pictures.
    """
    # Names are looked at because many data sets have folders of these names.
    if not (root / "imgs").is_dir() or not any(_NAME.fullmatch(key) for key in files_in(root / "masks", ".png")):
        return None
    pictures = joined(pictures_in(root / "imgs"), pictures_in(root / "imgs2"))
    masks = joined(files_in(root / "masks", ".png"), files_in(root / "masks2", ".png"))
    parts = {
        split: pair_masks(
            {key: path for key, path in pictures.items() if key.endswith("9") == (split == "val")},
            {key: path for key, path in masks.items() if key.endswith("9") == (split == "val")},
            _COLORS,
        )
        for split in ("train", "val")
    }
    parts["driver"] = pair_masks(pictures_in(root / "imgsd"), files_in(root / "masksd", ".png"), _COLORS)
    routes = {key: _ROUTE.search(key) for key in pictures}
    attributes = {key: {"drive": found[0]} for key, found in routes.items() if found}
    return merged(root, "comma10k", COMMA10K, parts, attributes)
