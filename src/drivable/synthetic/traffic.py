"""Who else is on the road."""

from __future__ import annotations

import numpy as np

from drivable.synthetic.road import Road, SceneKind
from drivable.synthetic.vehicles import DIMENSIONS_M, Vehicle, VehicleKind

# Traffic outside this stretch around the camera, metres, comes back at its other end.
BEHIND_M, AHEAD_M = 30.0, 150.0
KINDS: tuple[VehicleKind, ...] = ("car", "suv", "van", "truck")
COLORS = (
    (0.75, 0.75, 0.74), (0.45, 0.46, 0.48), (0.06, 0.06, 0.07), (0.2, 0.21, 0.23), (0.5, 0.08, 0.07),
    (0.08, 0.16, 0.42), (0.3, 0.25, 0.2), (0.78, 0.6, 0.1), (0.12, 0.26, 0.18),
)  # fmt: skip


def sample_traffic(rng: np.random.Generator, road: Road, kind: SceneKind, station_m: float) -> tuple[Vehicle, ...]:
    """Draw vehicles for all lanes around a station; each lane keeps one speed, so its vehicles never collide.

    Args:
        rng: source of randomness.
        road: the lanes.
        kind: the surroundings, which set speeds and parked cars.
        station_m: where the camera is, metres.

    Returns:
        The vehicles; in the camera's own lane only ahead of it.
    """
    speed = {"highway": 26.0, "city street": 11.0, "residential": 8.0}[kind]
    density = float(rng.uniform(0.4, 1.6))
    vehicles: list[Vehicle] = []
    for lane in range(road.num_lanes):
        own = lane == road.ego_lane
        lane_speed = speed if own else speed * float(rng.uniform(0.85, 1.15))
        first = station_m + (float(rng.uniform(9, 70)) if own else float(rng.uniform(-BEHIND_M, 70)))
        vehicles += _queue(rng, road.lane_center_m(lane), first, station_m + AHEAD_M, lane_speed, density, facing=1)
    for lane in range(road.num_oncoming):
        lateral = (lane + 0.5) * road.lane_width_m
        first = station_m + float(rng.uniform(-BEHIND_M, 50))
        vehicles += _queue(rng, lateral, first, station_m + AHEAD_M, -speed, density, facing=-1)
    if kind != "highway" and road.shoulder_m > 2.0:
        for lateral, facing in (
            (road.right_edge_m - road.shoulder_m / 2, 1),
            (road.left_edge_m + road.shoulder_m / 2, -1),
        ):
            first = station_m - float(rng.uniform(0, BEHIND_M))
            vehicles += _queue(rng, lateral, first, station_m + AHEAD_M, 0.0, 3.0, facing if road.num_oncoming else 1)
    return tuple(vehicles)


def _queue(
    rng: np.random.Generator,
    lateral_m: float,
    first_m: float,
    last_m: float,
    speed_mps: float,
    density: float,
    facing: int,
) -> list[Vehicle]:
    """Vehicles one behind the other from a station on, with random gaps."""
    queue = []
    odds = (0.5, 0.3, 0.2, 0.0) if speed_mps == 0 else (0.5, 0.25, 0.15, 0.1)
    rear = first_m
    while rear < last_m:
        kind = KINDS[int(rng.choice(4, p=odds))]
        length = DIMENSIONS_M[kind][0]
        color = COLORS[int(rng.integers(len(COLORS)))]
        wander = float(rng.normal(0.0, 0.08))
        braking = bool(speed_mps > 0 and rng.random() < 0.25)
        queue.append(Vehicle(kind, rear + length / 2, lateral_m + wander, speed_mps, color, facing, braking))
        rear += length + float(rng.uniform(1.2, 15.0) if speed_mps == 0 else rng.uniform(9.0, 70.0) / density)
    return queue
