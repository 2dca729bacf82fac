"""Whether a model is as right as it is sure, and what mends it: a temperature, an offset of the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
NUM_BINS = 15
_GOLDEN = (np.sqrt(5) - 1) / 2
# Of the background's logit, either way: beyond, an offset no longer weighs doubt but overrules the model.
MOST_OFFSET = 1.0
_OFFSETS = np.arange(-100, 101) / 100 * MOST_OFFSET


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


class Margins:
    """By how much pixels are road rather than background, as the model has it, and which they are.

    Any number of pixels takes the same memory, and every offset of the background's logit can be judged by them.

    Args:
        background: its id.

    Example:
        >>> margins = Margins(background=1)
        >>> margins.update(np.log([[0.4, 0.9, 0.2], [0.6, 0.1, 0.8]]), np.array([0, 0, 1]))
        >>> margins.best_offset() < np.log(0.4 / 0.6)
        True
    """

    def __init__(self, background: int) -> None:
        self.background = background
        # Rows: background, road; the first and the last column hold what no offset changes.
        self.counts = np.zeros((2, len(_OFFSETS) + 1), dtype=np.int64)

    def update(self, log_probabilities: Probabilities, actual: NDArray[np.integer]) -> None:
        """Add pixels.

        Args:
            log_probabilities: (K, N).
            actual: (N,) true classes, none to be ignored.
        """
        road = np.delete(log_probabilities, self.background, axis=0).max(axis=0)
        places = np.searchsorted(_OFFSETS, road - log_probabilities[self.background])
        is_road = actual != self.background
        for row, chosen in enumerate((~is_road, is_road)):
            self.counts[row] += np.bincount(places[chosen], minlength=self.counts.shape[1])

    def best_offset(self) -> float:
        """What to add to the background's logit for the highest ``binary`` score: of the best the one nearest to 0."""
        below = self.counts.cumsum(axis=1)[:, :-1]  # Background, by offset.
        (right, missed), (num_background, num_road) = below, self.counts.sum(axis=1)
        background = right / np.maximum(num_background + missed, 1)
        road = (num_road - missed) / np.maximum(num_road + num_background - right, 1)
        scores = background + road
        best = np.flatnonzero(scores == scores.max())
        return float(_OFFSETS[best[np.abs(_OFFSETS[best]).argmin()]])


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
