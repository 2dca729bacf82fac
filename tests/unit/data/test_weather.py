import numpy as np
import pytest

from drivable.config.recipe import AugmentationSpec
from drivable.data.augmentation import Change, draw_change
from drivable.imaging.weather import nightfall, rain_on_glass

GREY = np.full((90, 160, 3), 0.6, dtype=np.float32)


def test_rain_changes_some_of_the_glass_and_larger_drops_more() -> None:
    def share(largest_drop: float) -> float:
        image = np.random.default_rng(1).random((90, 160, 3), dtype=np.float32)
        wet = rain_on_glass(image, np.random.default_rng(0), largest_drop)
        assert wet.shape == image.shape
        return float((wet != image).any(axis=2).mean())

    assert 0.01 < share(0.015) < share(0.06) < 0.6


def test_night_falls_except_where_there_is_night_already() -> None:
    dark = nightfall(GREY, np.random.default_rng(0))
    assert dark.dtype == np.float32
    assert dark.mean() < 0.6 * GREY.mean()
    assert dark[60:75].mean() > 1.1 * dark[:10].mean(), "the headlights reach the road, not the sky"
    assert np.array_equal(nightfall(GREY * 0.3, np.random.default_rng(0)), GREY * 0.3)


@pytest.mark.parametrize("key", ["gamma", "noise", "night", "rain"])
def test_each_change_of_the_weather_alone(key: str) -> None:
    image = np.random.default_rng(2).integers(100, 256, (90, 160, 3), dtype=np.uint8)
    label_map = np.random.default_rng(3).integers(0, 3, (90, 160), dtype=np.uint8)
    spec = AugmentationSpec(**{key: 0.9})
    changes = [draw_change(spec, (90, 160), np.random.default_rng(seed)) for seed in range(40)]
    happened = [change for change in changes if getattr(change, key) != getattr(Change(), key)]
    assert 30 < len(happened) <= 40
    first, labels = happened[0].apply(image, label_map, (90, 160))
    again, _ = happened[0].apply(image, label_map, (90, 160))
    assert np.array_equal(first, again), "the same change gives the same picture"
    assert np.abs(first.astype(int) - image).mean() > 0.5
    assert np.array_equal(labels, label_map)
    if key == "gamma":
        assert 0.1 <= min(c.gamma for c in changes) < 0.8 < 1.25 < max(c.gamma for c in changes) <= 10.0
