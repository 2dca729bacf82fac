"""Fill polygons with Bezier segments, pixel by pixel, as BDD100K's own tools do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.errors import DataError, one_line
from drivable.reading import check_limit

Points = NDArray[np.float64]
_STEPS = 32
_SUBPIXEL_BITS = 4
# No picture is so wide, and sixteenths of it still fit OpenCV's numbers.
_FARTHEST_PX = 2.0**24
_CROSSINGS_AT_ONCE = 2**20


def flatten_poly2d(vertices: Sequence[tuple[float, float]] | Points, types: str) -> Points:
    r"""Turn BDD100K's ``poly2d`` into a ring of straight segments.

    ``L`` is a corner, ``C`` a control point of a cubic Bezier curve. At the first ``C`` three points are taken
    (control, control, end) whatever their letters, so ``LCCC`` and ``LCCL`` mean the same; where the points run out,
    the curve ends at the first one. The ring is closed.

    .. math:: B(t) = (1-t)^3 p_0 + 3 (1-t)^2 t\, p_1 + 3 (1-t) t^2 p_2 + t^3 p_3

    Args:
        vertices: (x, y) in pixels.
        types: one letter per vertex.

    Returns:
        Corners (N, 2) of the ring, the first one not repeated.

    Raises:
        DataError: where there are fewer than three points, another letter, not one letter per point, points that are
            no numbers or lie millions of pixels away, or more corners than ``DRIVABLE_MAX_CORNERS``.

    Example:
        >>> flatten_poly2d([(0, 0), (4, 0), (4, 4)], "LLL").shape
        (3, 2)
    """
    if len(vertices) < 3 or len(types) != len(vertices) or set(types) - {"L", "C"} or types[0] == "C":
        raise DataError(
            f"a polygon needs three or more vertices with a type L or C each, the first an L; got {len(vertices)} "
            f"vertices and types '{one_line(types, 40)}'"
        )
    # Counted before anything is drawn; every third C begins a curve.
    curves = sum(-(-len(run) // 3) for run in types.split("L"))
    check_limit("DRIVABLE_MAX_CORNERS", len(vertices) + curves * _STEPS, "corners of a polygon, its curves' included")
    points = np.asarray(vertices, dtype=np.float64)
    if points.shape != (len(types), 2) or not (np.abs(points) <= _FARTHEST_PX).all():
        raise DataError("a polygon's vertices must be pairs of numbers x, y, in pixels")
    ring = [points[:1]]
    index = 1
    while index < len(points):
        if types[index] == "L":
            ring.append(points[index : index + 1])
            index += 1
        else:
            controls = [points[k] if k < len(points) else points[0] for k in range(index, index + 3)]
            ring.append(_cubic(ring[-1][-1], *controls))
            index += 3
    corners = np.concatenate(ring)
    return corners[:-1] if len(corners) > 3 and np.array_equal(corners[0], corners[-1]) else corners


def _cubic(start: Points, first: Points, second: Points, end: Points) -> Points:
    t = np.linspace(0, 1, _STEPS + 1)[1:, None]
    return (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end


def fill_ring(corners: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside a closed ring, by the nonzero winding rule, without antialiasing.

    Each edge adds its direction to the pixel at its right in every row whose centre it crosses; sums along the rows
    are winding numbers.

    Args:
        corners: (N, 2) of x, y in pixels; (j, i) is the centre of the pixel in row i and column j.
        size: (height, width) in pixels.

    Returns:
        mask (H, W).

    Example:
        >>> fill_ring(np.array([[0, 0], [2, 0], [2, 2], [0, 2.0]]), (3, 3)).sum()
        4
    """
    return _in_its_box(_fill, corners, size)


def cover_ring(corners: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that a closed ring covers a part of: those that :func:`fill_ring` fills, and those its edges pass through.

    Args:
        corners: (N, 2) of x, y in pixels; (j, i) is the centre of the pixel in row i and column j.
        size: (height, width) in pixels.

    Returns:
        mask (H, W).

    Example:
        >>> cover_ring(np.array([[0, 0], [2, 0], [2, 2], [0, 2.0]]), (3, 3)).sum()
        9
    """
    return _in_its_box(_cover, corners, size)


def _in_its_box(
    draw: Callable[[Points, int, int], NDArray[np.bool_]], corners: Points, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Draw a ring in the part of the picture that it lies in: many small ones cost little in a large picture."""
    mask = np.zeros(size, dtype=np.bool_)
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, size[::-1]).astype(np.intp).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, size[::-1]).astype(np.intp).tolist()
    if top < bottom and left < right:
        mask[top:bottom, left:right] = draw(corners - [left, top], bottom - top, right - left)
    return mask


def _fill(corners: Points, height: int, width: int) -> NDArray[np.bool_]:
    upper, lower, direction = _edges(corners)
    # Rows whose centre lies in [upper, lower), so that a shared corner counts once.
    first, last = (_clipped(np.ceil(ends[:, 1]), height) for ends in (upper, lower))
    winding = np.zeros((height, width + 1), dtype=np.int32)
    for edges, rows in _crossings(first, last):
        columns = _clipped(np.ceil(_x_at(rows, upper[edges], lower[edges])), width)
        _add(winding, rows, columns, direction[edges])
    return np.asarray(np.cumsum(winding, axis=1, out=winding)[:, :width] != 0)


def _cover(corners: Points, height: int, width: int) -> NDArray[np.bool_]:
    upper, lower, _ = _edges(corners + 0.5)  # Row i reaches from i to i + 1.
    first, last = _clipped(np.floor(upper[:, 1]), height), _clipped(np.ceil(lower[:, 1]), height)
    passed = np.zeros((height, width + 1), dtype=np.int32)
    for edges, rows in _crossings(first, last):
        start, end = upper[edges], lower[edges]
        enters = _x_at(np.maximum(rows, start[:, 1]), start, end)
        leaves = _x_at(np.minimum(rows + 1, end[:, 1]), start, end)
        _add(passed, rows, _clipped(np.floor(np.minimum(enters, leaves)), width), 1)
        _add(passed, rows, _clipped(np.ceil(np.maximum(enters, leaves)), width), -1)
    return _fill(corners, height, width) | (np.cumsum(passed, axis=1, out=passed)[:, :width] > 0)


def _edges(corners: Points) -> tuple[Points, Points, NDArray[np.int32]]:
    """Upper ends (N, 2), lower ends (N, 2), and 1 where the ring runs downwards, else -1: (N,)."""
    ends = np.roll(corners, -1, axis=0)
    down = corners[:, 1] < ends[:, 1]
    upper, lower = np.where(down[:, None], corners, ends), np.where(down[:, None], ends, corners)
    level = upper[:, 1] == lower[:, 1]
    return upper[~level], lower[~level], np.where(down[~level], 1, -1).astype(np.int32)


def _crossings(first: NDArray[np.intp], last: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Each edge with each of its rows, ``first`` to ``last`` (not included): indices of edges, and rows.

    In portions: thousands of edges over thousands of rows would take gigabytes.
    """
    before = np.concatenate([[0], np.cumsum(np.maximum(last - first, 0))])
    num = int(before[-1])
    check_limit("DRIVABLE_MAX_CROSSINGS", num, "times that a polygon's edges cross a row of pixels")
    for start in range(0, num, _CROSSINGS_AT_ONCE):
        stop = min(start + _CROSSINGS_AT_ONCE, num)
        edges = np.repeat(np.arange(len(first)), np.diff(np.clip(before, start, stop)))
        yield edges, np.arange(start, stop) - before[edges] + first[edges]


def _add(counts: NDArray[np.int32], rows: NDArray[np.intp], columns: NDArray[np.intp], values: Any) -> None:
    """Add to a contiguous (H, W) array, the same place many times."""
    np.add.at(counts.reshape(-1), rows * counts.shape[1] + columns, values)  # Flat is many times faster.


def _x_at(y: NDArray[Any], start: Points, end: Points) -> Points:
    """Where the edges from ``start`` to ``end``, (N, 2) each, are at the heights ``y`` (N,)."""
    return np.asarray(start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1]))


def _clipped(values: Points, most: int) -> NDArray[np.intp]:
    return np.clip(values, 0, most).astype(np.intp)


def stroke_ring(corners: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that a ring's outline passes through, one pixel wide: (H, W) mask."""
    canvas = np.zeros(size, dtype=np.uint8)
    fixed = np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(canvas, [fixed], True, 1, thickness=1, lineType=cv2.LINE_4, shift=_SUBPIXEL_BITS)
    return canvas.astype(bool)
