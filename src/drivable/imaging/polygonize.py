"""Outline the regions of a label map as polygons."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.reading import LIMITS

_MOST_CORNERS = LIMITS["DRIVABLE_MAX_CORNERS"][0]


def outline_mask(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed rings that :func:`fill_ring` fills to the mask again.

    They follow the borders between pixels, so their corners lie at (column - 1/2, row - 1/2) and no rounding moves
    them. A region with holes is one ring: a seam of no width leads to each hole, which runs the other way round. Where
    a ring would have more corners than a reader allows, the mask is cut in two.

    Args:
        mask: (H, W).

    Returns:
        Corners (N, 2) of x, y in pixels for each region whose pixels touch each other; (j, i) is the centre of the
        pixel in row i and column j.

    Example:
        >>> outline_mask(np.array([[True, True]]))[0].tolist()
        [[-0.5, -0.5], [1.5, -0.5], [1.5, 0.5], [-0.5, 0.5]]
    """
    if not mask.any():
        return []
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    (top, bottom), (left, right) = rows[[0, -1]], columns[[0, -1]]
    found = _outlined(mask[top : bottom + 1, left : right + 1])
    return [ring - 0.5 + [left, top] for ring in found]


def _outlined(mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Rings of corners (x, y) that count from the corner of the first pixel."""
    by_region: dict[int, list[list[tuple[int, int]]]] = {}
    for region, loop in _loops(mask):
        by_region.setdefault(region, []).append(loop)
    rings = [_joined(loops) for loops in by_region.values()]
    if max(map(len, rings), default=0) <= _MOST_CORNERS:
        return [np.array(ring) for ring in rings]
    height, width = mask.shape
    if height >= width:
        upper, lower = mask[: height // 2], mask[height // 2 :]
        return _outlined(upper) + [ring + np.array([0, height // 2]) for ring in _outlined(lower)]
    left, right = mask[:, : width // 2], mask[:, width // 2 :]
    return _outlined(left) + [ring + np.array([width // 2, 0]) for ring in _outlined(right)]


def _loops(mask: NDArray[np.bool_]) -> list[tuple[int, list[tuple[int, int]]]]:
    """Borders of the mask, its pixels always at the right hand: for each its region and its corners (x, y).

    Corners of pixels are corners of a border where an odd number of the four pixels around them belongs to the mask,
    and two at once where only two in a diagonal do. Along each row and each column of corners, every first one is
    joined with the next.
    """
    padded = np.pad(mask, 1)
    around = padded[:-1, :-1].astype(np.int8), padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    diagonal = (around[0] == around[3]) & (around[1] == around[2]) & (around[0] != around[1])
    odd = (around[0] + around[1] + around[2] + around[3]) % 2 == 1
    num_at = odd + 2 * diagonal
    y, x = np.nonzero(num_at)
    y, x = np.repeat(y, num_at[y, x]), np.repeat(x, num_at[np.nonzero(num_at)])
    # They come in the order of rows; two at one place are first that of the left, then that of the right edge.
    across = np.arange(len(x)) ^ 1
    by_column = np.lexsort((np.arange(len(x)), y, x))
    along = np.empty_like(by_column)
    along[by_column] = by_column[np.arange(len(x)) ^ 1]
    # An edge that begins at its left end has the mask at its right hand if that lies below it.
    regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    next_across, next_along = across.tolist(), along.tolist()
    places = list(zip(x.tolist(), y.tolist(), strict=True))
    seen = np.zeros(len(x), dtype=bool)
    loops = []
    for first in range(0, len(x), 2):
        if seen[first]:
            continue
        column, row = places[first]
        is_below = bool(padded[row + 1, column + 1])
        place = start = first if is_below else first + 1
        loop = []
        while True:
            end = next_across[place]
            seen[place] = seen[end] = True
            loop += [places[place], places[end]]
            place = next_along[end]
            if place == start:
                break
        loops.append((int(regions[row if is_below else row - 1, column]), loop))
    return loops


def _joined(loops: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    """One ring of several: from the first corner of the first along a row and a column to each other one and back."""
    ring = list(loops[0])
    (x, y) = ring[0]
    for loop in loops[1:]:
        seam = [(x, y), (loop[0][0], y)]
        ring += [*seam, *loop, loop[0], *reversed(seam)]
    return ring
