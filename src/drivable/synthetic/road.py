"""The road as formulas: every ground point has a lane, so labels need no rasterised polygons.

Road coordinates are (station, lateral): the station is the world's x, the lateral distance is measured
at right angles to the centre line's direction, positive to the left. Lateral 0 divides the oncoming lanes
(left) from ours (right): traffic keeps right. Our lanes count from 0, next to the divider, outwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivable.errors import ConfigError
from drivable.synthetic.camera import FloatArray, Pose

ONCOMING = -1
OFF_ROAD = -2

Verge = Literal["pavement", "grass", "soil"]
Divider = Literal["double_yellow", "dashed_yellow"]
SceneKind = Literal["highway", "city street", "residential"]


@dataclass(frozen=True)
class Road:
    """A flat road with lanes in our direction, lanes of oncoming traffic, shoulders and a verge.

    Args:
        num_lanes: lanes in our direction, 1..4.
        num_oncoming: oncoming lanes, 0..2; 0 is a one-way street or a divided highway.
        ego_lane: index of the lane that the camera's car drives in, 0 next to the divider.
        lane_width_m: width of every lane, metres.
        shoulder_m: paved width beyond the outermost lanes on either side, metres.
        verge: what lies beyond the shoulder.
        waves: the centre line's sines, each (amplitude in metres, wavelength in metres, phase in radians).
        divider: marking between the two directions where there are oncoming lanes.
        edge_lines: whether the outermost lanes are bordered by a solid white line.
        wear: 0 for fresh paint .. 1 for paint that is nearly gone.
        crossing_every_m: distance between zebra crossings, metres; 0 for none.

    Raises:
        ConfigError: where a count is out of range or the ego lane does not exist.

    Example:
        >>> road = Road(num_lanes=2, num_oncoming=1, ego_lane=1)
        >>> road.lane_index(np.array([-5.0, -1.0, 1.0, 30.0])).tolist()
        [1, 0, -1, -2]
    """

    num_lanes: int
    num_oncoming: int
    ego_lane: int
    lane_width_m: float = 3.5
    shoulder_m: float = 1.0
    verge: Verge = "grass"
    waves: tuple[tuple[float, float, float], ...] = ()
    divider: Divider = "double_yellow"
    edge_lines: bool = True
    wear: float = 0.3
    crossing_every_m: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.num_lanes <= 4 or not 0 <= self.num_oncoming <= 2:
            raise ConfigError(
                f"road: num_lanes must be 1..4 and num_oncoming 0..2, got {self.num_lanes} and {self.num_oncoming}"
            )
        if not 0 <= self.ego_lane < self.num_lanes:
            raise ConfigError(f"road: ego_lane must be 0..{self.num_lanes - 1}, got {self.ego_lane}")

    def center_m(self, station: FloatArray) -> FloatArray:
        """World y of the centre line at world x ``station``, metres, in the shape given."""
        center = np.zeros_like(station)
        for amplitude, wavelength, phase in self.waves:
            center += amplitude * np.sin(station * (2 * math.pi / wavelength) + phase)
        return center

    def slope(self, station: FloatArray) -> FloatArray:
        """Derivative of :meth:`center_m`: the tangent of the road's heading, in the shape given."""
        slope = np.zeros_like(station)
        for amplitude, wavelength, phase in self.waves:
            frequency = 2 * math.pi / wavelength
            slope += amplitude * frequency * np.cos(station * frequency + phase)
        return slope

    def from_world(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Station and lateral distance of world ground points, metres; inverse of :meth:`to_world`."""
        return x, (y - self.center_m(x)) / np.sqrt(1 + self.slope(x) ** 2)

    def to_world(self, station: FloatArray, lateral: FloatArray) -> tuple[FloatArray, FloatArray]:
        """World x and y of road coordinates, metres; inverse of :meth:`from_world`."""
        return station, self.center_m(station) + lateral * np.sqrt(1 + self.slope(station) ** 2)

    def pose_at(self, station_m: float, lateral_m: float, turn_rad: float = 0.0) -> Pose:
        """Pose of a car at (station, lateral), turned from the road's own direction by ``turn_rad``."""
        # Scalars: hundreds of things ask for their pose in every frame, and small arrays are slow.
        center_m, slope = 0.0, 0.0
        for amplitude, wavelength, phase in self.waves:
            frequency = 2 * math.pi / wavelength
            center_m += amplitude * math.sin(station_m * frequency + phase)
            slope += amplitude * frequency * math.cos(station_m * frequency + phase)
        return Pose(station_m, center_m + lateral_m * math.hypot(1.0, slope), math.atan(slope) + turn_rad)

    def lane_center_m(self, lane: int) -> float:
        """Lateral position of the middle of one of our lanes, metres."""
        return -(lane + 0.5) * self.lane_width_m

    def lane_index(self, lateral: FloatArray) -> NDArray[np.int32]:
        """Lane at lateral positions: 0..num_lanes - 1 ours, :data:`ONCOMING`, :data:`OFF_ROAD` (also NaN)."""
        lanes = np.floor(np.nan_to_num(-lateral / self.lane_width_m, nan=1e6)).astype(np.int32)
        off = (lanes < -self.num_oncoming) | (lanes >= self.num_lanes)
        return np.where(off, OFF_ROAD, np.maximum(lanes, ONCOMING)).astype(np.int32)

    @property
    def left_edge_m(self) -> float:
        """Lateral position where the leftmost lane ends, metres."""
        return self.num_oncoming * self.lane_width_m

    @property
    def right_edge_m(self) -> float:
        """Lateral position where our outermost lane ends, metres (negative)."""
        return -self.num_lanes * self.lane_width_m


def sample_road(rng: np.random.Generator, kind: SceneKind) -> Road:
    """Draw a road that suits a kind of surroundings.

    Args:
        rng: source of randomness.
        kind: a highway has more, wider lanes and gentler bends than a residential street.

    Returns:
        The road.
    """
    lane_odds = {
        "highway": (0.0, 0.35, 0.4, 0.25),
        "city street": (0.26, 0.42, 0.25, 0.07),
        "residential": (0.75, 0.25, 0.0, 0.0),
    }[kind]
    num_lanes = 1 + int(rng.choice(4, p=lane_odds))
    oncoming_odds = {
        "highway": (0.75, 0.1, 0.15),
        "city street": (0.2, 0.4, 0.4),
        "residential": (0.12, 0.88, 0.0),
    }
    num_oncoming = int(rng.choice(3, p=oncoming_odds[kind]))
    # The tightest bend's radius bounds the amplitude: curvature of a sine is amplitude * frequency**2.
    radius_m = {"highway": 350.0, "city street": 220.0, "residential": 120.0}[kind]
    waves = []
    for low_m, high_m in ((180.0, 320.0), (350.0, 800.0)):
        wavelength = float(rng.uniform(low_m, high_m))
        bend = float(rng.uniform(0.0, 0.55) / radius_m)
        waves.append((bend * (wavelength / (2 * math.pi)) ** 2, wavelength, float(rng.uniform(0, 2 * math.pi))))
    parking = kind != "highway" and rng.random() < 0.5
    verges: dict[SceneKind, tuple[Verge, ...]] = {
        "highway": ("grass", "soil"),
        "city street": ("pavement",),
        "residential": ("pavement", "grass", "soil"),
    }
    return Road(
        num_lanes=num_lanes,
        num_oncoming=num_oncoming,
        ego_lane=int(rng.integers(num_lanes)),
        lane_width_m=float(rng.uniform(3.5, 3.8) if kind == "highway" else rng.uniform(3.0, 3.6)),
        shoulder_m=float(rng.uniform(2.1, 2.6) if parking else rng.uniform(0.5, 3.0 if kind == "highway" else 1.2)),
        verge=verges[kind][int(rng.integers(len(verges[kind])))],
        waves=tuple(waves),
        divider="dashed_yellow" if kind == "residential" and rng.random() < 0.5 else "double_yellow",
        edge_lines=bool(kind == "highway" or rng.random() < 0.6),
        wear=float(rng.uniform(0.0, 0.8)),
        crossing_every_m=float(rng.uniform(60, 140)) if kind == "city street" and rng.random() < 0.5 else 0.0,
    )
