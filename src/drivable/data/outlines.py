"""Corners of the shapes that annotation tools describe otherwise than by corners."""

from __future__ import annotations

import math

import numpy as np

from drivable.errors import one_line

Corners = tuple[tuple[float, float], ...]
# Of a radius of a thousand pixels, the outline leaves the ellipse by a hundredth of a pixel.
_ELLIPSE_CORNERS = 720


def number(value: object) -> float:
    """A number from JSON as a float.

    Raises:
        ValueError: where it is text, a truth value or anything else.
        OverflowError: where no float is so large.

    Example:
        >>> number(3)
        3.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {one_line(repr(value), 24)}")
    return float(value)


def box_corners(x: float, y: float, width: float, height: float) -> Corners:
    """Corners of a box whose upper left one is (x, y), clockwise.

    Raises:
        ValueError: where it has no area.
    """
    if not (width > 0 and height > 0):
        raise ValueError(f"a box of {width:g} x {height:g} pixels; expected a width and a height above zero")
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def ellipse_corners(x: float, y: float, radius_x: float, radius_y: float) -> Corners:
    """Corners along an ellipse around (x, y).

    Raises:
        ValueError: where it has no area.
    """
    if not (radius_x > 0 and radius_y > 0):
        raise ValueError(f"an ellipse of the radii {radius_x:g} and {radius_y:g}; expected both above zero")
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    return tuple(zip((x + radius_x * np.cos(angles)).tolist(), (y + radius_y * np.sin(angles)).tolist(), strict=True))


def turned(corners: Corners, around: tuple[float, float], degrees: float) -> Corners:
    """Turn corners clockwise, as a picture shows it.

    Raises:
        ValueError: where the angle is no finite number.

    Example:
        >>> turned(((1.0, 0.0),), (0.0, 0.0), 90)
        ((6.123233995736766e-17, 1.0),)
    """
    if not math.isfinite(degrees):
        raise ValueError(f"a rotation of {degrees} degrees")
    if degrees % 360 == 0:
        return corners
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    (left, top), moved = around, [(x - around[0], y - around[1]) for x, y in corners]
    return tuple((left + x * cosine - y * sine, top + x * sine + y * cosine) for x, y in moved)
