import numpy as np
import pytest

from drivable.labels import BDD100K_DRIVABLE
from drivable.metrics import Margins, Reliability, compute_scores, count_pixels, fit_temperature


def test_calibration_error_by_hand() -> None:
    reliability = Reliability(num_bins=10)
    reliability.update(np.array([[0.95, 0.95], [0.55, 1.0]]), np.array([[True, False], [True, True]]))
    # Bin of 0.9 to 1: three pixels, mean confidence 0.9667, two right; bin of 0.5: one, 0.55, right.
    expected = 3 / 4 * abs(2 / 3 - 2.9 / 3) + 1 / 4 * 0.45
    assert reliability.expected_calibration_error == pytest.approx(expected)
    bins = reliability.to_dict()["bins"]
    assert [round(b["share"], 2) for b in bins] == [0.25, 0.75]  # type: ignore[attr-defined]
    assert Reliability().expected_calibration_error != Reliability().expected_calibration_error


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_is_found_again(temperature: float) -> None:
    """Labels drawn from softmax(z / T): T is what makes them likeliest."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (20000, 3))
    scaled = np.exp(logits / temperature)
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    actual = (rng.random((20000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    raw = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert fit_temperature(np.log(raw).astype(np.float32), actual) == pytest.approx(temperature, rel=0.05)


def test_the_offset_with_the_highest_binary_score_is_found() -> None:
    """Against trying them all; the model sees background too often."""
    rng = np.random.default_rng(0)
    actual = rng.integers(0, 3, 5000)
    logits = rng.normal(0, 1, (3, 5000)) + 2 * np.eye(3)[actual].T + np.array([[0], [0], [0.6]])
    margins = Margins(background=2)
    for part in (slice(0, 1000), slice(1000, None)):
        margins.update(logits[:, part], actual[part])

    def binary(offset: float) -> float:
        ids = (logits + np.array([[0], [0], [offset]])).argmax(axis=0)
        counts = count_pixels(actual.astype(np.uint8), ids.astype(np.uint8), 3, 255)
        return compute_scores(counts, BDD100K_DRIVABLE).protocols["binary"]

    offset = margins.best_offset()
    assert -1 < offset < -0.2
    assert binary(offset) == max(binary(step / 100) for step in range(-100, 101))


def test_no_pixel_asks_for_no_offset() -> None:
    assert Margins(background=2).best_offset() == 0
