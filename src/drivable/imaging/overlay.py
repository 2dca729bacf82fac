"""Draw label maps over pictures, and sheets of pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from drivable.imaging.images import Pixels, resize_image
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


# How an error is drawn, and what it is.
ERROR_COLORS = {
    "road where there is none": (230, 40, 40),
    "road not seen": (40, 110, 255),
    "road of another class": (255, 200, 0),
}


def draw_errors(image: Pixels, actual: Pixels, predicted: Pixels, labels: LabelSet = BDD100K_DRIVABLE) -> Pixels:
    """Show where a prediction differs from the label: the picture in grey, errors in the colours of their kind.

    Args:
        image: RGB (H, W, 3) uint8.
        actual: true ids (H, W) uint8; ignored pixels show no error.
        predicted: ids (H, W) uint8.
        labels: the classes.

    Returns:
        RGB (H, W, 3) uint8, a new array.
    """
    drawn = np.repeat(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[..., None], 3, axis=2)
    wrong = (actual != predicted) & (actual != labels.ignore_id)
    labelled, seen = actual != labels.background_id, predicted != labels.background_id
    for kind, color in zip((~labelled, ~seen, labelled & seen), ERROR_COLORS.values(), strict=True):
        drawn[wrong & kind] = (0.35 * drawn[wrong & kind] + 0.65 * np.array(color)).astype(np.uint8)
    return drawn


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
