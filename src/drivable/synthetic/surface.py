"""What the ground looks like: asphalt, paint, verges and the shadows that fall over them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import FloatArray, PinholeCamera, Pose
from drivable.synthetic.light import Light
from drivable.synthetic.road import Road
from drivable.synthetic.texture import noise_texture, sample_texture

LINE_M = 0.14
DASH_M, DASH_PERIOD_M = 3.0, 9.0
WHITE = (0.86, 0.86, 0.84)
LAMP_TINT = (1.0, 0.93, 0.8)
YELLOW = (0.82, 0.62, 0.14)
PAVED = {"pavement": (0.5, 0.49, 0.46), "grass": (0.25, 0.36, 0.13), "soil": (0.46, 0.38, 0.27)}
LATERAL_STEP_M = 0.05
LATERAL_REACH_M = 40.0
SHADOW_PERIOD_M, SHADOW_STEP_M = 256.0, 0.25


@dataclass(frozen=True)
class Ground:
    """The ground that each pixel from ``first_row`` down shows.

    Args:
        first_row: the picture's row that the arrays' row 0 stands for.
        forward, left: ego-frame position, metres; NaN at and above the horizon.
        station, lateral: road coordinates, metres, NaN likewise.
    """

    first_row: int
    forward: FloatArray
    left: FloatArray
    station: FloatArray
    lateral: FloatArray


def look_at_ground(camera: PinholeCamera, pose: Pose, road: Road) -> Ground:
    """Find the ground and road coordinates of every pixel below the horizon's highest point."""
    first_row = int(np.clip(np.ceil(camera.horizon_rows().min()), 0, camera.size[0] - 1))
    forward, left = camera.ground_grid(first_row)
    x, y = pose.to_world(forward, left)
    station, lateral = road.from_world(x, y)
    return Ground(first_row, forward, left, station, lateral)


def paint_ground(ground: Ground, road: Road, light: Light, camera: PinholeCamera, seed: int) -> NDArray[np.float32]:
    """Colour every ground pixel.

    Args:
        ground: what the pixels show.
        road: its lanes and markings.
        light: what shines on it.
        camera: gives the size of a pixel on the ground.
        seed: draws textures, lane tones and the shadows' casters; anchored to the world, not to the frame.

    Returns:
        (rows, width, 3) float32 RGB, about 0..1.
    """
    forward = np.nan_to_num(ground.forward, nan=3000.0).clip(0.0, 3000.0).astype(np.float32)
    left = np.nan_to_num(ground.left).clip(-3000.0, 3000.0).astype(np.float32)
    station = np.nan_to_num(ground.station).astype(np.float32)
    lateral = np.nan_to_num(ground.lateral, nan=1000.0).astype(np.float32)
    texture = noise_texture(seed)
    coarse = sample_texture(texture, station, lateral, 41.0)
    fine = sample_texture(texture, station, lateral, 2.6)
    # A pixel far ahead averages the grain over the ground that it covers.
    footprint = forward * forward * (1.0 / (camera.focal_px * camera.height_m))
    grain = fine / (1.0 + 25.0 * footprint)

    tone = 1.0 + 0.05 * coarse + 0.07 * grain
    tone -= 0.16 * (np.abs(coarse - 0.35) < 0.018) * (forward < 35.0)
    tone -= 0.12 * (sample_texture(texture, station, 2.5 * lateral, 160.0) > 1.25)
    white, yellow = markings(road, station, lateral, forward, 1.0 / camera.focal_px)
    paint = np.clip(1.0 - road.wear * (0.55 + 0.35 * coarse + 0.5 * grain), 0.08, 1.0)
    white, yellow = white * paint, yellow * paint
    sunlit = 1.0 - cast_shadow(road, light, station, lateral, coarse, seed)
    lamps = lamplight(light, road, forward, left, station, lateral)
    # Beyond the last trees the ground is woods and hills, which keep some colour up to the horizon.
    clear = light.clearness(np.minimum(forward, 450.0))

    table = lateral_colors(road, seed)
    cells = ((lateral + LATERAL_REACH_M) * (1 / LATERAL_STEP_M)).clip(0, len(table) - 1).astype(np.int32)
    planes = []
    # Channel by channel: arithmetic along a last axis of three is several times slower.
    for channel in range(3):
        albedo = table[:, channel][cells] * tone
        albedo += white * (WHITE[channel] - albedo)
        albedo += yellow * (YELLOW[channel] - albedo)
        shine = sunlit * light.sun[channel] + light.ambient[channel] + LAMP_TINT[channel] * lamps
        haze = light.haze[channel]
        planes.append((haze + clear * (albedo * shine - haze)).astype(np.float32))
    return np.asarray(cv2.merge(planes), dtype=np.float32)


def lamplight(
    light: Light, road: Road, forward: FloatArray, left: FloatArray, station: FloatArray, lateral: FloatArray
) -> FloatArray:
    """Illumination by the own headlights and by street lamps, in the shape given; all positions in metres."""
    if light.time == "day":
        return np.zeros_like(forward)
    own = light.headlights_at(forward, left)
    if not light.lamp_spacing_m:
        return own
    return own + light.lamps_at(station, lateral, road.right_edge_m - road.shoulder_m)


def lateral_colors(road: Road, seed: int) -> NDArray[np.float32]:
    """Albedo across the road in steps of 5 cm from -40 m to 40 m: (1600, 3) float32."""
    rng = np.random.default_rng((seed, 1))
    lateral = np.arange(-LATERAL_REACH_M, LATERAL_REACH_M, LATERAL_STEP_M)
    base = rng.uniform(0.3, 0.56)
    lanes = np.floor(lateral / road.lane_width_m).astype(int)
    tones = base * (1 + 0.06 * rng.standard_normal(64))[lanes % 64]
    within = lateral / road.lane_width_m - lanes
    tones *= 1 - 0.1 * np.exp(-(((within - 0.5) / 0.1) ** 2)) + 0.04 * np.cos(4 * np.pi * within)
    colors = tones[:, None] * (np.array([1.0, 1.0, 1.02]) + 0.02 * rng.standard_normal(3))
    beyond = np.maximum(lateral - road.left_edge_m, road.right_edge_m - lateral) - road.shoulder_m
    verge = np.array(PAVED[road.verge]) * rng.uniform(0.8, 1.15)
    if road.verge == "pavement":
        lawn = np.array(PAVED["grass"]) if rng.random() < 0.4 else verge * 0.85
        joints = np.where((beyond % 1.5) < 0.06, 0.8, 1.0)
        colors = np.where((beyond > 0)[:, None], verge * joints[:, None], colors)
        colors = np.where((beyond > 4.5)[:, None], lawn, colors)
        gutter, kerb = (beyond > -0.3) & (beyond <= 0), (beyond > 0) & (beyond <= 0.18)
        colors = np.where(gutter[:, None], colors * 0.8, colors)
        colors = np.where(kerb[:, None], verge * 1.2, colors)
    else:
        colors = np.where((beyond > 0)[:, None], verge, colors)
    return np.asarray(colors, dtype=np.float32)


def markings(
    road: Road, station: FloatArray, lateral: FloatArray, forward: FloatArray, pixel_rad: float
) -> tuple[FloatArray, FloatArray]:
    """Share of each pixel that fresh white and yellow paint covers, 0..1.

    Args:
        road: where its lines run.
        station, lateral: road coordinates, metres.
        forward: ego-frame distance, metres.
        pixel_rad: the angle that a pixel spans.

    Returns:
        white and yellow coverage, in the shape given.
    """
    pixel_m = np.maximum(forward, 1.0) * pixel_rad
    softness = 1.0 / pixel_m

    def line(at_m: float, width_m: float = LINE_M) -> FloatArray:
        covered = (width_m / 2 - np.abs(lateral - at_m)) * softness + 0.5
        return np.asarray(np.clip(covered, 0.0, 1.0))

    dash = (station % DASH_PERIOD_M) < DASH_M
    width = road.lane_width_m
    white = np.zeros_like(lateral)
    yellow = np.zeros_like(lateral)
    boundaries = [-k * width for k in range(1, road.num_lanes)] + [k * width for k in range(1, road.num_oncoming)]
    for at_m in boundaries:
        white += line(at_m)
    white *= dash
    if road.edge_lines:
        white += line(road.right_edge_m + 0.1)
        if road.num_oncoming:
            white += line(road.left_edge_m - 0.1)
    if road.num_oncoming == 0:
        yellow += line(-0.1)
    elif road.divider == "double_yellow":
        yellow += line(0.14) + line(-0.14)
    else:
        yellow += line(0.0) * dash
    if road.crossing_every_m:
        along = (station + 0.35 * road.crossing_every_m) % road.crossing_every_m
        inside = (along < 3.0) & (lateral < road.left_edge_m) & (lateral > road.right_edge_m)
        stop = (along > -1.8 + road.crossing_every_m) & (along < road.crossing_every_m - 1.3)
        stop &= (lateral < 0) & (lateral > road.right_edge_m)
        white = np.maximum(white, (inside & ((lateral % 1.2) < 0.6)) | stop)
    return np.minimum(white, 1.0), yellow


def cast_shadow(
    road: Road, light: Light, station: FloatArray, lateral: FloatArray, noise: FloatArray, seed: int
) -> FloatArray:
    """Share of the sun that trees, buildings and bridges beside the road take, 0..1, in the shape given."""
    if not any(light.sun):
        return np.zeros_like(station)
    reach_m, leafy_m = shadow_reaches(seed, road)
    edge = (road.left_edge_m if light.sun_side > 0 else -road.right_edge_m) + road.shoulder_m
    depth = edge - light.sun_side * lateral
    cells = ((station + light.sun_skew * depth) * (1 / SHADOW_STEP_M)).astype(np.int32) % len(reach_m)
    reach = reach_m[cells] + leafy_m[cells] * noise
    return np.clip((reach - depth) * 2.0 + 0.5, 0.0, 1.0) * 0.92


def shadow_reaches(seed: int, road: Road) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far shadows reach from the road's edge along 256 m of road, and how ragged their rims are.

    Returns:
        reach and raggedness, metres, one entry for every 25 cm; reach is far negative where nothing casts.
    """
    rng = np.random.default_rng((seed, 2))
    num_cells = round(SHADOW_PERIOD_M / SHADOW_STEP_M)
    reach = np.full(num_cells, -100.0, dtype=np.float32)
    leafy = np.zeros(num_cells, dtype=np.float32)
    start = 0.0
    width_m = road.left_edge_m - road.right_edge_m + 2 * road.shoulder_m
    while start < SHADOW_PERIOD_M:
        length = float(rng.uniform(2, 22))
        cells = slice(round(start / SHADOW_STEP_M), round((start + length) / SHADOW_STEP_M))
        reach[cells] = rng.uniform(0.15, 1.4) * width_m
        leafy[cells] = rng.choice((0.0, 2.5))
        start += length + float(rng.uniform(4, 40))
    return reach, leafy
