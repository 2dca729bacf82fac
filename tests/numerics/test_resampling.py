"""Intervals and tests against what statistics says they must be."""

import numpy as np
import pytest

from drivable.metrics import draws, interval, paired_test, resampled_sums


def test_resampled_sums_are_sums_of_the_drawn_pictures() -> None:
    values = np.random.default_rng(0).random((13, 2, 3))
    sums = resampled_sums(values, num_draws=70, seed=4)
    orders = np.concatenate(list(draws(13, 70, seed=4)))
    assert sums.shape == (70, 2, 3)
    for drawn, order in zip(sums, orders, strict=True):
        np.testing.assert_allclose(drawn, values[order].sum(axis=0))


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, (400, 1))
    found = interval(float(values.mean()), resampled_sums(values, 4000)[:, 0] / 400)
    half = 1.96 * float(values.std()) / 20
    assert found.low == pytest.approx(found.value - half, abs=0.03)
    assert found.high == pytest.approx(found.value + half, abs=0.03)


def test_samples_that_do_not_define_a_score_are_left_out() -> None:
    found = interval(0.5, np.array([0.4, np.nan, 0.6]))
    assert 0.4 <= found.low < found.high <= 0.6
    undefined = interval(float("nan"), np.array([0.1]))
    assert undefined.to_dict() == {"value": None, "low": None, "high": None}


def test_a_paired_test_sees_a_small_difference_on_the_same_pictures() -> None:
    rng = np.random.default_rng(2)
    hard = rng.normal(0.7, 0.2, (200, 1))  # Pictures differ far more than the models do.
    first, second = hard + rng.normal(0, 0.02, (200, 1)), hard + 0.01 + rng.normal(0, 0.02, (200, 1))
    test = paired_test(first, second, lambda sums: sums[..., 0] / 200)
    assert test.is_real
    assert test.p_value < 0.01
    assert test.difference.low > 0
    assert test.difference.value == pytest.approx(float((second - first).mean()))


def test_a_paired_test_is_right_about_chance() -> None:
    """Where there is no difference, p is below 0.05 in about one of twenty."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        first, second = rng.normal(size=(40, 1)), rng.normal(size=(40, 1))
        hits += paired_test(first, second, lambda sums: sums[..., 0], num_draws=200).is_real
    assert 1 <= hits <= 22
    same = rng.normal(size=(30, 1))
    assert paired_test(same, same, lambda sums: sums[..., 0]).p_value == 1.0
    with pytest.raises(ValueError, match="the same pictures"):
        paired_test(same, same[1:], lambda sums: sums[..., 0])
