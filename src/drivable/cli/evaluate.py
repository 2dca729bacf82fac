"""``drivable evaluate``: score a model, or anyone's predictions, on labelled pictures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivable.cli.options import (
    DataOption,
    DeviceOption,
    IdsOption,
    LayoutOption,
    LimitOption,
    PrecisionOption,
    SkipBrokenOption,
    SplitsOption,
    agreed_splits,
    parse_camera,
    parse_size,
)
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError
from drivable.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from drivable.evaluation import Evaluation


def evaluate(
    data: DataOption,
    model: Annotated[
        str | None,
        typer.Argument(
            help=f"A run folder, a checkpoint or exported file or a shipped model's name; {DEFAULT_MODEL} without."
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score the label maps <id>.png in this folder, made by any tool.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, val, test, all, <folder>/<name> or a file of ids.")] = "test",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    attributes: Annotated[
        Path | None, typer.Option(help="CSV (id,weather,scene,timeofday) or BDD100K's JSON, for slices.")
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(help="FOCAL_PX,HEIGHT_M,HORIZON_ROW of the pictures as scored, for distances in metres."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Compare at HEIGHTxWIDTH instead of each picture's own size.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with everything: one HTML file.")] = None,
    limit: LimitOption = None,
    skip_broken: SkipBrokenOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    json: JsonOption = None,
) -> None:
    """Score by every protocol, with intervals, per class and per slice, over a whole split."""
    from drivable.data import open_data, select_split
    from drivable.data.attributes import attributes_for
    from drivable.evaluation import ModelPredictions, StoredPredictions
    from drivable.evaluation import evaluate as run_evaluation
    from drivable.evaluation.report import Report, galleries, write_report
    from drivable.files import file_fingerprint, write_json
    from drivable.progress import progress
    from drivable.segmenter import load

    if model is not None and predictions is not None:
        raise ConfigError("give a model or --predictions, not both")
    at = None if size is None else parse_size(size)
    if precision is not None and predictions is not None:
        raise ConfigError("--precision does not go with --predictions: they are computed already")
    if at is not None and predictions is not None:
        raise ConfigError("--size does not go with --predictions: they are compared at each picture's own size")
    ground = None if camera is None else parse_camera(camera)
    name = model or DEFAULT_MODEL
    segmenter = None if predictions is not None else load(name, device, precision=precision)
    road_data = open_data(data, layout, ids)
    facts = {"command": shlex.join(["drivable", *sys.argv[1:]])}
    predictor: ModelPredictions | StoredPredictions
    if segmenter is not None:
        origin = segmenter.origin
        predictor, remembered = ModelPredictions(segmenter), [origin.splits]
        facts["model"] = f"{name} ({origin.model}, fingerprint {file_fingerprint(Path(origin.path))})"
    if predictions is not None:
        predictor, remembered = StoredPredictions(predictions, road_data.labels), [None]
        facts["predictions"] = str(predictions)
    samples = select_split(road_data, split, agreed_splits(road_data, splits, remembered), limit)
    said = road_data.attributes if attributes is None else attributes_for(attributes, {s.id for s in samples})
    with progress("scoring", len(samples)) as advance:
        evaluation = run_evaluation(predictor, samples, road_data.labels, said, at, skip_broken, ground, advance)
    facts["data"] = f"{data}, split {split}, {evaluation.num_pictures} pictures"
    facts["data fingerprint"] = evaluation.data_fingerprint
    print_evaluation(evaluation)
    if report is not None:
        scored = name if predictions is None else str(predictions)
        page = Report(f"{scored} on {split}", f"What it scores, and where it fails, on {data}.", facts,
                      galleries(predictor, samples, evaluation))  # fmt: skip
        write_report(report, evaluation, page)
        print(f"written: {report}")
    if json is not None:
        named = {"model": name} if predictions is None else {"predictions": str(predictions)}
        write_json(json, {**named, "data": str(data), "split": split, "made": facts, **evaluation.to_dict()})


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the protocols, the classes, the worst slices and the rest."""
    from drivable.evaluation.slices import LEAST_PICTURES, widest_gap
    from drivable.metrics import MEASURES, PROTOCOLS

    at = "their own size" if evaluation.size is None else f"{evaluation.size[0]}x{evaluation.size[1]}"
    broken = f", {evaluation.num_broken} left out as broken" if evaluation.num_broken else ""
    print_table(
        ["protocol", "mean IoU", "95 % from", "to", "what it is"],
        [[name, v.value, v.low, v.high, PROTOCOLS[name].meaning] for name, v in evaluation.protocols.items()],
        title=f"{evaluation.num_pictures} pictures at {at}{broken}",
    )
    strict3 = evaluation.class_ious["strict3"]
    rows = [
        [c.name, "absent" if c.iou != c.iou else c.iou, strict3[c.name].low, strict3[c.name].high,
         c.precision, c.recall, c.f1]
        for c in evaluation.scores.classes
    ]  # fmt: skip
    print_table(["class", "IoU", "95 % from", "to", "precision", "recall", "F1"], rows)
    for note in evaluation.notes:
        print(note)
    if evaluation.safety:
        print_table(
            ["what a driver would mind", "value", "95 % from", "to", "what it is"],
            [[name, v.value, v.low, v.high, MEASURES[name][2]] for name, v in evaluation.safety.items()],
        )
    print_table(
        ["by", "part", "pictures", "strict3", "95 % from", "to"],
        [[p.by, p.value, p.num_pictures, p.strict3.value, p.strict3.low, p.strict3.high] for p in evaluation.slices],
        title="parts, the worst first",
    )
    gap = widest_gap(evaluation.slices)
    if gap is not None:
        print(
            f"{100 * gap.size:.1f} points between {gap.best.by} {gap.best.value} and {gap.worst.by} {gap.worst.value}, "
            f"the best and the worst part of at least {LEAST_PICTURES} pictures"
        )
    print(f"pixel accuracy {evaluation.scores.pixel_accuracy:.4f}")
    if evaluation.reliability is not None:
        print(f"expected calibration error {evaluation.reliability.expected_calibration_error:.4f}")
