"""A page that shows what an inspection found; it needs no server and no network."""

from __future__ import annotations

import base64
import io
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from drivable.curation.inspection.findings import Finding
from drivable.curation.inspection.inspect import Inspection
from drivable.data.road_data import RoadData
from drivable.data.samples import Sample, read_pair
from drivable.errors import DataError, plot_text
from drivable.files import write_text
from drivable.imaging.images import Pixels, resize_image
from drivable.imaging.overlay import draw_overlay, picture_sheet
from drivable.labels import LabelSet

_NUM_SHOWN = 12
_CELL = (180, 320)


def write_page(path: Path, data: RoadData, found: Inspection, sheet: Pixels | None) -> None:
    """Write the page; plots and examples are inside it.

    Args:
        path: of the page.
        data: what was inspected.
        found: what was found.
        sheet: RGB uint8 of examples, ``None`` where no pair can be read.

    Raises:
        OutputError: where the place is not writable.
    """
    environment = Environment(
        loader=PackageLoader("drivable", "curation/inspection"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("page.html.j2").render(
        root=data.root,
        found=found,
        colors=dict(zip(data.labels.names, data.labels.colors, strict=True)),
        kinds=Counter((finding.severity, finding.kind, finding.remedy) for finding in found.findings),
        shares=_data_url(_shares_plot(found, data.labels), "png"),
        slices=_data_url(_slices_plot(found, data.labels), "png") if found.slices else None,
        brightness=_data_url(_brightness_plot(found), "png") if found.brightness else None,
        sheet=None if sheet is None else _data_url(_jpeg(sheet), "jpeg"),
        suspects=_suspects(data, found),
        percent=lambda value: f"{100 * value:.2f} %",
    )
    write_text(path, page)


def example_sheet(data: RoadData, num_pictures: int = 24, seed: int = 0) -> Pixels:
    """Examples with their labels drawn over them, in rows of four.

    Returns:
        RGB uint8 of one picture sheet.

    Raises:
        DataError: where none of the drawn pairs can be read.
    """
    samples = data.all_samples
    drawn = np.random.default_rng(seed).permutation(len(samples))[:num_pictures]
    overlays = [overlay for index in sorted(drawn) if (overlay := _overlay(samples[index], data.labels)) is not None]
    if not overlays:
        raise DataError(f"{data.root}: none of {len(drawn)} drawn pairs can be read")
    return picture_sheet(overlays, num_columns=4, cell=_CELL)


def _overlay(sample: Sample, labels: LabelSet) -> Pixels | None:
    try:
        image, label_map = read_pair(sample)
    except DataError:
        return None  # The inspection names it; the sheet shows the others.
    return draw_overlay(image, label_map, labels)


def _suspects(data: RoadData, found: Inspection) -> list[tuple[Finding, str]]:
    """The first few findings that a look at the picture decides."""
    by_file = {str(file): sample for sample in data.all_samples for file in (sample.image.file, sample.label.file)}
    shown = (
        (finding, overlay)
        for finding in found.findings
        if finding.path in by_file
        and finding.kind in ("road-above-horizon", "sliver", "hole", "rotated-ids", "ids-0-255", "near-duplicate")
        and (overlay := _overlay(by_file[finding.path], data.labels)) is not None
    )
    return [
        (finding, _data_url(_jpeg(resize_image(overlay, _CELL)), "jpeg"))
        for finding, overlay in islice(shown, _NUM_SHOWN)
    ]


def _shares_plot(found: Inspection, labels: LabelSet) -> bytes:
    figure = Figure(figsize=(10, max(1.6, 0.35 * labels.num_classes)), layout="constrained")
    axes = figure.subplots()
    colors = [tuple(value / 255 for value in color) for color in labels.colors]
    names = [plot_text(name) for name in found.class_shares]
    bars = axes.barh(names, list(found.class_shares.values()), color=colors, edgecolor="#555")
    axes.bar_label(bars, [f"{share:.1%}" for share in found.class_shares.values()], padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="share of the labelled pixels", xlim=(0, 1.08))
    return _png(figure)


def _slices_plot(found: Inspection, labels: LabelSet) -> bytes:
    """Share of all classes but the background, by attribute and value."""
    names = [name for name in labels.names if name != labels.background]
    rows = [
        (plot_text(f"{attribute}: {value} ({values['num_pictures']:.0f})"), [values[name] for name in names])
        for attribute, by_value in found.slices.items()
        for value, values in by_value.items()
    ]
    figure = Figure(figsize=(10, 0.6 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(rows))
    for index, name in enumerate(names):
        shares = np.array([shares[index] for _, shares in rows])
        color = tuple(value / 255 for value in labels.colors[labels.names.index(name)])
        axes.barh([row for row, _ in rows], shares, left=left, color=color, edgecolor="#555", label=plot_text(name))
        left += shares
    axes.invert_yaxis()
    axes.set(xlabel="share of the labelled pixels")
    if len(names) <= 6:
        axes.legend(loc="lower right")
    return _png(figure)


def _brightness_plot(found: Inspection) -> bytes:
    figure = Figure(figsize=(10, 2.2), layout="constrained")
    axes = figure.subplots()
    axes.hist(found.brightness, bins=64, range=(0, 255), color="#777")
    axes.set(xlabel="mean grey of a picture, 0 to 255", ylabel="pictures")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    return buffer.getvalue()


def _jpeg(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _data_url(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
