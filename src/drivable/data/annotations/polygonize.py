"""Outline the regions of a label map as polygons."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from contourpy import FillType, contour_generator
from numpy.typing import NDArray

# Contours pass halfway between pixel centres, 0.35 px from the nearest at a diagonal; moved by less, every centre
# stays on its side.
_TOLERANCE_PX = 0.35


def outline_mask(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed rings that :func:`fill_ring` fills to the mask again.

    Marching squares halfway between the pixels' centres, simplified by Douglas and Peucker's rule. A region with
    holes is one ring: a seam of no width leads to each hole, which runs the other way round.

    Args:
        mask: (H, W).

    Returns:
        Corners (N, 2) of x, y in pixels for each connected region; (j, i) is the centre of the pixel in row i and
        column j.

    Example:
        >>> len(outline_mask(np.eye(3, dtype=bool)))
        3
    """
    if not mask.any():
        return []
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
    padded = np.pad(mask[top : bottom + 1, left : right + 1], 1).astype(np.float64)
    traced = contour_generator(z=padded, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    origin = np.array([left - 1, top - 1])
    rings = []
    for points, offsets in zip(traced[0], traced[1], strict=True):
        assert points is not None
        assert offsets is not None
        # Each part ends with its first point again.
        parts = [_simplified(points[a : b - 1]) for a, b in pairwise(offsets.tolist())]
        outer = parts[0]
        ring = [outer]
        for hole in parts[1:]:
            ring += [outer[:1], hole, hole[:1]]
        if len(parts) > 1:
            ring.append(outer[:1])
        rings.append(np.concatenate(ring) + origin)
    return rings


def _simplified(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = cv2.approxPolyDP(ring.astype(np.float32)[:, None], _TOLERANCE_PX, closed=True)[:, 0]
    return kept.astype(np.float64) if len(kept) >= 3 else ring
