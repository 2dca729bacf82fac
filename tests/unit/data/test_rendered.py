"""Rendered scenes: geometry against independent computations, determinism, and the folder on disk."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivable.errors import ConfigError, OutputError
from drivable.labels import BDD100K_DRIVABLE
from drivable.synthetic import (
    Bonnet,
    PinholeCamera,
    Road,
    Scene,
    Vehicle,
    advance,
    render,
    render_drive,
    sample_light,
    sample_scene,
    write_rendered_dataset,
)

SIZE = (180, 320)
DIRECT, ALTERNATIVE, BACKGROUND = (
    BDD100K_DRIVABLE.names.index(name) for name in ("direct", "alternative", "background")
)


def plain_scene(road: Road, vehicles: tuple[Vehicle, ...] = (), size: tuple[int, int] = SIZE) -> Scene:
    """A scene by day without bonnet or barrier; its roadside still stands there."""
    camera = PinholeCamera(size=size, focal_px=0.9 * size[1], height_m=1.5, pitch_rad=0.03)
    light = sample_light(np.random.default_rng(0), "day", "clear")
    return Scene(camera=camera, road=road, kind="highway", light=light, vehicles=vehicles, seed=7)


def pixel_of(scene: Scene, station_m: float, lateral_m: float) -> tuple[int, int]:
    """Row and column that show a ground point given in road coordinates."""
    x, y = scene.road.to_world(np.array([station_m]), np.array([lateral_m]))
    ego = scene.pose.to_ego(np.array([[x[0], y[0], 0.0]]))
    column, row = scene.camera.project(ego)[0]
    return round(float(row)), round(float(column))


def inside(scene: Scene, row: int, column: int) -> bool:
    return 0 <= row < scene.camera.size[0] and 0 <= column < scene.camera.size[1]


@pytest.mark.parametrize(("pitch", "yaw", "roll"), [(0.0, 0.0, 0.0), (0.05, -0.1, 0.03), (-0.04, 0.2, -0.05)])
def test_back_projection_inverts_projection(pitch: float, yaw: float, roll: float) -> None:
    camera = PinholeCamera(SIZE, 300.0, 1.4, pitch, yaw, roll)
    points = np.random.default_rng(0).uniform((4, -10, 0), (80, 10, 0), (200, 3))
    pixels = camera.project(points)
    forward, left = camera.ground_at(pixels[:, 0], pixels[:, 1])
    np.testing.assert_allclose(np.stack([forward, left], axis=-1), points[:, :2], rtol=1e-6)


def test_camera_signs_and_hand_computed_pixels() -> None:
    level = PinholeCamera((101, 201), focal_px=100.0, height_m=2.0, pitch_rad=0.0)
    # 2 m below the axis at 10 m is 20 px below the middle; 1 m to the left is 10 px to the left.
    np.testing.assert_allclose(level.project(np.array([10.0, 1.0, 0.0])), [90.0, 70.0])
    assert level.horizon_row() == pytest.approx(50.0)
    assert replace(level, pitch_rad=0.1).horizon_row() == pytest.approx(50.0 - 100.0 * np.tan(0.1))
    assert replace(level, yaw_rad=0.1).project(np.array([10.0, 0.0, 0.0]))[0] > 100.0
    tilted = replace(level, roll_rad=0.1).horizon_rows()
    assert tilted[0] > tilted[-1]
    assert np.isnan(level.project(np.array([-5.0, 0.0, 0.0]))).all()


def test_ground_is_nan_exactly_above_the_horizon() -> None:
    camera = PinholeCamera(SIZE, 300.0, 1.4, 0.02, 0.03, 0.04)
    forward, _ = camera.ground_grid()
    above = np.arange(SIZE[0])[:, None] <= camera.horizon_rows()[None, :]
    np.testing.assert_array_equal(np.isnan(forward), above)


def test_road_coordinates_invert_and_keep_the_lane_width() -> None:
    road = Road(2, 1, 0, waves=((6.0, 300.0, 0.4), (3.0, 150.0, 2.0)))
    station, lateral = np.random.default_rng(1).uniform((0, -9), (500, 9), (100, 2)).T
    back = road.from_world(*road.to_world(station, lateral))
    np.testing.assert_allclose(back, (station, lateral), atol=1e-9)
    # Independently: the shortest distance from a lane's edge to a finely sampled centre line.
    along = np.arange(0.0, 500.0, 0.01)
    edge = road.to_world(np.array([250.0]), np.array([-3.5]))
    distance = np.hypot(along - edge[0], road.center_m(along) - edge[1]).min()
    assert distance == pytest.approx(3.5, abs=0.05)


@pytest.mark.parametrize("num_lanes", [1, 2, 3, 4])
@pytest.mark.parametrize("num_oncoming", [0, 1, 2])
def test_labels_agree_with_projected_lane_points(num_lanes: int, num_oncoming: int) -> None:
    ego_lane = num_lanes // 2
    scene = plain_scene(Road(num_lanes, num_oncoming, ego_lane, waves=((5.0, 260.0, 1.0),)))
    labels = render(scene).label_map
    checked = 0
    for station in (8.0, 14.0, 25.0):
        for lane in range(-num_oncoming - 1, num_lanes + 1):
            for share in (0.1, 0.5, 0.9):
                row, column = pixel_of(scene, station, -(lane + share) * 3.5)
                if not inside(scene, row, column):
                    continue
                ours = 0 <= lane < num_lanes
                expected = (DIRECT if lane == ego_lane else ALTERNATIVE) if ours else BACKGROUND
                assert labels[row, column] == expected, (station, lane, share)
                checked += 1
    assert checked >= 9
    assert (ALTERNATIVE in labels) == (num_lanes > 1)


def test_vehicle_hides_the_road_and_ends_its_lane() -> None:
    road = Road(2, 1, 0)
    empty = plain_scene(road)
    lead = Vehicle("van", 25.0, road.lane_center_m(0), 10.0)
    scene = replace(empty, vehicles=(lead,))
    labels, free = render(scene).label_map, render(empty).label_map
    for height in (0.2, 1.0, 1.9):
        for aside in (-0.8, 0.0, 0.8):
            point = np.array([[lead.rear_m, lead.lateral_m + aside - scene.pose.y_m, height]])
            column, row = scene.camera.project(point)[0]
            assert labels[round(float(row)), round(float(column))] == BACKGROUND
    before, beyond = pixel_of(scene, lead.rear_m - 1.0, lead.lateral_m), pixel_of(scene, 60.0, -0.3)
    assert labels[before] == DIRECT
    assert free[beyond] == DIRECT
    assert labels[beyond] == BACKGROUND
    alternative = pixel_of(scene, 15.0, road.lane_center_m(1))
    assert labels[alternative] == ALTERNATIVE


def test_nothing_is_drivable_above_the_horizon_or_on_the_bonnet() -> None:
    for seed in range(20):
        scene = sample_scene(np.random.default_rng(seed), SIZE)
        labels = render(scene).label_map
        above = np.arange(SIZE[0])[:, None] <= scene.camera.horizon_rows()[None, :]
        assert (labels[above] == BACKGROUND).all()
        assert (labels[scene.bonnet.mask(SIZE)] == BACKGROUND).all()


def test_shares_are_near_those_of_real_roads() -> None:
    frames = [render(sample_scene(np.random.default_rng(seed), (90, 160))) for seed in range(100)]
    shares = np.mean(
        [np.bincount(frame.label_map.ravel(), minlength=3) / frame.label_map.size for frame in frames], axis=0
    )
    assert 0.08 < shares[DIRECT] < 0.18
    assert 0.03 < shares[ALTERNATIVE] < 0.10
    assert any(ALTERNATIVE not in frame.label_map for frame in frames)
    assert all(DIRECT in frame.label_map for frame in frames)
    assert {frame.attributes["timeofday"] for frame in frames} == {"daytime", "dawn/dusk", "night"}
    assert {frame.attributes["weather"] for frame in frames} == {"clear", "rainy"}
    assert {frame.attributes["scene"] for frame in frames} == {"highway", "city street", "residential"}


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, again, other = (render(sample_scene(np.random.default_rng(seed), SIZE)) for seed in (5, 5, 6))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label_map.tobytes() == again.label_map.tobytes()
    assert first.image.tobytes() != other.image.tobytes()
    assert (first.image.dtype, first.image.shape) == (np.uint8, (*SIZE, 3))
    assert (first.label_map.dtype, first.label_map.shape) == (np.uint8, SIZE)


def overlap(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Intersection over union of everything drivable."""
    a, b = first != BACKGROUND, second != BACKGROUND
    return float((a & b).sum() / (a | b).sum())


def test_drive_is_continuous_and_moves_on() -> None:
    for seed in (1, 2, 3):
        frames = list(render_drive(seed, 12, SIZE, fps=10.0))
        assert all(overlap(a.label_map, b.label_map) > 0.85 for a, b in pairwise(frames))
        assert not np.array_equal(frames[0].image, frames[-1].image)
        assert len({tuple(frame.attributes.items()) for frame in frames}) == 1
    scene = sample_scene(np.random.default_rng(1), SIZE)
    assert overlap(render(scene).label_map, render(advance(scene, 20.0)).label_map) < 0.97
    again = list(render_drive(3, 12, SIZE, fps=10.0))
    assert again[-1].image.tobytes() == frames[-1].image.tobytes()


def test_asphalt_is_anchored_to_the_ground() -> None:
    scene = replace(plain_scene(Road(1, 0, 0, wear=0.0)), noise=0.0, blur_px=0.0, bonnet=Bonnet(0.0, 0.0, (0, 0, 0)))
    later = replace(scene, station_m=2.0)
    points = [(station, lateral) for station in np.arange(9.0, 14.0, 0.4) for lateral in np.arange(-2.9, -0.6, 0.3)]
    before, after = (greens(one, points) for one in (scene, later))
    assert np.corrcoef(before, after)[0, 1] > 0.5


def greens(scene: Scene, points: list[tuple[float, float]]) -> list[int]:
    """Green values where ground points, given in road coordinates, are seen."""
    image = render(scene).image
    return [int(image[(*pixel_of(scene, station, lateral), 1)]) for station, lateral in points]


def test_brightness_alone_does_not_tell_the_classes_apart() -> None:
    counts = np.zeros((3, 16))
    for seed in range(60):
        frame = render(sample_scene(np.random.default_rng(seed), (90, 160)))
        if ALTERNATIVE not in frame.label_map:
            continue
        brightness = frame.image.mean(axis=-1) // 16
        for k in range(3):
            counts[k] += np.bincount(brightness[frame.label_map == k].astype(int), minlength=16)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.minimum(shares[DIRECT], shares[ALTERNATIVE]).sum() > 0.75
    assert np.minimum(shares[DIRECT], shares[BACKGROUND]).sum() > 0.4


def test_dataset_has_the_official_layout(tmp_path: Path) -> None:
    root, calls = tmp_path / "data", []
    write_rendered_dataset(root, {"train": 3, "val": 2}, seed=4, size=(90, 160), on_picture=lambda: calls.append(1))
    rows = list(csv.DictReader((root / "attributes.csv").open()))
    images = sorted(root.glob("images/100k/*/*.jpg"))
    assert len(rows) == len(images) == len(calls) == 5
    assert list(rows[0]) == ["id", "weather", "scene", "timeofday"]
    assert {row["id"] for row in rows} == {path.stem for path in images}
    for path in images:
        drive, dash, moment = path.stem[:8], path.stem[8], path.stem[9:]
        assert (len(path.stem), dash) == (17, "-")
        int(drive, 16), int(moment, 16)
        with (
            Image.open(path) as image,
            Image.open(root / "labels/drivable/masks" / path.parent.name / f"{path.stem}.png") as mask,
        ):
            assert (image.mode, mask.mode, image.size, mask.size) == ("RGB", "L", (160, 90), (160, 90))
            assert set(np.unique(np.asarray(mask))) <= {0, 1, 2}
    train, val = ({path.stem[:8] for path in images if path.parent.name == split} for split in ("train", "val"))
    assert not train & val
    write_rendered_dataset(tmp_path / "again", {"train": 3, "val": 2}, seed=4, size=(90, 160))
    assert [path.read_bytes() for path in sorted((tmp_path / "again").glob("images/100k/*/*.jpg"))] == [
        p.read_bytes() for p in images
    ]


def test_occupied_root_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="not an empty folder") as fault:
        write_rendered_dataset(tmp_path, {"train": 1}, seed=0, size=(90, 160))
    assert "\n" not in str(fault.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rendered_dataset(tmp_path / "data", {"train": 2}, seed=0, size=(90, 160), on_picture=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_wrong_requests_are_named() -> None:
    with pytest.raises(ConfigError, match="num_lanes must be"):
        Road(5, 0, 0)
    with pytest.raises(ConfigError, match="ego_lane must be"):
        Road(2, 0, 2)
    with pytest.raises(ConfigError, match="must be positive"):
        PinholeCamera((0, 10), 100.0, 1.5, 0.0)
    with pytest.raises(ConfigError, match="fps above 0"):
        render_drive(0, 1, SIZE, fps=0.0)
    with pytest.raises(ConfigError, match="valid"):
        write_rendered_dataset(Path("unused"), {"valid": 1}, seed=0)
