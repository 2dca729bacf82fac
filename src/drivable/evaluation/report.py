"""A page that shows one model's training, scores and examples; it needs no server and no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from drivable.data.overlay import draw_overlay
from drivable.data.pictures import Pixels
from drivable.data.samples import Sample, read_pair
from drivable.evaluation.evaluate import Evaluation
from drivable.files import write_text
from drivable.labels import LabelSet
from drivable.metrics import PROTOCOLS
from drivable.segmenter import Segmenter


def write_report(
    path: Path,
    title: str,
    lead: str,
    evaluation: Evaluation,
    labels: LabelSet,
    curves: Path,
    examples: Sequence[tuple[Pixels, Pixels, Pixels]],
    facts: Mapping[str, str],
    video: str | None = None,
) -> None:
    """Write the page; pictures are inside it, a video stays a file beside it.

    Args:
        path: of the page.
        title: heading.
        lead: one sentence below it.
        evaluation: the scores.
        labels: the classes.
        curves: PNG of the training's curves.
        examples: triples of RGB (H, W, 3) uint8: picture, label and prediction drawn over it.
        facts: how it was made, shown as a table.
        video: address of a video relative to the page.

    Raises:
        OutputError: where the place is not writable.
    """
    environment = Environment(
        loader=PackageLoader("drivable", "evaluation"), autoescape=True, undefined=StrictUndefined
    )
    protocols = evaluation.scores.to_dict()["protocols"]
    page = environment.get_template("report.html.j2").render(
        title=title,
        lead=lead,
        evaluation=evaluation,
        protocols=[(name, protocols[name], meaning) for name, meaning in PROTOCOLS.items()],
        classes=list(zip(evaluation.scores.classes, labels.colors, strict=True)),
        curves=_data_url(curves.read_bytes(), "png"),
        examples=[[_data_url(_jpeg(pixels), "jpeg") for pixels in triple] for triple in examples],
        facts=facts,
        video=video,
        percent=lambda value: "-" if value is None or value != value else f"{100 * value:.1f} %",
    )
    write_text(path, page)


def example_triples(
    segmenter: Segmenter, samples: Sequence[Sample], num_examples: int
) -> list[tuple[Pixels, Pixels, Pixels]]:
    """Picture, label and prediction of samples spread evenly over the given ones.

    Raises:
        DataError: where one of them is broken.
    """
    triples = []
    for sample in samples[:: max(1, len(samples) // num_examples)][:num_examples]:
        image, label_map = read_pair(sample)
        truth = draw_overlay(image, label_map, segmenter.labels)
        triples.append((image, truth, draw_overlay(image, segmenter.segment(image), segmenter.labels)))
    return triples


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
