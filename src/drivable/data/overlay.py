"""Draw label maps over pictures, and sheets of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from drivable.data.pictures import Pixels, resize_image
from drivable.labels import BDD100K_DRIVABLE, LabelSet


def draw_overlay(
    image: Pixels, label_map: Pixels, labels: LabelSet = BDD100K_DRIVABLE, opacity: float = 0.45
) -> Pixels:
    """Tint a picture by class; background and the ignore id stay as they are.

    Args:
        image: RGB (H, W, 3) uint8.
        label_map: ids (H, W) uint8.
        labels: their colours.
        opacity: share of the class colour, 0..1.

    Returns:
        RGB (H, W, 3) uint8, a new array.

    Example:
        >>> draw_overlay(image, label_map).shape == image.shape
        True
    """
    tint = cv2.LUT(np.repeat(label_map[..., None], 3, axis=2), labels.palette()[None])
    blended = cv2.addWeighted(image, 1 - opacity, tint, opacity, 0)
    drawn = np.isin(label_map, labels.foreground_ids)[..., None]
    return np.where(drawn, blended, image).astype(np.uint8)


def color_map(label_map: Pixels, labels: LabelSet) -> Pixels:
    """Ids (H, W) -> their colours (H, W, 3) uint8 RGB."""
    return labels.palette()[label_map]


def picture_sheet(pictures: Sequence[Pixels], num_columns: int, cell: tuple[int, int]) -> Pixels:
    """Lay pictures out in rows.

    Args:
        pictures: RGB (H, W, 3) uint8, at least one, of any sizes.
        num_columns: pictures a row.
        cell: (height, width) each is resized to.

    Returns:
        RGB uint8, white where no picture stands.
    """
    gap = 4
    num_rows = -(-len(pictures) // num_columns)
    height, width = cell
    sheet = np.full((num_rows * (height + gap) - gap, num_columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // num_columns * (height + gap), index % num_columns * (width + gap)
        sheet[top : top + height, left : left + width] = resize_image(picture, cell)
    return sheet
