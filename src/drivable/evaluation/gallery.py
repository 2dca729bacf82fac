"""Pictures side by side: what was there, what was labelled, what was predicted, and where these differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivable.data.samples import Sample, read_pair
from drivable.evaluation.predictions import Predictor
from drivable.imaging.images import Pixels
from drivable.imaging.overlay import draw_errors, draw_overlay


@dataclass(frozen=True)
class Exhibit:
    """One row of a gallery.

    Args:
        caption: what to say of it.
        panels: RGB (H, W, 3) uint8 by title.
    """

    caption: str
    panels: dict[str, Pixels]


def exhibits(predictor: Predictor, samples: Sequence[Sample], captions: Mapping[str, str]) -> list[Exhibit]:
    """Read and predict some pictures again, and draw them.

    Args:
        predictor: what was scored.
        samples: all labelled pictures.
        captions: by id of the pictures to show, in order.

    Raises:
        DataError: where one of them is broken.
    """
    known = {sample.id: sample for sample in samples}
    shown = []
    for key, caption in captions.items():
        image, actual = read_pair(known[key])
        predicted, _ = predictor.answer([known[key]], [image])[0]
        labels = predictor.labels
        panels = {
            "picture": image,
            "label": draw_overlay(image, actual, labels),
            "prediction": draw_overlay(image, predicted, labels),
        }
        if labels.background_id is not None:
            panels["errors"] = draw_errors(image, actual, predicted, labels)
        shown.append(Exhibit(caption, panels))
    return shown
