"""A road scene put together: what is in it, how it looks, and which pixels are drivable."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivable.imaging.weather import rain_on_glass
from drivable.labels import BDD100K_DRIVABLE
from drivable.synthetic.camera import PinholeCamera, Pose
from drivable.synthetic.canvas import Canvas
from drivable.synthetic.light import Light, TimeOfDay, Weather, sample_light
from drivable.synthetic.road import Road, SceneKind, sample_road
from drivable.synthetic.sensor import Bonnet, expose, glare, paint_bonnet, wet_ground
from drivable.synthetic.surface import Ground, look_at_ground, paint_ground
from drivable.synthetic.surroundings import barrier, draw_thing, paint_sky, things_between
from drivable.synthetic.traffic import sample_traffic
from drivable.synthetic.vehicles import Vehicle, draw_vehicle, shadow_outline

DIRECT, ALTERNATIVE, BACKGROUND = (
    BDD100K_DRIVABLE.names.index(name) for name in ("direct", "alternative", "background")
)
# Farther lanes are a few pixels high; people who label pictures by hand stop about here too.
LABEL_RANGE_M = 120.0
VIEW_RANGE_M = 150.0
NO_BONNET = Bonnet(0.0, 0.0, (0.1, 0.1, 0.1))
WEATHER_NAMES: dict[Weather, str] = {"clear": "clear", "rain": "rainy"}
TIME_NAMES: dict[TimeOfDay, str] = {"day": "daytime", "dusk": "dawn/dusk", "night": "night"}


@dataclass(frozen=True)
class Scene:
    """Everything that a picture depends on: rendering it twice gives the same bytes.

    Args:
        camera: the camera; its size is the picture's.
        road: the road and its markings.
        kind: the surroundings.
        light: time of day and weather.
        vehicles: other traffic.
        bonnet: the own car's visible part.
        station_m: where along the road the camera is, metres.
        wander_m: how far the own car is left of its lane's middle, metres.
        turn_rad: how far it points left of the road's direction, radians.
        barrier_m: height of a wall along the road's sides, metres; 0 for none.
        blur_px: lens blur, pixels.
        noise: sensor noise, part of full scale.
        seed: draws textures and surroundings.
        frame: number of the frame within a drive; draws what changes from frame to frame, such as noise.
    """

    camera: PinholeCamera
    road: Road
    kind: SceneKind
    light: Light
    vehicles: tuple[Vehicle, ...] = ()
    bonnet: Bonnet = NO_BONNET
    station_m: float = 0.0
    wander_m: float = 0.0
    turn_rad: float = 0.0
    barrier_m: float = 0.0
    blur_px: float = 0.5
    noise: float = 0.01
    seed: int = 0
    frame: int = 0

    @property
    def pose(self) -> Pose:
        """Where the ego frame lies in the world."""
        lateral_m = self.road.lane_center_m(self.road.ego_lane) + self.wander_m
        return self.road.pose_at(self.station_m, lateral_m, self.turn_rad)

    @property
    def attributes(self) -> dict[str, str]:
        """BDD100K's names for the scene's conditions: ``weather``, ``scene`` and ``timeofday``."""
        return {
            "weather": WEATHER_NAMES[self.light.weather],
            "scene": self.kind,
            "timeofday": TIME_NAMES[self.light.time],
        }


@dataclass(frozen=True)
class RenderedFrame:
    """A picture with its exact labels.

    Args:
        image: (height, width, 3) uint8 RGB.
        label_map: (height, width) uint8 ids of :data:`drivable.labels.BDD100K_DRIVABLE`.
        attributes: BDD100K's ``weather``, ``scene`` and ``timeofday``.
    """

    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    attributes: dict[str, str]


def sample_scene(rng: np.random.Generator, size: tuple[int, int] = (360, 640)) -> Scene:
    """Draw a random scene.

    Args:
        rng: source of randomness; the same state gives the same scene.
        size: picture (height, width) in pixels.

    Returns:
        The scene.

    Example:
        >>> sample_scene(np.random.default_rng(0)).camera.size
        (360, 640)
    """
    kinds: tuple[SceneKind, ...] = ("highway", "city street", "residential")
    times: tuple[TimeOfDay, ...] = ("day", "dusk", "night")
    kind = kinds[int(rng.choice(3, p=(0.3, 0.48, 0.22)))]
    time = times[int(rng.choice(3, p=(0.55, 0.12, 0.33)))]
    light = sample_light(rng, time, "rain" if rng.random() < 0.2 else "clear")
    road = sample_road(rng, kind)
    height, width = size
    camera = PinholeCamera(
        size=size,
        focal_px=width / 2 / math.tan(float(rng.uniform(math.radians(45), math.radians(70))) / 2),
        height_m=float(rng.uniform(1.2, 1.7)),
        pitch_rad=float(rng.normal(0.0, 0.025)),
        yaw_rad=float(rng.normal(0.0, 0.02)),
        roll_rad=float(rng.normal(0.0, 0.008)),
    )
    shade = float(rng.choice((0.05, 0.08, 0.3, 0.6)))
    bonnet = Bonnet(
        share=float(rng.uniform(0.04, 0.17)) if rng.random() < 0.8 else 0.0,
        sag=float(rng.uniform(0.0, 0.05)),
        color=(shade, shade, shade * float(rng.uniform(0.9, 1.1))),
    )
    station_m = float(rng.uniform(0.0, 2000.0))
    return Scene(
        camera=camera,
        road=road,
        kind=kind,
        light=light,
        vehicles=sample_traffic(rng, road, kind, station_m),
        bonnet=bonnet,
        station_m=station_m,
        wander_m=float(rng.normal(0.0, 0.15)),
        turn_rad=float(rng.normal(0.0, 0.012)),
        barrier_m=float(rng.choice((0.0, 0.8, 1.1, 2.5))) if kind == "highway" else 0.0,
        blur_px=float(rng.uniform(0.35, 0.8)) * height / 360,
        noise=float(rng.uniform(0.004, 0.014)) * (1.6 if time == "night" else 1.0),
        seed=int(rng.integers(2**31)),
    )


def render(scene: Scene) -> RenderedFrame:
    """Paint a scene and label it.

    Args:
        scene: the scene.

    Returns:
        The picture, its label map and its attributes.

    Example:
        >>> render(sample_scene(np.random.default_rng(0), (90, 160))).image.shape
        (90, 160, 3)
    """
    ground = look_at_ground(scene.camera, scene.pose, scene.road)
    image, covered = _paint(scene, ground)
    label_map = label_ground(scene, ground)
    label_map[covered] = BACKGROUND
    return RenderedFrame(image, label_map, scene.attributes)


def label_ground(scene: Scene, ground: Ground) -> NDArray[np.uint8]:
    """Label every pixel as if nothing hid the ground.

    The own lane is direct and our other lanes are alternative, paint included. A lane is drivable up to the
    nearest vehicle in it and no farther, although the road beyond may be seen, as in BDD100K's masks.

    Args:
        scene: the scene.
        ground: what its pixels show.

    Returns:
        (height, width) uint8 ids.
    """
    road = scene.road
    lanes = road.lane_index(ground.lateral)
    limits = np.full(road.num_lanes, scene.station_m + LABEL_RANGE_M)
    for vehicle in scene.vehicles:
        lane = vehicle.lane(road)
        if lane >= 0 and vehicle.front_m > scene.station_m:
            limits[lane] = min(limits[lane], vehicle.rear_m)
    ids = np.full(road.num_lanes, ALTERNATIVE, dtype=np.uint8)
    ids[road.ego_lane] = DIRECT
    with np.errstate(invalid="ignore"):
        ours = (lanes >= 0) & (ground.forward > 0) & (ground.station < limits[np.maximum(lanes, 0)])
    label_map = np.full(scene.camera.size, BACKGROUND, dtype=np.uint8)
    label_map[ground.first_row :] = np.where(ours, ids[np.maximum(lanes, 0)], BACKGROUND)
    return label_map


def _paint(scene: Scene, ground: Ground) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture, and which of its pixels show something that stands on the ground."""
    camera, light, pose, road = scene.camera, scene.light, scene.pose, scene.road
    canvas = Canvas(np.zeros((*camera.size, 4), dtype=np.float32), camera, pose, light)
    sky = paint_sky(camera, pose, light, scene.seed, scene.kind)
    canvas.pixels[: len(sky), :, :3] = sky
    painted = paint_ground(ground, road, light, camera, scene.seed)
    seen = np.isfinite(ground.forward)
    below = canvas.pixels[ground.first_row :, :, :3]
    # Only the few rows that a tilted horizon crosses need a mask.
    mixed = int(seen.all(axis=1).argmax())
    below[:mixed][seen[:mixed]] = painted[:mixed][seen[:mixed]]
    below[mixed:] = painted[mixed:]
    _draw_things(scene, canvas)
    covered = canvas.pixels[..., 3] > 0
    covered |= scene.bonnet.mask(camera.size)

    rng = np.random.default_rng((scene.seed, 5, scene.frame))
    image = np.ascontiguousarray(canvas.pixels[..., :3])
    if light.weather == "rain":
        image = wet_ground(image, covered, camera)
    if light.time != "day" or light.weather == "rain":
        image = glare(image, 0.5 if light.weather == "rain" else 0.3)
    paint_bonnet(image, scene.bonnet, light)
    if light.weather == "rain":
        image = rain_on_glass(image, rng)
    return expose(image, rng, scene.blur_px, scene.noise, vignette=0.25), covered


def _draw_things(scene: Scene, canvas: Canvas) -> None:
    """Paint shadows, barriers, the roadside and the traffic, far things first."""
    road, light, first_m = scene.road, scene.light, scene.station_m - 10.0
    last_m = scene.station_m + VIEW_RANGE_M
    shadows = [shadow_outline(v, road, light.sun_side, light.sun_skew, any(light.sun)) for v in scene.vehicles]
    canvas.darken([outline for outline in shadows if outline[0, 0] > first_m], 0.55)
    things = things_between(road, scene.kind, light, scene.seed, first_m, last_m)
    # Behind a wall the roadside shows only above it, so the wall is painted after it.
    for thing in sorted(things, key=lambda thing: -thing.station_m):
        draw_thing(canvas, road, thing)
    if scene.barrier_m:
        for lateral_m in (road.left_edge_m + road.shoulder_m, road.right_edge_m - road.shoulder_m):
            walls = barrier(road, lateral_m, scene.barrier_m, scene.station_m, last_m)
            reach = walls[:, 0, 0] - scene.station_m
            canvas.fill(
                walls,
                np.stack([canvas.shade(np.array([0.5, 0.49, 0.47]), float(d), lateral_m) for d in reach]),
            )
    for vehicle in sorted(scene.vehicles, key=lambda vehicle: -vehicle.station_m):
        if vehicle.front_m > first_m and vehicle.rear_m < last_m:
            draw_vehicle(canvas, road, vehicle)
