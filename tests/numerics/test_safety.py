"""Safety measures on drawn roads whose answers can be counted by hand."""

import numpy as np
import pytest

from drivable.labels import BDD100K_DRIVABLE
from drivable.metrics import COLUMNS, GroundCamera, measures, safety_row
from drivable.metrics.safety import free_space_rows

HEIGHT, WIDTH = 100, 200


def road(top: int = 50, left: int = 50, right: int = 150, lane: int = 0, bottom: int = HEIGHT) -> np.ndarray:
    label_map = np.full((HEIGHT, WIDTH), 2, dtype=np.uint8)
    label_map[top:bottom, left:right] = lane
    return label_map


def measured(actual: np.ndarray, predicted: np.ndarray, camera: GroundCamera | None = None) -> dict[str, float]:
    return {k: float(v) for k, v in measures(safety_row(actual, predicted, BDD100K_DRIVABLE, camera)).items() if v == v}


def test_a_perfect_answer() -> None:
    values = measured(road(), road())
    assert values.pop("boundary IoU") == 1.0
    assert set(values.values()) == {0.0}
    assert "false alarms" not in values, "there is road, so there is nothing to be alarmed about"


def test_leaks_misses_and_swaps_are_shares_of_what_they_could_be() -> None:
    actual = road()  # 5,000 pixels of road, 15,000 of background.
    wide = road(left=40)
    assert measured(actual, wide)["leak rate"] == pytest.approx(500 / 15000)
    assert measured(actual, road(left=60))["missed road"] == pytest.approx(500 / 5000)
    swapped = road()
    swapped[50:, 50:75] = 1
    assert measured(actual, swapped)["swap rate"] == pytest.approx(0.25)


def test_the_corridor_is_the_way_ahead() -> None:
    actual = np.full((HEIGHT, WIDTH), 2, dtype=np.uint8)
    ahead, beside, sky = (actual.copy() for _ in range(3))
    ahead[90:, 95:105] = 0
    beside[90:, :20] = 0
    sky[:40, 95:105] = 0
    name = "leak rate in the ego corridor"
    assert measured(actual, ahead)[name] > 0
    assert measured(actual, beside)[name] == measured(actual, sky)[name] == 0
    assert measured(actual, beside)["leak rate"] == pytest.approx(200 / 20000)


def test_free_space_ends_where_the_road_does_and_a_bonnet_is_passed_over() -> None:
    assert set(free_space_rows(road()[:, 50:150] != 2)) == {49}
    with_bonnet = road(bottom=90)
    assert set(free_space_rows(with_bonnet[:, 50:150] != 2)) == {49}
    with_gap = road()
    with_gap[70:80] = 2  # A vehicle: the way is free up to it, whatever lies behind.
    assert set(free_space_rows(with_gap[:, 50:150] != 2)) == {79}
    assert set(free_space_rows(np.zeros((5, 3), dtype=bool))) == {4}
    assert set(free_space_rows(np.ones((5, 3), dtype=bool))) == {-1}


def test_free_space_distance_in_height_and_metres() -> None:
    camera = GroundCamera(focal_px=100, height_m=1.5, horizon_row=40)
    values = measured(road(top=60), road(top=50), camera)
    assert values["free space error"] == pytest.approx(0.10)
    assert values["free space too far"] == 1.0
    assert values["free space error (m)"] == pytest.approx(150 / 9.5 - 150 / 19.5)
    assert measured(road(top=50), road(top=60))["free space too far"] == 0.0
    assert camera.distance_m(np.array([30.0, 40.0])).tolist() == [100.0, 100.0]


def test_false_alarms_are_counted_where_there_is_no_road() -> None:
    none = np.full((HEIGHT, WIDTH), 2, dtype=np.uint8)
    speck = none.copy()
    speck[0, :10] = 0
    assert measured(none, none)["false alarms"] == 0
    assert measured(none, speck)["false alarms"] == 0, "20 of 20,000 pixels are a speck"
    assert measured(none, road())["false alarms"] == 1


def test_islands_are_pieces_that_touch_no_road() -> None:
    predicted = road()
    predicted[0:10, 0:10] = 1
    predicted[0:10, 180:190] = 0
    predicted[20, 5] = 0  # A speck.
    assert measured(road(), predicted)["phantom islands per picture"] == 2


def test_boundary_iou_by_hand() -> None:
    """Width: 2 % of the diagonal of 223.6 is 4 pixels; the rims of two squares shifted by two pixels."""
    square = np.full((HEIGHT, WIDTH), 2, dtype=np.uint8)
    shifted = square.copy()
    square[20:60, 20:60] = 0
    shifted[20:60, 22:62] = 0

    def rim(left: int) -> set[tuple[int, int]]:
        whole = {(r, c) for r in range(20, 60) for c in range(left, left + 40)}
        return whole - {(r, c) for r in range(24, 56) for c in range(left + 4, left + 36)}

    expected = len(rim(20) & rim(22)) / len(rim(20) | rim(22))
    assert measured(square, shifted)["boundary IoU"] == pytest.approx(expected)


def test_ignored_pixels_count_nowhere() -> None:
    actual, predicted = road(), road(left=40)
    actual[:, 40:50] = 255
    values = measured(actual, predicted)
    assert values["leak rate"] == values["free space error"] == 0
    assert values["boundary IoU"] == 1.0


def test_rows_add_up() -> None:
    rows = np.stack([safety_row(road(), road(left=40), BDD100K_DRIVABLE), safety_row(road(), road(), BDD100K_DRIVABLE)])
    assert rows.shape == (2, len(COLUMNS))
    assert float(measures(rows.sum(axis=0))["leak rate"]) == pytest.approx(500 / 30000)
    assert measures(np.stack([rows, rows]))["leak rate"].shape == (2, 2)
