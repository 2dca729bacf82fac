"""A painter of solid things: far ones first, near ones over them, remembering which pixels they cover."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import FloatArray, PinholeCamera, Pose
from drivable.synthetic.light import Light

NEAR_M = 0.4
SUBPIXEL_BITS = 4
LIMIT_PX = 30000.0


@dataclass(frozen=True)
class Canvas:
    """A picture being painted.

    Args:
        pixels: (height, width, 4) float32: RGB, about 0..1 (lamps are brighter), then 1 where a thing stands.
            Colour and cover are one array so that they can never disagree.
        camera: the camera.
        pose: where the camera's car is in the world.
        light: what shines on the things and dims them with distance.
    """

    pixels: NDArray[np.float32]
    camera: PinholeCamera
    pose: Pose
    light: Light

    def shade(self, albedo: FloatArray, forward_m: float, left_m: float) -> NDArray[np.float64]:
        """Colours (..., 3) that surfaces of an albedo (..., 3) have at an ego-frame position in metres."""
        clear = float(self.light.clearness(np.array(max(forward_m, 0.0))))
        lit = np.asarray(albedo) * self.light.on_thing(forward_m, left_m)
        return np.asarray(lit * clear + (1 - clear) * np.array(self.light.haze), dtype=np.float64)

    def fill(self, polygons: FloatArray, colors: FloatArray, cull: bool = False) -> None:
        """Paint flat convex polygons in the order given.

        Args:
            polygons: (n, k, 3) corners in the world, metres.
            colors: (n, 3) RGB.
            cull: leave out polygons seen from behind (corners running clockwise as seen from the camera).
        """
        corners = self.pose.to_ego(polygons)
        depth = self.camera.depth(corners)
        shown = np.asarray((depth > NEAR_M).any(axis=1))
        if cull:
            # Corners far apart: neighbours may coincide where outlines of different lengths are stacked.
            quarter, half = corners.shape[1] // 4, corners.shape[1] // 2
            (ax, ay, az), (bx, by, bz) = (
                (corners[:, quarter] - corners[:, 0]).T,
                (corners[:, half] - corners[:, quarter]).T,
            )
            x, y, z = corners[:, 0].T
            # The normal (a cross b) against the way to the camera.
            facing = (
                (az * by - ay * bz) * x + (ax * bz - az * bx) * y + (ax * by - ay * bx) * (self.camera.height_m - z)
            )
            shown &= facing > 0
        whole = np.asarray((depth > NEAR_M).all(axis=1))
        with np.errstate(invalid="ignore"):
            outlines = _fixed_point(np.nan_to_num(self.camera.project(corners)))
        for k in np.flatnonzero(shown):
            outline = outlines[k] if whole[k] else self._clipped(corners[k], depth[k])
            color = (*colors[k].tolist(), 1.0)
            cv2.fillConvexPoly(self.pixels, outline, color, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)

    def discs(self, centers: FloatArray, radii_m: FloatArray, colors: FloatArray) -> None:
        """Paint balls in the order given: world centres (n, 3) and radii (n,) in metres, RGB (n, 3)."""
        points = self.pose.to_ego(centers)
        depth = self.camera.depth(points)
        middles = _fixed_point(np.nan_to_num(self.camera.project(points)))
        radii = np.round(radii_m / np.maximum(depth, NEAR_M) * self.camera.focal_px * 2**SUBPIXEL_BITS).astype(int)
        for k in np.flatnonzero(depth > np.maximum(NEAR_M, radii_m)):
            rgb = (*colors[k].tolist(), 1.0)
            cv2.circle(self.pixels, middles[k].tolist(), int(radii[k]), rgb, -1, cv2.LINE_8, SUBPIXEL_BITS)

    def darken(self, outlines: list[NDArray[np.float64]], share: float) -> None:
        """Take ``share`` of the ground's light within convex hulls of world points, each (n, 3) metres."""
        shadow = np.zeros(self.camera.size, dtype=np.float32)
        for outline in outlines:
            corners = self.pose.to_ego(outline)
            if (self.camera.depth(corners) > NEAR_M).all():
                pixels = _fixed_point(self.camera.project(corners))
                cv2.fillConvexPoly(shadow, cv2.convexHull(pixels), share, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
        rows = np.flatnonzero(shadow.any(axis=1))
        if len(rows):
            part = slice(max(0, int(rows[0]) - 1), int(rows[-1]) + 2)
            self.pixels[part, :, :3] *= 1.0 - cv2.blur(shadow[part], (5, 3))[..., None]

    def _clipped(self, corners: FloatArray, depth: FloatArray) -> NDArray[np.int32]:
        """Outline of a polygon's part beyond the near plane (Sutherland and Hodgman, 1974)."""
        kept = []
        for here, there, near, far in zip(corners, np.roll(corners, -1, 0), depth, np.roll(depth, -1), strict=True):
            if near > NEAR_M:
                kept.append(here)
            if (near > NEAR_M) != (far > NEAR_M):
                kept.append(here + (there - here) * (NEAR_M - near) / (far - near))
        return _fixed_point(self.camera.project(np.array(kept)))


def _fixed_point(pixels: FloatArray) -> NDArray[np.int32]:
    """Positions in pixels as OpenCV's fixed-point integers, kept within what its fill can take."""
    scaled = np.clip(pixels, -LIMIT_PX, LIMIT_PX) * 2**SUBPIXEL_BITS
    return np.asarray(np.round(scaled), dtype=np.int32)


def box(length: tuple[float, float], half_width: float, height: tuple[float, float]) -> NDArray[np.float64]:
    """Faces of an upright box about x = 0, y = 0: (5, 4, 3), rear, front, left, right, top, metres."""
    return frustum(length, length, half_width, half_width, height)


def frustum(
    bottom: tuple[float, float],
    top: tuple[float, float],
    half_bottom: float,
    half_top: float,
    height: tuple[float, float],
) -> NDArray[np.float64]:
    """Faces of an upright box with a smaller roof, corners counter-clockwise seen from outside.

    Args:
        bottom: first and last x of the floor, metres.
        top: first and last x of the roof.
        half_bottom: half the width of the floor.
        half_top: half the width of the roof.
        height: z of the floor and of the roof.

    Returns:
        (5, 4, 3) corners: rear, front, left, right, top.
    """
    low, high = height
    rear_left, rear_right = (bottom[0], half_bottom, low), (bottom[0], -half_bottom, low)
    front_left, front_right = (bottom[1], half_bottom, low), (bottom[1], -half_bottom, low)
    up_rear_left, up_rear_right = (top[0], half_top, high), (top[0], -half_top, high)
    up_front_left, up_front_right = (top[1], half_top, high), (top[1], -half_top, high)
    return np.array(
        [
            [rear_left, rear_right, up_rear_right, up_rear_left],
            [front_right, front_left, up_front_left, up_front_right],
            [front_left, rear_left, up_rear_left, up_front_left],
            [rear_right, front_right, up_front_right, up_rear_right],
            [up_rear_left, up_rear_right, up_front_right, up_front_left],
        ]
    )
