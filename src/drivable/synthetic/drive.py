"""A continuous drive: one road, many frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from drivable.errors import ConfigError
from drivable.synthetic.scene import RenderedFrame, Scene, render, sample_scene
from drivable.synthetic.traffic import AHEAD_M, BEHIND_M
from drivable.synthetic.vehicles import Vehicle

SPEEDS_MPS = {"highway": 26.0, "city street": 11.0, "residential": 8.0}
# The last vehicle of a queue may end a truck's length beyond the stretch; the gap keeps it off the first one.
RESERVE_M = 20.0


def render_drive(
    seed: int, num_frames: int, size: tuple[int, int] = (360, 640), fps: float = 10.0
) -> Iterator[RenderedFrame]:
    """Drive along a random road and render what the camera sees.

    Textures and roadside stand still in the world; only noise and rain are drawn anew for each frame.

    Args:
        seed: draws road, traffic, light and weather; the same seed gives the same bytes.
        num_frames: frames to render, 0 or more.
        size: picture (height, width) in pixels.
        fps: frames per second, above 0.

    Returns:
        An iterator over the frames, each rendered when it is asked for.

    Raises:
        ConfigError: where ``num_frames`` is negative or ``fps`` is not positive.

    Example:
        >>> len(list(render_drive(seed=1, num_frames=2, size=(90, 160))))
        2
    """
    if num_frames < 0 or fps <= 0:
        raise ConfigError(f"drive: num_frames must be 0 or more and fps above 0, got {num_frames} and {fps}")
    scene = sample_scene(np.random.default_rng(seed), size)
    return (render(replace(advance(scene, k / fps), frame=k)) for k in range(num_frames))


def advance(scene: Scene, seconds: float) -> Scene:
    """The scene some time later: the car and the traffic have moved on.

    Args:
        scene: the scene at time 0.
        seconds: time that has passed, 0 or more.

    Returns:
        A new scene on the same road.
    """
    phase = scene.seed % 1000
    station_m = scene.station_m + SPEEDS_MPS[scene.kind] * seconds
    # Suspension: about one swing a second; a driver's corrections: one in several seconds.
    bounce = 0.002 * (math.sin(7.1 * seconds + phase) - math.sin(phase))
    wander = 0.15 * (math.sin(0.7 * seconds + phase) - math.sin(phase))
    return replace(
        scene,
        station_m=station_m,
        wander_m=scene.wander_m + wander,
        camera=replace(scene.camera, pitch_rad=scene.camera.pitch_rad + bounce),
        vehicles=tuple(_moved(vehicle, scene, station_m, seconds) for vehicle in scene.vehicles),
    )


def _moved(vehicle: Vehicle, scene: Scene, station_m: float, seconds: float) -> Vehicle:
    """A vehicle some time later, brought back ahead of the camera once it is far behind, or the reverse."""
    if vehicle.lane(scene.road) == scene.road.ego_lane:
        # The queue ahead keeps the camera's speed and breathes a little, so it is never driven into.
        gap_m = vehicle.station_m - scene.station_m
        return replace(vehicle, station_m=station_m + gap_m * (1.0 + 0.12 * math.sin(0.25 * seconds)))
    ahead_m = vehicle.station_m + vehicle.speed_mps * seconds - station_m
    wrapped_m = (ahead_m + BEHIND_M) % (AHEAD_M + BEHIND_M + RESERVE_M) - BEHIND_M
    return replace(vehicle, station_m=station_m + wrapped_m)
