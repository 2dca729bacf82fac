"""Eight ways in which a camera's picture goes bad, in five strengths each.

Rain and night are those of the training's augmentation; the others are made of OpenCV's primitives after Hendrycks &
Dietterich 2019. Each is a pure function of picture, strength and seed, and none moves the road, so labels stay true.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.errors import ConfigError
from drivable.imaging.images import Pixels
from drivable.imaging.weather import rain_on_glass

FloatImage = NDArray[np.float32]
STRENGTHS = (1, 2, 3, 4, 5)


def corrupt(image: Pixels, name: str, strength: int, key: str = "") -> Pixels:
    """Make a picture worse.

    Args:
        image: RGB (H, W, 3) uint8.
        name: one of :data:`CORRUPTIONS`.
        strength: 1 (visible) .. 5 (hard for a person).
        key: of the picture; the same key, name and strength give the same result.

    Returns:
        RGB of the same shape, a new array.

    Raises:
        ConfigError: where there is no such corruption or strength.

    Example:
        >>> corrupt(np.zeros((90, 160, 3), np.uint8), "fog", 3).mean() > 100
        True
    """
    if name not in CORRUPTIONS:
        raise ConfigError(f"corruption '{name}': expected one of {', '.join(CORRUPTIONS)}")
    if strength not in STRENGTHS:
        raise ConfigError(f"strength {strength}: expected 1 to 5")
    rng = np.random.default_rng(zlib.crc32(f"{name} {strength} {key}".encode(errors="surrogateescape")))
    light = np.asarray(image, dtype=np.float32) / np.float32(255)
    worse = CORRUPTIONS[name](light, strength - 1, rng)
    return np.asarray((worse.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def _night(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    light = (0.5, 0.35, 0.25, 0.16, 0.1)[level]
    dark = image ** np.float32(1.2) * np.array([1.0, 0.95, 0.85], dtype=np.float32) * np.float32(light)
    return dark + _grain(image, (0.01, 0.015, 0.02, 0.03, 0.04)[level], rng)


def _glare(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    """A low sun: a white disc near the horizon whose halo washes the picture out."""
    height, width = image.shape[:2]
    center = (rng.uniform(0.25, 0.75) * width, rng.uniform(0.25, 0.45) * height)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(columns - center[0], rows - center[1]) / height
    strength = (0.3, 0.5, 0.7, 0.9, 1.2)[level]
    halo = strength * (np.exp(-((distance / 0.12) ** 2)) + 0.6 * np.exp(-distance / 0.35))
    return np.asarray(image + halo[..., None] * np.array([1.0, 0.97, 0.88]), dtype=np.float32)


def _rain(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    for _ in range(level + 1):
        image = rain_on_glass(image, rng, (0.02, 0.03, 0.04, 0.05, 0.06)[level])
    return image * np.float32((0.95, 0.9, 0.85, 0.8, 0.75)[level])


def _fog(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    """Veil of grey, thick towards the horizon and thin near the car: distance grows as 1 / (row - horizon)."""
    height = len(image)
    below = np.clip((np.arange(height, dtype=np.float32) / height - 0.45) / 0.55, 0.06, 1)
    seen = np.exp(-np.float32((0.03, 0.06, 0.1, 0.16, 0.26)[level]) / below)[:, None, None]
    return np.asarray(image * seen + np.float32(0.78) * (1 - seen), dtype=np.float32)


def _motion_blur(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    length = max(3, round((0.012, 0.02, 0.03, 0.045, 0.065)[level] * image.shape[1])) | 1
    kernel = np.zeros((length, length), dtype=np.float32)
    angle = rng.uniform(-0.4, 0.4)
    half = length // 2
    reach = (round(half * np.cos(angle)), round(half * np.sin(angle)))
    cv2.line(kernel, (half - reach[0], half - reach[1]), (half + reach[0], half + reach[1]), 1.0, 1, cv2.LINE_AA)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def _sensor_noise(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    """Photon noise grows with the root of the light, read-out noise is the same everywhere."""
    scale = (0.03, 0.06, 0.1, 0.15, 0.22)[level]
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(image + noise * np.float32(scale) * np.sqrt(image + np.float32(0.1)), dtype=np.float32)


def _jpeg(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    quality = (30, 20, 12, 8, 4)[level]
    _, content = cv2.imencode(".jpg", (image * 255 + 0.5).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.float32) / np.float32(255)


def _occluded_lens(image: FloatImage, level: int, rng: np.random.Generator) -> FloatImage:
    """Dirt: blurred dark blots that hide 5 to 40 % of the picture."""
    height, width = image.shape[:2]
    hidden = np.zeros((height, width), dtype=np.float32)
    wanted = (0.05, 0.1, 0.18, 0.28, 0.4)[level]
    while hidden.mean() < wanted:
        center = (round(rng.uniform(0, width)), round(rng.uniform(0, height)))
        cv2.circle(hidden, center, max(2, round(rng.uniform(0.03, 0.12) * height)), 1.0, -1)
    soft = cv2.GaussianBlur(hidden, (0, 0), height / 90)[..., None]
    mud = np.array([0.16, 0.13, 0.1], dtype=np.float32)
    return np.asarray(image * (1 - soft) + mud * soft, dtype=np.float32)


def _grain(image: FloatImage, deviation: float, rng: np.random.Generator) -> FloatImage:
    return rng.standard_normal((*image.shape[:2], 1), dtype=np.float32) * np.float32(deviation)


CORRUPTIONS: dict[str, Callable[[FloatImage, int, np.random.Generator], FloatImage]] = {
    "night": _night,
    "glare": _glare,
    "rain": _rain,
    "fog": _fog,
    "motion-blur": _motion_blur,
    "sensor-noise": _sensor_noise,
    "jpeg": _jpeg,
    "occluded-lens": _occluded_lens,
}
