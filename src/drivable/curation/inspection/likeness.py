"""Find pictures that are alike by a perceptual hash."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_BITS = 64
_MAX_DISTANCE = 10
_MIN_CORRELATION = 0.98
_BLOCK = 2048


def perceptual_hash(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Signs of the 64 lowest cosine frequencies against their median (Zauner 2010, pHash): (64,) of -1 and 1.

    Args:
        grey: (16, 16) uint8.
    """
    frequencies = cv2.dct(grey.astype(np.float32))[:8, :8].ravel()
    return np.where(frequencies > np.median(frequencies), 1, -1).astype(np.float32)


def alike(greys: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Pairs of pictures that show the same.

    Hashes that differ in at most 10 of 64 bits make candidates; thumbnails that correlate by 0.98 decide.

    Args:
        greys: (N, 16, 16) uint8 thumbnails.

    Returns:
        Pairs of indices, the smaller first.

    Example:
        >>> alike(np.stack([grey, other, grey]))
        [(0, 2)]
    """
    if len(greys) < 2:
        return []
    hashes = np.stack([perceptual_hash(grey) for grey in greys])
    flat = greys.reshape(len(greys), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    # A picture of one grey is like no other; it is reported as blank.
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        # Of two vectors of signs the product is 64 - 2 x the bits that differ.
        near = block @ hashes[start:].T >= _BITS - 2 * _MAX_DISTANCE
        for row, column in np.argwhere(near):
            first, second = start + int(row), start + int(column)
            if first < second and float(flat[first] @ flat[second]) >= _MIN_CORRELATION:
                pairs.append((first, second))
    return pairs
