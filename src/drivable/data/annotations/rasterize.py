"""Fill polygons with Bezier segments, pixel by pixel, as BDD100K's own tools do."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.errors import DataError

Points = NDArray[np.float64]
_STEPS = 32
_SUBPIXEL_BITS = 4


def flatten_poly2d(vertices: Sequence[tuple[float, float]], types: str) -> Points:
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
        DataError: where there are fewer than three points, another letter, not one letter per point, or points that
            are no finite numbers.

    Example:
        >>> flatten_poly2d([(0, 0), (4, 0), (4, 4)], "LLL").shape
        (3, 2)
    """
    if len(vertices) < 3 or len(types) != len(vertices) or set(types) - {"L", "C"} or types[0] == "C":
        raise DataError(
            f"a polygon needs three or more vertices with a type L or C each, the first an L; got {len(vertices)} "
            f"vertices and types '{types}'"
        )
    points = np.asarray(vertices, dtype=np.float64)
    if points.shape != (len(types), 2) or not np.isfinite(points).all():
        raise DataError("a polygon's vertices must be pairs of finite numbers x, y")
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
    height, width = size
    starts, ends = corners, np.roll(corners, -1, axis=0)
    down = starts[:, 1] < ends[:, 1]
    upper, lower = np.where(down[:, None], starts, ends), np.where(down[:, None], ends, starts)
    # Rows whose centre lies in [upper, lower), so that a shared corner counts once.
    first = np.clip(np.ceil(upper[:, 1]), 0, height).astype(np.intp)
    num_rows = np.clip(np.ceil(lower[:, 1]), 0, height).astype(np.intp) - first
    edges = np.repeat(np.arange(len(corners)), num_rows)
    rows = np.arange(len(edges)) - np.repeat(num_rows.cumsum() - num_rows, num_rows) + first[edges]
    (xa, ya), (xb, yb) = upper[edges].T, lower[edges].T
    crossing = xa + (rows - ya) * (xb - xa) / (yb - ya)
    columns = np.clip(np.ceil(crossing), 0, width).astype(np.intp)
    winding = np.zeros((height, width + 1), dtype=np.int32)
    np.add.at(winding, (rows, columns), np.where(down[edges], 1, -1))
    return np.asarray(winding[:, :width].cumsum(axis=1) != 0)


def stroke_ring(corners: Points, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that a ring's outline passes through, one pixel wide: (H, W) mask."""
    canvas = np.zeros(size, dtype=np.uint8)
    fixed = np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(canvas, [fixed], True, 1, thickness=1, lineType=cv2.LINE_4, shift=_SUBPIXEL_BITS)
    return canvas.astype(bool)
