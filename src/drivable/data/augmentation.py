"""Random changes to a training picture and its label map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.config.recipe import AugmentationSpec
from drivable.imaging.images import Pixels, resize_image, resize_label_map
from drivable.imaging.weather import nightfall, rain_on_glass

Matrix = NDArray[np.float64]
_WHOLE = (0.0, 0.0, 1.0, 1.0)
_ASPECT_JITTER = 0.85
# A picture may be read at 3/4 of the resolution that a crop would want: enlarging by a third loses less than
# shrinking by more than a half without a filter.
_RESOLUTION = 0.75
_LARGEST_DROP = 0.06
_LUMA = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Change:
    """One draw of all random changes.

    Args:
        crop: (left, top, width, height) of what is kept, as shares of the picture.
        flip: whether left and right change places.
        brightness: factor of all values.
        contrast: factor of the distance from the picture's mean grey.
        saturation: factor of the distance from each pixel's own grey.
        hue: turn of the colours, in full turns.
        blur: standard deviation of a Gaussian blur in pixels, 0 for none.
        gamma: exponent of the values in 0..1.
        noise: standard deviation of Gaussian noise in grey levels, 0 for none.
        night: whether it is made dark.
        rain: whether there is rain on the glass.
        seed: of noise, night and rain.
    """

    crop: tuple[float, float, float, float] = _WHOLE
    flip: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    blur: float = 0.0
    gamma: float = 1.0
    noise: float = 0.0
    night: bool = False
    rain: bool = False
    seed: int = 0

    def least_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that the whole picture needs so that its crop fills ``size``."""
        if self.crop == _WHOLE:
            return size
        _, _, width, height = self.crop
        return math.ceil(_RESOLUTION * size[0] / height), math.ceil(_RESOLUTION * size[1] / width)

    def apply(self, image: Pixels, label_map: Pixels, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
        """Change a pair and resize it.

        Geometry moves picture and label map together, by bilinear and nearest pixels; both are taken relative to
        their own size, so the picture may have been read at a reduced scale.

        Args:
            image: RGB (H, W, 3) uint8.
            label_map: ids (H', W') uint8.
            size: (height, width) of both results.

        Returns:
            RGB (*size, 3) and ids (*size), both uint8.
        """
        if self.crop == _WHOLE:
            image, label_map = resize_image(image, size), resize_label_map(label_map, size)
        else:
            image = self._cropped(image, size, cv2.INTER_LINEAR)
            label_map = self._cropped(label_map, size, cv2.INTER_NEAREST_EXACT)
        if self.flip:
            image, label_map = cv2.flip(image, 1), cv2.flip(label_map, 1)  # type: ignore[assignment]
        if (self.brightness, self.contrast, self.saturation, self.hue) != (1.0, 1.0, 1.0, 0.0):
            image = cv2.transform(image, self._color_matrix(image))  # type: ignore[assignment]
        if self.blur:
            image = cv2.GaussianBlur(image, (5, 5), self.blur)  # type: ignore[assignment]
        if self.gamma != 1.0:
            image = cv2.LUT(image, _gamma_table(self.gamma))  # type: ignore[assignment]
        if self.night or self.rain or self.noise:
            image = self._weathered(image)
        return image, label_map

    def _weathered(self, image: Pixels) -> Pixels:
        rng = np.random.default_rng(self.seed)
        light = np.asarray(image, dtype=np.float32) / np.float32(255)
        if self.night:
            light = nightfall(light, rng)
        if self.rain:
            light = rain_on_glass(light, rng, _LARGEST_DROP)
        if self.noise:
            light += rng.standard_normal(light.shape, dtype=np.float32) * np.float32(self.noise / 255)
        return (light.clip(0, 1) * 255 + 0.5).astype(np.uint8)

    def _cropped(self, pixels: Pixels, size: tuple[int, int], interpolation: int) -> Pixels:
        height, width = pixels.shape[:2]
        left, top, share_x, share_y = self.crop
        # To the nearest pixel of either: what picture and label map may differ by is less than one of theirs.
        columns = slice(round(left * width), max(round(left * width) + 1, round((left + share_x) * width)))
        rows = slice(round(top * height), max(round(top * height) + 1, round((top + share_y) * height)))
        return np.asarray(cv2.resize(pixels[rows, columns], size[::-1], interpolation=interpolation), dtype=np.uint8)

    def _color_matrix(self, image: Pixels) -> Matrix:
        """(3, 4): all colour changes are affine in RGB, so one matrix does them together."""
        cos, sin = math.cos(2 * math.pi * self.hue), math.sin(2 * math.pi * self.hue)
        rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        saturation = self.saturation * np.eye(3) + (1 - self.saturation) * _LUMA
        color = self.brightness * _FROM_YIQ @ rotation @ _TO_YIQ @ saturation
        grey = float(_LUMA @ cv2.mean(image)[:3]) * self.brightness
        return np.hstack([self.contrast * color, np.full((3, 1), (1 - self.contrast) * grey)])


def _gamma_table(gamma: float) -> Pixels:
    return ((np.arange(256) / 255) ** gamma * 255 + 0.5).astype(np.uint8)


def draw_change(spec: AugmentationSpec, size: tuple[int, int], rng: np.random.Generator) -> Change:
    """Draw what happens to one picture.

    Args:
        spec: which changes and how strong; a spec of defaults changes nothing.
        size: (height, width) of the results, for the crops' aspect.
        rng: decides.

    Example:
        >>> draw_change(AugmentationSpec(), (180, 320), np.random.default_rng(0)) == Change()
        True
    """

    def factor(strength: float) -> float:
        return 1.0 + strength * rng.uniform(-1, 1) if strength else 1.0

    def happens(probability: float) -> bool:
        return bool(probability and rng.random() < probability)

    crop = _WHOLE
    if spec.scale_crop is not None:
        area = rng.uniform(*spec.scale_crop)
        stretch = math.exp(rng.uniform(math.log(_ASPECT_JITTER), -math.log(_ASPECT_JITTER)) / 2)
        width, height = min(1.0, math.sqrt(area) * stretch), min(1.0, math.sqrt(area) / stretch)
        crop = (rng.uniform(0, 1 - width), rng.uniform(0, 1 - height), width, height)
    return Change(
        crop=crop,
        flip=happens(spec.flip),
        brightness=factor(spec.brightness),
        contrast=factor(spec.contrast),
        saturation=factor(spec.saturation),
        hue=spec.hue * rng.uniform(-1, 1) if spec.hue else 0.0,
        blur=rng.uniform(0.3, 1.5) if happens(spec.blur) else 0.0,
        gamma=(1 - spec.gamma) ** rng.uniform(-1, 1) if spec.gamma else 1.0,
        noise=rng.uniform(2, 12) if happens(spec.noise) else 0.0,
        night=happens(spec.night),
        rain=happens(spec.rain),
        seed=int(rng.integers(2**32)) if spec.noise or spec.night or spec.rain else 0,
    )
