import numpy as np
import pytest

from drivable.metrics import Reliability, fit_temperature


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
