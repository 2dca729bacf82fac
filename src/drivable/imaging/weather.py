"""Weather put into a picture: rain on the glass, and a night lit by the own headlights."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
# Mean grey, 0..1, below which a picture shows a night.
_DARK = 0.25


def rain_on_glass(image: FloatImage, rng: np.random.Generator, largest_drop: float = 0.015) -> FloatImage:
    """Streaks of falling rain and drops on the windscreen.

    Args:
        image: (height, width, 3) RGB, about 0..1.
        rng: decides where.
        largest_drop: radius as a part of the picture's height.

    Returns:
        A new picture of the same shape.

    Example:
        >>> rain_on_glass(np.full((90, 160, 3), 0.5, dtype=np.float32), np.random.default_rng(0)).shape
        (90, 160, 3)
    """
    height, width = image.shape[:2]
    result = image.copy()
    level = float(image.mean())
    veil = np.zeros((height, width), dtype=np.float32)
    for column, row, length in rng.random((60, 3)):
        start = (round(column * width), round(row * height))
        reach = (0.02 + 0.06 * length) * height
        cv2.line(veil, start, (round(start[0] + 0.15 * reach), round(start[1] + reach)), 1.0, 1, cv2.LINE_AA)
    wet = veil > 0
    result[wet] += veil[wet][:, None] * np.float32(0.12 * level + 0.03)
    # A drop shows the scene upside down and out of focus, so a small copy is sharp enough.
    small = cv2.resize(image, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(cv2.GaussianBlur(small, (0, 0), height / 240.0), (width, height))[::-1]
    spots = np.zeros((height, width), dtype=np.float32)
    for column, row, size in rng.random((45, 3)):
        radius = largest_drop * (0.2 + 0.8 * size**3) * height
        center = (round(column * width * 8), round(row * height * 8))
        cv2.circle(spots, center, round(radius * 8), 0.55, -1, cv2.LINE_AA, 3)
    drops = spots > 0
    result[drops] += spots[drops][:, None] * (blurred[drops] - result[drops])
    return result


def nightfall(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """The same road after dark: little light but the headlights', deeper shadows, and the sensor's noise.

    A picture that is dark already stays as it is: there would be nothing left to see.

    Args:
        image: (height, width, 3) RGB, 0..1.
        rng: decides how dark and how noisy.

    Returns:
        A new picture of the same shape, 0..1.

    Example:
        >>> nightfall(np.full((90, 160, 3), 0.5, dtype=np.float32), np.random.default_rng(0)).mean() < 0.4
        True
    """
    if image.mean() < _DARK:
        return image
    height, width = image.shape[:2]
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    reach = rng.uniform(0.5, 1.0)
    beam = np.exp(-(((rows - 0.75) / 0.25) ** 2) - (columns / reach) ** 2)
    light = rng.uniform(0.15, 0.5) + rng.uniform(0.1, 0.4) * beam
    tint = np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.65, 1.0)], dtype=np.float32)
    dark = image ** np.float32(rng.uniform(1.0, 1.5)) * light[..., None] * tint
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(rng.uniform(0.0, 0.03))
    return np.asarray(np.clip(dark + grain, 0, 1), dtype=np.float32)
