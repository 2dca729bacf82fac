"""From light to a picture: wet ground, glare, the bonnet, and the sensor's own faults."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import PinholeCamera
from drivable.synthetic.light import Light

FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class Bonnet:
    """What the camera sees of its own car: the bonnet or the dashboard along the picture's bottom.

    Args:
        share: part of the picture's height that it covers in the middle, 0 (not seen) .. 0.25.
        sag: how much lower its edge lies at the sides, as a part of the picture's height.
        color: RGB albedo.
    """

    share: float
    sag: float
    color: tuple[float, float, float]

    def mask(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Pixels (height, width) that show the own car."""
        height, width = size
        across = np.linspace(-1.0, 1.0, width)
        edge = height * (1.0 - self.share + self.sag * across**2)
        return np.asarray((np.arange(height)[:, None] >= edge) & (self.share > 0))


def wet_ground(image: FloatImage, covered: NDArray[np.bool_], camera: PinholeCamera) -> FloatImage:
    """Mirror what stands above the horizon in the ground below it, smeared along the columns.

    Args:
        image: (height, width, 3) RGB.
        covered: (height, width) pixels of solid things, which stay dry.
        camera: gives the horizon.

    Returns:
        A new picture.
    """
    height = camera.size[0]
    horizon = round(camera.horizon_row())
    if not 8 < horizon < height - 8:
        return image
    mirrored_rows = np.clip(2 * horizon - np.arange(horizon, height), 0, height - 1)
    mirrored = np.minimum(image[mirrored_rows], 2.0)
    # Lamps below the horizon smear downwards too: the tail lights of the car in front.
    smeared = cv2.blur(mirrored, (3, max(3, height // 8) | 1)) * 0.75
    length = max(3, height // 5) | 1
    trails = cv2.blur(np.maximum(image[horizon:] - 0.9, 0.0), (3, length), anchor=(1, length - 1))
    depth = np.arange(height - horizon, dtype=np.float32)[:, None, None] / (height - horizon)
    wetness = 0.42 * (1.0 - 0.55 * depth) * ~covered[horizon:, :, None]
    result = image.copy()
    result[horizon:] += wetness * (smeared + 2.0 * trails - 0.75 * image[horizon:])
    return result


def glare(image: FloatImage, strength: float) -> FloatImage:
    """Spread what is brighter than white over its neighbourhood; returns a new picture of the same shape."""
    height, width = image.shape[:2]
    small = cv2.resize(np.maximum(image - 1.0, 0.0), (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    sigma = height / 90.0
    halo = cv2.GaussianBlur(small, (0, 0), sigma / 2) + 0.5 * cv2.GaussianBlur(small, (0, 0), 2 * sigma)
    return np.asarray(image + strength * cv2.resize(halo, (width, height)), dtype=np.float32)


def paint_bonnet(image: FloatImage, bonnet: Bonnet, light: Light) -> None:
    """Paint the own car over the picture's bottom, in place."""
    height, width = image.shape[:2]
    mask = bonnet.mask((height, width))
    first_row = int(np.flatnonzero(mask.any(axis=1))[0]) if mask.any() else height
    if first_row == height:
        return
    lit = np.array(bonnet.color) * (np.array(light.ambient) + 0.4 * np.array(light.sun))
    fall = np.linspace(1.0, 0.35, height - first_row)[:, None, None]
    # The sky shows in the paint.
    paint = lit + 0.22 * fall * np.array(light.haze)
    image[first_row:] = np.where(mask[first_row:, :, None], paint, image[first_row:])


def expose(
    image: FloatImage, rng: np.random.Generator, blur_px: float, noise: float, vignette: float
) -> NDArray[np.uint8]:
    """Finish the picture: blur, vignette, noise, eight bits.

    Args:
        image: (height, width, 3) RGB, about 0..1; brighter is clipped softly.
        rng: draws the noise.
        blur_px: standard deviation of the lens's blur, pixels.
        noise: standard deviation of the sensor's noise, part of full scale.
        vignette: part of the light that is lost in the corners, 0..1.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    if blur_px > 0:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur_px), dtype=np.float32)
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :] ** 2
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(255.0 * noise)
    falloff = np.float32(255.0) - np.float32(255.0 * vignette / 2) * (rows + columns)
    scaled = cv2.add(cv2.multiply(image, cv2.merge([falloff] * 3)), cv2.merge([grain] * 3))
    return np.asarray(cv2.convertScaleAbs(np.maximum(scaled, 0.0)), dtype=np.uint8)
