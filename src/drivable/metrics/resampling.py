"""How sure a score is: bootstrap intervals over pictures, and a paired test of two models.

Pixels of one picture are anything but independent, so whole pictures are drawn (Efron & Tibshirani 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
NUM_DRAWS = 1000
LEVEL = 0.95
_CHUNK = 50


@dataclass(frozen=True)
class Interval:
    """A score and where it would lie, had other pictures been drawn.

    Args:
        value: over the pictures as they are; NaN where there is none.
        low: lower end of the interval of 95 %.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON; what is not defined becomes ``None``."""
        return {key: None if value != value else value for key, value in vars(self).items()}


def draws(num_pictures: int, num_draws: int = NUM_DRAWS, seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Pictures drawn with replacement, in chunks of (draws, num_pictures) indices; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    for start in range(0, num_draws, _CHUNK):
        yield rng.integers(0, num_pictures, (min(_CHUNK, num_draws - start), num_pictures))


def resampled_sums(values: Values, num_draws: int = NUM_DRAWS, seed: int = 0) -> Values:
    """Sums over bootstrap samples of the pictures.

    Args:
        values: (N, ...) what each picture adds.
        num_draws: D.
        seed: of the draws; equal seeds draw equal pictures, so that two models can be compared pairwise.

    Returns:
        (D, ...).

    Example:
        >>> resampled_sums(np.ones((10, 1)), num_draws=3).ravel().tolist()
        [10.0, 10.0, 10.0]
    """
    num_pictures = len(values)
    flat = values.reshape(num_pictures, -1)
    sums = []
    for chunk in draws(num_pictures, num_draws, seed):
        rows = np.arange(len(chunk))[:, None] * num_pictures
        times = np.bincount((chunk + rows).ravel(), minlength=chunk.size).reshape(chunk.shape)
        sums.append(times.astype(np.float64) @ flat)
    return np.concatenate(sums).reshape(-1, *values.shape[1:])


def interval(value: float, resampled: Values, level: float = LEVEL) -> Interval:
    """The percentile interval of a resampled statistic.

    Args:
        value: over the pictures as they are.
        resampled: (D,) over the bootstrap samples; NaN where a sample does not define it.
        level: share of the samples that lie inside.

    Example:
        >>> interval(0.5, np.linspace(0, 1, 1001))
        Interval(value=0.5, low=0.025, high=0.975)
    """
    known = resampled[~np.isnan(resampled)]
    if value != value or known.size == 0:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class PairedTest:
    """Whether two models differ on the same pictures.

    Args:
        difference: score of the second less that of the first, with its interval over pictures.
        p_value: how often a difference at least so large comes about where each picture's two results are exchanged
            at random; below 0.05 the difference is called real.
    """

    difference: Interval
    p_value: float

    @property
    def is_real(self) -> bool:
        """Whether chance would give such a difference in fewer than one of twenty exchanges."""
        return self.p_value < 1 - LEVEL


def paired_test(
    first: Values,
    second: Values,
    statistic: Callable[[Values], Values],
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> PairedTest:
    """Compare two models by a statistic of sums over the same pictures (paired randomisation test, Fisher 1935).

    Args:
        first: (N, ...) what each picture adds for the first model.
        second: the same for the second.
        statistic: sums (D, ...) -> scores (D,).
        num_draws: of the interval and of the test each.
        seed: of both.

    Raises:
        ValueError: where the shapes differ.

    Example:
        >>> paired_test(np.zeros((9, 1)), np.ones((9, 1)), lambda sums: sums[:, 0]).is_real
        True
    """
    if first.shape != second.shape:
        raise ValueError(f"two models must be compared on the same pictures, got {first.shape} and {second.shape}")

    def score(sums: Values) -> float:
        return float(statistic(sums[None])[0])

    difference = score(second.sum(axis=0)) - score(first.sum(axis=0))
    sums_first, sums_second = (resampled_sums(values, num_draws, seed) for values in (first, second))
    spread = statistic(sums_second) - statistic(sums_first)
    flat = (second - first).reshape(len(first), -1)
    rng = np.random.default_rng(seed)
    as_large = 0
    for start in range(0, num_draws, _CHUNK):
        exchanged = rng.integers(0, 2, (min(_CHUNK, num_draws - start), len(first))).astype(np.float64)
        moved = (exchanged @ flat).reshape(-1, *first.shape[1:])
        chance = statistic(second.sum(axis=0) - moved) - statistic(first.sum(axis=0) + moved)
        as_large += int((np.abs(chance) >= abs(difference) - 1e-12).sum())
    # The data themselves are one of the exchanges, so the value is never 0.
    return PairedTest(interval(difference, spread), (as_large + 1) / (num_draws + 1))
