"""The pinhole camera behind the windscreen, and where its car stands in the world.

Frames, all right-handed and in metres:

- *world*: x along the road's general direction, y to its left, z up; the ground is z = 0.
- *ego*: x forward, y left, z up; the origin lies on the ground straight below the camera.
- *pixels*: (column, row) with pixel centres at whole numbers, the principal point in the picture's centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivable.errors import ConfigError

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class PinholeCamera:
    """A distortion-free camera above a flat ground.

    Args:
        size: picture (height, width) in pixels.
        focal_px: focal length in pixels, the same for rows and columns.
        height_m: height of the camera above the ground, metres.
        pitch_rad: positive looks down.
        yaw_rad: positive looks left.
        roll_rad: positive tilts the camera clockwise as seen from behind it.

    Raises:
        ConfigError: where a size, the focal length or the height is not positive.

    Example:
        >>> camera = PinholeCamera(size=(361, 641), focal_px=600.0, height_m=1.5, pitch_rad=0.0)
        >>> camera.project(np.array([15.0, 0.0, 0.0])).tolist()
        [320.0, 240.0]
    """

    size: tuple[int, int]
    focal_px: float
    height_m: float
    pitch_rad: float
    yaw_rad: float = 0.0
    roll_rad: float = 0.0

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.focal_px <= 0 or self.height_m <= 0:
            raise ConfigError(
                "camera: size, focal_px and height_m must be positive, "
                f"got {self.size}, {self.focal_px}, {self.height_m}"
            )

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """The camera's right, down and forward unit vectors in the ego frame: rows of a (3, 3) matrix."""
        cos_yaw, sin_yaw = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        cos_pitch, sin_pitch = math.cos(self.pitch_rad), math.sin(self.pitch_rad)
        cos_roll, sin_roll = math.cos(self.roll_rad), math.sin(self.roll_rad)
        level = np.array([[0.0, -1.0, 0.0], [-sin_pitch, 0.0, -cos_pitch], [cos_pitch, 0.0, -sin_pitch]])
        turn = np.array([[cos_yaw, -sin_yaw, 0.0], [sin_yaw, cos_yaw, 0.0], [0.0, 0.0, 1.0]])
        right, down, forward = level @ turn.T
        return np.stack([cos_roll * right + sin_roll * down, cos_roll * down - sin_roll * right, forward])

    def depth(self, points: FloatArray) -> NDArray[np.float64]:
        """Distance along the optical axis of ego-frame points (..., 3), metres; negative behind."""
        return np.asarray((np.asarray(points) - self._position) @ self.axes[2], dtype=np.float64)

    def project(self, points: FloatArray) -> NDArray[np.float64]:
        """Picture position of ego-frame points.

        Args:
            points: (..., 3) metres in the ego frame.

        Returns:
            (..., 2) columns and rows in pixels, NaN for points at or behind the camera's plane.
        """
        seen = (np.asarray(points, dtype=np.float64) - self._position) @ self.axes.T
        depth = np.where(seen[..., 2:] > 1e-6, seen[..., 2:], np.nan)
        return np.asarray(seen[..., :2] / depth * self.focal_px + self._principal_point, dtype=np.float64)

    def ground_at(self, columns: FloatArray, rows: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where the rays through pixels meet the ground.

        Args:
            columns: pixel columns, any shape that broadcasts with ``rows``.
            rows: pixel rows.

        Returns:
            forward and left distances in the ego frame, metres; NaN at and above the horizon.
        """
        center_column, center_row = self._principal_point
        right, down, forward = self.axes
        across = (np.asarray(columns, dtype=np.float64) - center_column) / self.focal_px
        below = (np.asarray(rows, dtype=np.float64) - center_row) / self.focal_px
        descent = -(across * right[2] + (below * down[2] + forward[2]))
        reach = self.height_m / np.where(descent > 1e-9, descent, np.nan)
        ahead = reach * (across * right[0] + (below * down[0] + forward[0]))
        aside = reach * (across * right[1] + (below * down[1] + forward[1]))
        return ahead, aside

    def ground_grid(self, first_row: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """:meth:`ground_at` for pixels from ``first_row`` down: two (height - first_row, width) arrays."""
        height, width = self.size
        return self.ground_at(
            np.arange(width, dtype=np.float64)[None, :],
            np.arange(first_row, height, dtype=np.float64)[:, None],
        )

    def horizon_rows(self) -> NDArray[np.float64]:
        """The horizon's row in each column, (width,) pixels, possibly outside the picture."""
        center_column, center_row = self._principal_point
        right, down, forward = self.axes
        across = (np.arange(self.size[1]) - center_column) / self.focal_px
        rows = center_row - (across * right[2] + forward[2]) / down[2] * self.focal_px
        return np.asarray(rows, dtype=np.float64)

    def horizon_row(self) -> float:
        """The horizon's row in the middle of the picture, pixels."""
        _, down, forward = self.axes
        return float(self._principal_point[1] - forward[2] / down[2] * self.focal_px)

    @cached_property
    def _position(self) -> NDArray[np.float64]:
        return np.array([0.0, 0.0, self.height_m])

    @cached_property
    def _principal_point(self) -> NDArray[np.float64]:
        return np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2])


@dataclass(frozen=True)
class Pose:
    """Where the ego frame lies in the world: position in metres, heading in radians (positive turns left).

    Example:
        >>> Pose(10.0, 2.0, 0.0).to_ego(np.array([[15.0, 2.0, 1.0]])).tolist()
        [[5.0, 0.0, 1.0]]
    """

    x_m: float
    y_m: float
    heading_rad: float

    def to_world(self, forward: FloatArray, left: FloatArray) -> tuple[FloatArray, FloatArray]:
        """World x and y of ego-frame ground positions, metres, in the shape given."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        return self.x_m + cos * forward - sin * left, self.y_m + sin * forward + cos * left

    def to_ego(self, points: FloatArray) -> NDArray[np.float64]:
        """Ego-frame positions (..., 3) of world points (..., 3), metres."""
        cos, sin = math.cos(self.heading_rad), math.sin(self.heading_rad)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray((np.asarray(points) - np.array([self.x_m, self.y_m, 0.0])) @ turn, dtype=np.float64)
