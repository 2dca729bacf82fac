"""Seamless noise, anchored wherever its caller's coordinates are anchored."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import FloatArray

TEXTURE_SIZE = 256


@lru_cache(maxsize=4)
def noise_texture(seed: int, roughness: float = 1.1) -> NDArray[np.float32]:
    """A seamless tile of cloudy noise with mean 0 and standard deviation 1.

    Args:
        seed: what to draw it from.
        roughness: power by which amplitudes fall with spatial frequency; smaller is grainier.

    Returns:
        (256, 256) float32, read-only because all callers share it.

    Example:
        >>> noise_texture(3).shape
        (256, 256)
    """
    white = np.random.default_rng(seed).standard_normal((TEXTURE_SIZE, TEXTURE_SIZE))
    rows = np.fft.fftfreq(TEXTURE_SIZE)[:, None] * TEXTURE_SIZE
    columns = np.fft.rfftfreq(TEXTURE_SIZE)[None, :] * TEXTURE_SIZE
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    tile = np.fft.irfft2(np.fft.rfft2(white) * frequency**-roughness, s=white.shape)
    texture: NDArray[np.float32] = (tile / tile.std()).astype(np.float32)
    texture.setflags(write=False)
    return texture


def sample_texture(texture: NDArray[np.float32], u: FloatArray, v: FloatArray, tile: float) -> NDArray[np.float32]:
    """Look a seamless texture up at (u, v), in the unit of ``tile``, its side; in the shape of ``u``."""
    return np.asarray(
        cv2.remap(texture, _wrapped(u, tile), _wrapped(v, tile), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP),
        dtype=np.float32,
    )


def _wrapped(coordinate: FloatArray, tile: float) -> NDArray[np.float32]:
    # OpenCV's remap keeps 16 bits of a position, so the wrapping must come first.
    scaled = coordinate * (1.0 / tile)
    return np.asarray((scaled - np.floor(scaled)) * TEXTURE_SIZE, dtype=np.float32)
