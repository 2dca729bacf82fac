"""Cars, vans and trucks: boxes with wheels, windows and lights that stand on lanes and hide the road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import FloatArray
from drivable.synthetic.canvas import Canvas, box, frustum
from drivable.synthetic.road import Road

VehicleKind = Literal["car", "suv", "van", "truck"]
# Length, width and height, metres.
DIMENSIONS_M: dict[VehicleKind, tuple[float, float, float]] = {
    "car": (4.5, 1.8, 1.45),
    "suv": (4.7, 1.9, 1.75),
    "van": (5.4, 2.0, 2.2),
    "truck": (9.0, 2.5, 3.4),
}
# How bright rear, front, left, right and top appear beside each other.
FACE_TONES = np.array([0.9, 0.9, 0.72, 0.8, 1.1])
WHEELS_SEEN_M = 60.0
GLASS = np.array([0.07, 0.08, 0.1])
RUBBER = np.array([0.04, 0.04, 0.045])


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on the road.

    Args:
        kind: what it looks like and how large it is.
        station_m: its middle along the road, metres.
        lateral_m: its middle across the road, metres.
        speed_mps: along the station, metres per second; negative for oncoming ones, 0 for parked ones.
        color: body's RGB albedo, 0..1.
        facing: +1 where it points our way (we see its rear), -1 where it comes towards us.
        braking: whether its brake lights shine.

    Example:
        >>> Vehicle("car", 20.0, -1.75, 12.0).rear_m
        17.75
    """

    kind: VehicleKind
    station_m: float
    lateral_m: float
    speed_mps: float
    color: tuple[float, float, float] = (0.5, 0.5, 0.5)
    facing: int = 1
    braking: bool = False

    @property
    def size_m(self) -> tuple[float, float, float]:
        """Length, width and height, metres."""
        return DIMENSIONS_M[self.kind]

    @property
    def rear_m(self) -> float:
        """Station of its end that is nearer to the road's beginning, metres."""
        return self.station_m - self.size_m[0] / 2

    @property
    def front_m(self) -> float:
        """Station of its end that is farther from the road's beginning, metres."""
        return self.station_m + self.size_m[0] / 2

    def lane(self, road: Road) -> int:
        """Index of the lane that its middle is in."""
        return int(road.lane_index(np.array([self.lateral_m]))[0])

    def place(self, road: Road, points: FloatArray) -> NDArray[np.float64]:
        """World positions (..., 3) of points (..., 3) in its own frame (x towards its front), metres."""
        pose = road.pose_at(self.station_m, self.lateral_m)
        local = np.asarray(points) * np.array([self.facing, self.facing, 1.0])
        x, y = pose.to_world(local[..., 0], local[..., 1])
        return np.stack([x, y, local[..., 2]], axis=-1)


def body_parts(vehicle: Vehicle) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Convex parts, each (faces (n, 4, 3) in the vehicle's frame in metres, albedos (n, 3)), lowest first.

    The first part reaches down to the ground, so the road under a vehicle counts as hidden.
    """
    length, width, height = vehicle.size_m
    half, color = width / 2, np.array(vehicle.color)
    painted = FACE_TONES[:, None] * color
    floor = box((-length * 0.49, length * 0.49), half * 0.96, (0.0, 0.4))
    parts = [(floor, np.tile(RUBBER, (5, 1)))]
    if vehicle.kind == "truck":
        cab = box((length * 0.29, length / 2), half * 0.92, (0.4, height * 0.78))
        cargo = box((-length / 2, length * 0.27), half, (0.55, height))
        cab_part = (cab, FACE_TONES[:, None] * np.array([0.5, 0.5, 0.52]))
        parts += [cab_part, (cargo, painted)] if vehicle.facing > 0 else [(cargo, painted), cab_part]
        return parts
    if vehicle.kind == "van":
        parts.append((box((-length / 2, length * 0.5), half, (0.32, height * 0.5)), painted))
        cabin = frustum(
            (-length / 2, length * 0.42),
            (-length * 0.48, length * 0.25),
            half,
            half * 0.93,
            (height * 0.5, height),
        )
        return [*parts, (cabin, painted)]
    waist, tail = (0.9, 0.5) if vehicle.kind == "suv" else (0.82, 0.44)
    parts.append((box((-length / 2, length / 2), half, (0.3, waist)), painted))
    cabin = frustum(
        (-length * tail, length * 0.24),
        (-length * (tail - 0.1), length * 0.08),
        half * 0.95,
        half * 0.74,
        (waist, height),
    )
    glazed = np.concatenate([np.tile(GLASS, (4, 1)) * FACE_TONES[:4, None] * 1.3, painted[4:]])
    return [*parts, (cabin, glazed)]


def details(
    vehicle: Vehicle, dark: bool, wheels: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Wheels, lamps, plates and panes on the faces.

    Args:
        vehicle: whose.
        dark: whether lamps are lit.
        wheels: whether to include the wheels, which are too small to see far away.

    Returns:
        faces (n, 8, 3) in the vehicle's frame in metres, their RGB (n, 3), and which of them shine.
    """
    length, width, height = vehicle.size_m
    half = width / 2
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    radius = 0.48 if vehicle.kind == "truck" else 0.33
    faces: list[NDArray[np.float64]] = []
    colors: list[tuple[float, float, float]] = []
    for x in (-0.32 * length, 0.32 * length) if wheels else ():
        for side in (-1, 1):
            for scale, color in ((1.0, (0.03, 0.03, 0.03)), (0.55, (0.3, 0.3, 0.32))):
                ring = np.stack(
                    [
                        x + scale * radius * np.cos(-side * turn),
                        np.full(8, side * half * 1.01),
                        radius + scale * radius * np.sin(-side * turn),
                    ],
                    -1,
                )
                faces.append(ring)
                colors.append(color)
    lamps_from = len(faces)
    red = 2.2 if vehicle.braking else 1.1
    tail_color = (red, 0.05 * red, 0.05 * red) if dark or vehicle.braking else (0.4, 0.04, 0.04)
    head_color = (3.0, 2.9, 2.6) if dark and vehicle.speed_mps else (0.75, 0.75, 0.72)
    for side in (-1, 1):
        faces.append(_pane(-length / 2 - 0.01, side * half * 0.8, half * 0.16, (0.62, 0.82), -1))
        colors.append(tail_color)
        faces.append(_pane(length / 2 + 0.01, side * half * 0.72, half * 0.17, (0.58, 0.74), 1))
        colors.append(head_color)
    num_lamps = len(faces) - lamps_from
    faces.append(_pane(-length / 2 - 0.01, 0.0, 0.26, (0.5, 0.62), -1))
    colors.append((0.75, 0.74, 0.65))
    if vehicle.kind == "van":
        faces.append(_pane(-length / 2 - 0.01, 0.0, half * 0.75, (height * 0.58, height * 0.86), -1))
        colors.append((0.08, 0.09, 0.11))
    if vehicle.kind == "truck":
        faces.append(_pane(length / 2 + 0.01, 0.0, half * 0.75, (height * 0.45, height * 0.7), 1))
        colors.append((0.08, 0.09, 0.11))
    shining = np.zeros(len(faces), dtype=bool)
    shining[lamps_from : lamps_from + num_lamps] = dark or vehicle.braking
    return np.array(faces), np.array(colors), shining


def draw_vehicle(canvas: Canvas, road: Road, vehicle: Vehicle) -> None:
    """Paint a vehicle over what the canvas shows."""
    middle = canvas.pose.to_ego(vehicle.place(road, np.zeros(3)))
    forward, left = float(middle[0]), float(middle[1])
    if forward < -vehicle.size_m[0] or abs(left) > 12.0 + 1.2 * max(forward, 0.0):
        return
    parts = body_parts(vehicle)
    faces, colors, shining = details(
        vehicle, canvas.light.time != "day" or canvas.light.weather == "rain", forward < WHEELS_SEEN_M
    )
    # Corners doubled to the details' eight: one call for all faces.
    everything = np.concatenate([*(np.repeat(part, 2, axis=1) for part, _ in parts), faces])
    albedo = np.concatenate([*(tones for _, tones in parts), colors])
    lamps = np.concatenate([np.zeros(len(albedo) - len(shining), dtype=bool), shining])
    lit = np.where(lamps[:, None], albedo, canvas.shade(albedo, forward, left))
    canvas.fill(vehicle.place(road, everything), lit, cull=True)


def shadow_outline(vehicle: Vehicle, road: Road, sun_side: int, sun_skew: float, sunny: bool) -> NDArray[np.float64]:
    """Ground corners (n, 3) of what a vehicle darkens: under it, and away from the sun if any."""
    length, width, height = vehicle.size_m
    base = np.array([[x * length * 0.52, y * width * 0.56, 0.0] for x, y in ((-1, -1), (-1, 1), (1, 1), (1, -1))])
    grounded = vehicle.place(road, base)
    if not sunny:
        return grounded
    away = 0.5 * height * np.array([-sun_skew, -float(sun_side), 0.0])
    return np.concatenate([grounded, grounded + away])


def _pane(x: float, y: float, half_width: float, height: tuple[float, float], outward: int) -> NDArray[np.float64]:
    """An upright rectangle facing along x, as eight corners so that it stacks with the wheels."""
    low, high = height
    corners = [
        (x, y + half_width, low),
        (x, y - half_width, low),
        (x, y - half_width, high),
        (x, y + half_width, high),
    ]
    ordered = np.array(corners if outward < 0 else corners[::-1])
    return np.repeat(ordered, 2, axis=0)
