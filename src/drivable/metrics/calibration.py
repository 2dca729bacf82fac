"""Whether a model is as right as it is sure: expected calibration error, and the temperature that mends it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
NUM_BINS = 15
_GOLDEN = (np.sqrt(5) - 1) / 2


class Reliability:
    r"""How often pixels are right, by how sure the model is of them (Guo et al. 2017).

    .. math:: ECE = \sum_b \frac{n_b}{n} |accuracy_b - confidence_b|

    over bins of equal width of the largest probability.

    Args:
        num_bins: of confidence.

    Example:
        >>> reliability = Reliability()
        >>> reliability.update(np.array([0.9, 0.9]), np.array([True, False]))
        >>> round(reliability.expected_calibration_error, 6)
        0.4
    """

    def __init__(self, num_bins: int = NUM_BINS) -> None:
        self.counts = np.zeros(num_bins)
        self.confidence = np.zeros(num_bins)
        self.right = np.zeros(num_bins)

    def update(self, confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> None:
        """Count pixels.

        Args:
            confidence: the largest probability of each pixel, 0..1, any shape.
            right: whether the class with it is the true one, same shape.
        """
        num_bins = len(self.counts)
        bins = np.minimum((confidence.ravel() * num_bins).astype(np.intp), num_bins - 1)
        self.counts += np.bincount(bins, minlength=num_bins)
        self.confidence += np.bincount(bins, weights=confidence.ravel(), minlength=num_bins)
        self.right += np.bincount(bins, weights=right.ravel(), minlength=num_bins)

    @property
    def expected_calibration_error(self) -> float:
        """In 0..1; NaN where nothing was counted."""
        if not self.counts.sum():
            return float("nan")
        return float(np.abs(self.right - self.confidence).sum() / self.counts.sum())

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON: the error, and per bin the share of pixels, mean confidence and accuracy."""
        used = self.counts > 0
        return {
            "expected_calibration_error": self.expected_calibration_error,
            "bins": [
                {"share": float(n / self.counts.sum()), "confidence": float(c / n), "accuracy": float(r / n)}
                for n, c, r in zip(self.counts[used], self.confidence[used], self.right[used], strict=True)
            ],
        }


def fit_temperature(log_probabilities: Probabilities, actual: NDArray[np.integer]) -> float:
    """The temperature T that makes softmax(z / T) likeliest (Guo et al. 2017, sec. 4.2).

    Log probabilities serve as logits z: the two differ by a constant a pixel, which the softmax does not see. The
    likelihood has one minimum over log T, found by golden-section search.

    Args:
        log_probabilities: (N, K) at temperature 1.
        actual: (N,) true classes.

    Returns:
        T in 0.05..20; above 1 where the model is too sure of itself.

    Example:
        >>> sure = np.log(np.array([[0.99, 0.01]] * 10, dtype=np.float32))
        >>> fit_temperature(sure, np.array([0] * 8 + [1] * 2)) > 1
        True
    """
    logits = log_probabilities.astype(np.float64)
    rows = np.arange(len(actual))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, actual]))

    low, high = np.log(0.05), np.log(20.0)
    inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_inner, at_outer = loss(inner), loss(outer)
    while high - low > 1e-4:
        if at_inner < at_outer:
            high, outer, at_outer = outer, inner, at_inner
            inner = high - _GOLDEN * (high - low)
            at_inner = loss(inner)
        else:
            low, inner, at_inner = inner, outer, at_outer
            outer = low + _GOLDEN * (high - low)
            at_outer = loss(outer)
    return float(np.exp((low + high) / 2))
