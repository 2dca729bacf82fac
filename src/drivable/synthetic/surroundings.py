"""Sky, skyline and the things beside the road; all but the sky stand still in the world."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import PinholeCamera, Pose
from drivable.synthetic.canvas import Canvas, box
from drivable.synthetic.light import Light
from drivable.synthetic.road import Road, SceneKind
from drivable.synthetic.texture import noise_texture, sample_texture

SLOT_M = 14.0
ThingKind = Literal["tree", "building", "pole", "bush"]


@dataclass(frozen=True)
class Thing:
    """Something that stands beside the road.

    Args:
        kind: what it is.
        station_m, lateral_m: where its middle stands, road coordinates.
        size_m: length along the road, width across it, height, metres.
        color: RGB albedo.
        seed: draws its windows or its leaves.
    """

    kind: ThingKind
    station_m: float
    lateral_m: float
    size_m: tuple[float, float, float]
    color: tuple[float, float, float]
    seed: int


def things_between(road: Road, kind: SceneKind, light: Light, seed: int, first_m: float, last_m: float) -> list[Thing]:
    """Everything that stands beside the road between two stations; the same things whoever asks.

    Args:
        road: the road.
        kind: a city has buildings, a highway trees and lamp posts far off.
        light: gives the spacing of the lamp posts.
        seed: draws the things.
        first_m, last_m: stations, metres.

    Returns:
        The things in no particular order.
    """
    things: list[Thing] = []
    odds = {"highway": (0.45, 0.0, 0.25), "city street": (0.22, 0.62, 0.05), "residential": (0.5, 0.25, 0.2)}[kind]
    edges = ((1, road.left_edge_m + road.shoulder_m), (-1, -road.right_edge_m + road.shoulder_m))
    for slot in range(math.floor(first_m / SLOT_M), math.ceil(last_m / SLOT_M)):
        for side, edge in edges:
            rng = np.random.default_rng((seed, 3, slot % 2**32, side + 1))
            draw = rng.random(8)
            station = (slot + draw[0]) * SLOT_M
            thing_seed = int(rng.integers(2**31))
            if kind == "city street" and draw[1] < 0.35:
                things.append(_tree(station, side * (edge + 1.6), draw, thing_seed))
            if draw[2] < odds[0]:
                things.append(_tree(station, side * (edge + 3 + 14 * draw[3]), draw, thing_seed))
            elif draw[2] < odds[0] + odds[1]:
                setback = 3.2 if kind == "city street" else 9.0
                height = 6 + (24 if kind == "city street" else 3) * draw[4] ** 2
                width = 8 + 6 * draw[5]
                shade = 0.25 + 0.5 * draw[6]
                color = (shade * (0.9 + 0.25 * draw[7]), shade * 0.9, shade * (1.05 - 0.35 * draw[7]))
                middle = side * (edge + setback + width / 2 + 1.5 * draw[3])
                things.append(
                    Thing(
                        "building",
                        (slot + 0.5) * SLOT_M,
                        middle,
                        (SLOT_M * 0.97, width, height),
                        color,
                        thing_seed,
                    )
                )
            elif draw[2] < sum(odds):
                size = 0.7 + 1.2 * draw[3]
                things.append(
                    Thing(
                        "bush",
                        station,
                        side * (edge + 1.5 + 2 * draw[5]),
                        (2 * size, 2 * size, size),
                        (0.2, 0.3, 0.12),
                        thing_seed,
                    )
                )
    # Lamp posts stand where the light's pools are; without lamps the same posts carry wires or signs.
    spacing = light.lamp_spacing_m or 38.0
    for k in range(math.ceil(first_m / spacing), math.floor(last_m / spacing) + 1):
        lateral = road.right_edge_m - road.shoulder_m - 0.6
        things.append(Thing("pole", k * spacing, lateral, (0.2, 0.2, 7.5), (0.3, 0.3, 0.31), seed))
    return things


def _tree(station_m: float, lateral_m: float, draw: NDArray[np.float64], seed: int) -> Thing:
    height, width = 5 + 6 * float(draw[4]), 3 + 3 * float(draw[5])
    green = 0.75 + 0.5 * float(draw[6])
    return Thing("tree", station_m, lateral_m, (width, width, height), (0.17 * green, 0.26 * green, 0.1 * green), seed)


def draw_thing(canvas: Canvas, road: Road, thing: Thing) -> None:
    """Paint one thing over what the canvas shows."""
    pose = road.pose_at(thing.station_m, thing.lateral_m)
    middle = canvas.pose.to_ego(np.array([pose.x_m, pose.y_m, 0.0]))
    forward, left = float(middle[0]), float(middle[1])
    margin = max(thing.size_m) + 2.0
    if forward < -thing.size_m[0] or abs(left) > margin + 1.2 * max(forward, 0.0) + 2.0:
        return
    color = canvas.shade(np.array(thing.color), forward, left)
    if thing.kind == "building":
        _draw_building(canvas, pose, thing, color)
    elif thing.kind == "pole":
        _draw_pole(canvas, pose, thing, color)
    else:
        _draw_leaves(canvas, pose, thing, color)


def _draw_building(canvas: Canvas, pose: Pose, thing: Thing, color: NDArray[np.float64]) -> None:
    length, width, height = thing.size_m
    faces = box((-length / 2, length / 2), width / 2, (0.0, height))
    walls = np.array([0.8, 0.8, 0.95, 0.95, 1.0])[:, None] * color
    if canvas.pose.to_ego(np.array([pose.x_m, pose.y_m, 0.0]))[0] > 110.0:
        canvas.fill(_placed(pose, faces), walls, cull=True)
        return
    rng = np.random.default_rng(thing.seed)
    floors, bays = max(1, int(height / 3.2)), max(1, int(length / 3.0))
    inward = -math.copysign(1.0, thing.lateral_m)
    x = (np.arange(bays) + 0.5) / bays * length - length / 2
    z = 1.1 + 3.1 * np.arange(floors)
    middles = np.stack(np.meshgrid(x, z), axis=-1).reshape(-1, 2)
    pane = np.array([(1, 0), (-1, 0), (-1, 1), (1, 1)]) * np.array([0.55 * inward, 1.5])
    flat = middles[:, None, :] + pane
    windows = np.stack([flat[..., 0], np.full(flat.shape[:2], inward * (width / 2 + 0.02)), flat[..., 1]], axis=-1)
    glass = np.tile(color * 0.35 + 0.03 * np.array(canvas.light.zenith), (len(windows), 1))
    if canvas.light.time != "day":
        warm = np.array([0.85, 0.65, 0.35]) * (1.0 if canvas.light.time == "night" else 0.7)
        glass[rng.random(len(windows)) < 0.35] = warm
    canvas.fill(_placed(pose, np.concatenate([faces, windows])), np.concatenate([walls, glass]), cull=True)


def _draw_pole(canvas: Canvas, pose: Pose, thing: Thing, color: NDArray[np.float64]) -> None:
    height = thing.size_m[2]
    post = box((-0.07, 0.07), 0.07, (0.0, height))
    arm = box((-0.05, 0.05), 0.9, (height - 0.1, height)) + np.array([0.0, 0.9, 0.0])
    canvas.fill(_placed(pose, np.concatenate([post, arm])), np.tile(color, (10, 1)), cull=True)
    if canvas.light.lamp_spacing_m:
        lamp = _placed(pose, np.array([[0.0, 1.8, height - 0.15]]))
        canvas.discs(lamp, np.array([0.22]), np.array([[3.0, 2.6, 1.9]]))


def _draw_leaves(canvas: Canvas, pose: Pose, thing: Thing, color: NDArray[np.float64]) -> None:
    length, _, height = thing.size_m
    rng = np.random.default_rng(thing.seed)
    crown = height * (0.62 if thing.kind == "tree" else 0.5)
    if thing.kind == "tree":
        trunk = box((-0.16, 0.16), 0.16, (0.0, crown))
        canvas.fill(_placed(pose, trunk), np.tile(color * np.array([1.0, 0.65, 0.8]), (5, 1)), cull=True)
    centers = rng.normal(0.0, 1.0, (18, 3)) * np.array([length * 0.2, length * 0.2, height * 0.13]) + np.array(
        [0, 0, crown]
    )
    # Lower, inner leaves are darker and painted first.
    order = np.argsort(centers[:, 2])
    tones = np.linspace(0.55, 1.25, len(order)) * rng.uniform(0.85, 1.15, len(order))
    placed = _placed(pose, centers[order])
    # No leaf reaches below the ground.
    radii = np.clip(rng.uniform(0.14, 0.26, len(order)) * length, 0.0, np.maximum(placed[:, 2], 0.0))
    canvas.discs(placed, radii, tones[:, None] * color)


def _placed(pose: Pose, points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = pose.to_world(points[..., 0], points[..., 1])
    return np.stack([x, y, points[..., 2]], axis=-1)


def barrier(road: Road, lateral_m: float, height_m: float, first_m: float, last_m: float) -> NDArray[np.float64]:
    """A wall along the road: upright rectangles (n, 4, 3) in the world, metres, far ones first."""
    stations = np.arange(math.floor(first_m / 6) * 6, last_m, 6.0)[::-1]
    x, y = road.to_world(stations, np.full_like(stations, lateral_m))
    low = np.stack([x, y, np.zeros_like(x)], axis=-1)
    high = low + np.array([0.0, 0.0, height_m])
    return np.stack([low[:-1], low[1:], high[1:], high[:-1]], axis=1)


def paint_sky(camera: PinholeCamera, pose: Pose, light: Light, seed: int, kind: SceneKind) -> NDArray[np.float32]:
    """Sky with clouds over a skyline of hills or far houses: (rows, width, 3) float32 from the top."""
    horizon = camera.horizon_rows()
    num_rows = int(np.clip(np.ceil(horizon.max()) + 1, 1, camera.size[0]))
    height = (horizon[None, :] - np.arange(num_rows)[:, None]).astype(np.float32) / camera.focal_px
    columns = (np.arange(camera.size[1]) - (camera.size[1] - 1) / 2) / camera.focal_px
    bearing = (pose.heading_rad + camera.yaw_rad - np.arctan(columns)).astype(np.float32)
    zenith, haze = np.array(light.zenith, dtype=np.float32), np.array(light.haze, dtype=np.float32)
    share = np.clip(height * 2.2, 0, 1) ** 0.6
    texture = noise_texture(seed)
    # Clouds lie on a plane overhead, so they crowd towards the horizon.
    far = 1.0 / (np.maximum(height, 0.0) + 0.12)
    clouds = sample_texture(texture, far, -far * bearing, 9.0)
    cover = np.clip(clouds * 0.5 + (0.4 if light.weather == "rain" else 0.0), 0, 1) * np.clip(height * 6, 0, 1)
    lit_cloud = haze * np.float32(1.08 if light.time == "day" else 0.9)
    planes = []
    for channel in range(3):
        plane = haze[channel] + share * (zenith[channel] - haze[channel])
        planes.append(plane + 0.75 * cover * (lit_cloud[channel] - plane))
    sky = cv2.merge([plane.astype(np.float32) for plane in planes])
    skyline = 0.035 + 0.018 * sample_texture(texture, bearing[None, :], np.zeros_like(bearing[None, :]) + 0.3, 2.5)[0]
    if kind != "highway":
        blocks = np.floor(bearing * 45.0).astype(np.int64) % 97
        skyline = skyline * 0.6 + 0.06 * np.random.default_rng((seed, 4)).random(97)[blocks] ** 2
    tone = np.array([0.3, 0.36, 0.33]) * np.array(light.ambient) * 0.8 + 0.25 * haze
    sky[height < np.maximum(skyline, 0.004)] = tone
    return np.asarray(sky, dtype=np.float32)
