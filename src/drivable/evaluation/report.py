"""A page that shows what an evaluation found; it needs no server and no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from drivable.data.samples import Sample
from drivable.errors import plot_text
from drivable.evaluation.evaluate import Evaluation
from drivable.evaluation.gallery import Exhibit, exhibits
from drivable.evaluation.label_errors import KINDS, SURE, suspects
from drivable.evaluation.predictions import Predictor
from drivable.evaluation.slices import LEAST_PICTURES, widest_gap
from drivable.files import write_text
from drivable.imaging.images import Pixels, resize_image
from drivable.imaging.overlay import ERROR_COLORS
from drivable.metrics import MEASURES, PROTOCOLS, Interval, Reliability
from drivable.metrics import iou as class_ious

NUM_SHOWN = 6
_PANEL_WIDTH = 480


@dataclass(frozen=True)
class Report:
    """What the page says beside the scores.

    Args:
        title: heading.
        lead: one sentence below it.
        facts: how it was made: command, fingerprints and the like.
        galleries: pictures by heading.
        curves: PNG of the training's curves.
        video: address of a video relative to the page.
    """

    title: str
    lead: str
    facts: Mapping[str, str]
    galleries: Mapping[str, Sequence[Exhibit]] = field(default_factory=dict)
    curves: Path | None = None
    video: str | None = None


def galleries(predictor: Predictor, samples: Sequence[Sample], evaluation: Evaluation) -> dict[str, list[Exhibit]]:
    """The worst and the best pictures, and those whose labels are doubted, by heading.

    Raises:
        DataError: where one of them is broken.
    """
    ranked = sorted((p for p in evaluation.pictures if p.mean_iou == p.mean_iou), key=lambda picture: picture.mean_iou)
    doubts = [(picture.id, picture.doubt) for picture in evaluation.pictures if picture.doubt is not None]
    wanted = {
        "Worst pictures": {p.id: f"{p.id}: mean IoU {p.mean_iou:.3f}" for p in ranked[:NUM_SHOWN]},
        "Best pictures": {p.id: f"{p.id}: mean IoU {p.mean_iou:.3f}" for p in ranked[: -NUM_SHOWN - 1 : -1]},
        "Labels in doubt": {
            suspect.id: f"{suspect.id}: {suspect.kind}, {suspect.share:.1%} of the pixels"
            for suspect in suspects(doubts)[:NUM_SHOWN]
        },
    }
    return {heading: exhibits(predictor, samples, captions) for heading, captions in wanted.items() if captions}


def write_report(path: Path, evaluation: Evaluation, report: Report) -> None:
    """Write the page; pictures are inside it, a video stays a file beside it.

    Raises:
        OutputError: where the place is not writable.
    """
    environment = Environment(
        loader=PackageLoader("drivable", "evaluation"), autoescape=True, undefined=StrictUndefined
    )
    labels = evaluation.labels
    page = environment.get_template("report.html.j2").render(
        report=report,
        evaluation=evaluation,
        protocols=[
            (name, mean, evaluation.class_ious[name], PROTOCOLS[name].meaning)
            for name, mean in evaluation.protocols.items()
        ],
        classes=list(zip(evaluation.scores.classes, labels.colors, strict=True)),
        confusion=_by_truth(evaluation),
        safety=[(name, value, MEASURES[name][2]) for name, value in evaluation.safety.items()],
        gap=widest_gap(evaluation.slices),
        least_pictures=LEAST_PICTURES,
        reliability=None if evaluation.reliability is None else _png(_reliability_plot(evaluation.reliability)),
        distribution=_png(_distribution_plot(evaluation)),
        galleries={
            heading: [
                (exhibit.caption, [(title, _jpeg(panel)) for title, panel in exhibit.panels.items()])
                for exhibit in shown
            ]
            for heading, shown in report.galleries.items()
        },
        error_colors=ERROR_COLORS,
        kinds=KINDS,
        sure=SURE,
        curves=None if report.curves is None else _data_url(report.curves.read_bytes(), "png"),
        percent=lambda value: "absent" if value is None or value != value else f"{100 * value:.1f} %",
        spread=_spread,
        plain=_plain,
    )
    write_text(path, page)


def _by_truth(evaluation: Evaluation) -> list[list[float]]:
    """Of each true class, the share that went to each predicted one."""
    table = evaluation.counts.sum(axis=0)
    actual = table.sum(axis=1, keepdims=True)
    shares: list[list[float]] = np.divide(table, actual, out=np.full(table.shape, np.nan), where=actual > 0).tolist()
    return shares


def _spread(value: Interval) -> str:
    return "" if value.low != value.low else f"{100 * value.low:.1f} to {100 * value.high:.1f}"


def _plain(name: str, value: Interval) -> str:
    """A safety measure with its interval, in its own unit."""
    if name.endswith("(m)"):
        return f"{value.value:.1f} m ({value.low:.1f} to {value.high:.1f})"
    if name.endswith("per picture"):
        return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"
    return f"{100 * value.value:.2f} % ({100 * value.low:.2f} to {100 * value.high:.2f})"


def _reliability_plot(reliability: Reliability) -> Figure:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.subplots()
    used = reliability.counts > 0
    counts, share = reliability.counts[used], reliability.counts[used] / reliability.counts.sum()
    confidence, right = reliability.confidence[used] / counts, reliability.right[used] / counts
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="as right as sure")
    axes.plot(confidence, right, marker="o", label="this model")
    axes.bar(confidence, share, width=0.04, alpha=0.3, label="share of pixels")
    axes.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"Expected calibration error {100 * reliability.expected_calibration_error:.2f} %")
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return figure


def _distribution_plot(evaluation: Evaluation) -> Figure:
    """Share of pictures that reach an IoU, a curve a class."""
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    ious = class_ious(evaluation.counts)
    present = evaluation.counts.sum(axis=2) > 0
    for k, (name, color) in enumerate(zip(evaluation.labels.names, evaluation.labels.colors, strict=True)):
        values = np.sort(ious[present[:, k], k])
        if values.size:
            share = 1 - np.arange(values.size) / values.size
            axes.step(
                values, share, where="pre", label=plot_text(f"{name} ({values.size})"), color=np.array(color) / 255
            )
    axes.set(xlabel="IoU", ylabel="share of pictures that reach it", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("Pictures with the class, by its IoU")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    return figure


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _data_url(buffer.getvalue(), "png")


def _jpeg(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    if width > _PANEL_WIDTH:
        pixels = resize_image(pixels, (round(height * _PANEL_WIDTH / width), _PANEL_WIDTH))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return _data_url(buffer.getvalue(), "jpeg")


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
