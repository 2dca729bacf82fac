"""Fit on labelled pictures how sure a model may be, so that its confidence means something elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from drivable.checkpoint import Calibration, Checkpoint
from drivable.data.samples import Sample, read_pair
from drivable.errors import CheckpointError, DataError
from drivable.metrics import Margins, Reliability, fit_temperature
from drivable.segmenter import TorchSegmenter

_PIXELS_A_PICTURE = 256
_TINY = 1e-12


def calibrate(
    checkpoint: Checkpoint,
    samples: Sequence[Sample],
    fitted_on: str,
    device: str = "auto",
    on_sample: Callable[[], None] = lambda: None,
) -> tuple[Checkpoint, Reliability, Reliability]:
    """Fit the background's offset, a temperature (Guo et al. 2017) and a threshold of confidence (Garg et al. 2022).

    The offset is the one with the highest ``binary`` score: training weighs lanes, not road against background.
    The threshold is the confidence that as many pixels exceed as are right: the share of pixels above it estimates the
    accuracy on pictures that nobody labelled.

    Args:
        checkpoint: the model.
        samples: labelled pictures that it was not trained on, ``val`` as a rule; the offset sees all pixels,
            the others 256 of each.
        fitted_on: what they are, to be kept with the result.
        device: see :func:`drivable.segmenter.load`.
        on_sample: called after each picture.

    Returns:
        The checkpoint with its calibration, and the reliability on those pixels before and after.

    Raises:
        DataError: where there are no labelled pixels, or a picture is broken.
        CheckpointError: where the model gives the background and no doubt for every pixel, as where its logits are no
            numbers.
    """
    segmenter = TorchSegmenter(replace(checkpoint, calibration=None), device)
    ignore_id = checkpoint.labels.ignore_id
    background = checkpoint.labels.background_id
    margins = None if background is None else Margins(background)
    collected, truths = [], []
    sees = background is None
    for index, sample in enumerate(samples):
        image, actual = read_pair(sample)
        labelled = np.flatnonzero(actual != ignore_id)
        if labelled.size:
            places = np.random.default_rng(index).choice(labelled, min(_PIXELS_A_PICTURE, labelled.size), replace=False)
            probabilities = segmenter.probabilities(image).reshape(checkpoint.labels.num_classes, -1)
            collected.append(np.log(probabilities[:, places].T + _TINY))
            truths.append(actual.ravel()[places])
            # Of logits that are numbers, hardly any are so far below the background's that nothing is left.
            if background is not None and not sees:
                sees = bool(np.delete(probabilities[:, places], background, axis=0).any())
            if margins is not None:
                margins.update(np.log(probabilities[:, labelled] + _TINY), actual.ravel()[labelled])
        on_sample()
    if not collected:
        raise DataError(f"{fitted_on}: no labelled pixel to calibrate on")
    if not sees:
        raise CheckpointError(
            f"{checkpoint.where}: gives every pixel of {fitted_on} a probability of 1 for the background, as where "
            "logits are no numbers; there is nothing to calibrate: copy the file or train it again"
        )
    logits, truth = np.concatenate(collected), np.concatenate(truths)
    before, _ = _reliability(logits, truth, 1.0)
    offset = 0.0 if margins is None else margins.best_offset()
    if background is not None:
        logits[:, background] += offset
    temperature = fit_temperature(logits, truth)
    after, confidence = _reliability(logits, truth, temperature)
    accuracy = float((logits.argmax(axis=1) == truth).mean())
    threshold = float(np.quantile(confidence, 1 - accuracy))
    calibration = Calibration(temperature, threshold, accuracy, fitted_on, offset)
    return replace(checkpoint, calibration=calibration), before, after


def _reliability(logits: np.ndarray, truth: np.ndarray, temperature: float) -> tuple[Reliability, np.ndarray]:
    scaled = np.exp(logits.astype(np.float64) / temperature)
    confidence = scaled.max(axis=1) / scaled.sum(axis=1)
    reliability = Reliability()
    reliability.update(confidence, logits.argmax(axis=1) == truth)
    return reliability, confidence
