"""``drivable evaluate``: score a model on labelled pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from drivable.cli.options import (
    DataOption,
    DeviceOption,
    IdsOption,
    LayoutOption,
    SkipBrokenOption,
    SplitsOption,
    agreed_splits,
    parse_size,
)
from drivable.cli.tables import JsonOption, print_table
from drivable.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from drivable.evaluation import Evaluation


def evaluate(
    data: DataOption,
    model: Annotated[
        str, typer.Argument(help="A run folder, a checkpoint file or a shipped model's name.")
    ] = DEFAULT_MODEL,
    split: Annotated[str, typer.Option(help="train, val, test, all, <folder>/<name> or a file of ids.")] = "test",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    size: Annotated[
        str | None, typer.Option(help="Compare at HEIGHTxWIDTH instead of each picture's own size.")
    ] = None,
    skip_broken: SkipBrokenOption = False,
    device: DeviceOption = "auto",
    json: JsonOption = None,
) -> None:
    """Score a model by every protocol, per class, over a whole split."""
    from drivable.data import open_data, select_split
    from drivable.evaluation import evaluate as run_evaluation
    from drivable.files import write_json
    from drivable.progress import progress
    from drivable.segmenter import load

    at = None if size is None else parse_size(size)
    segmenter = load(model, device)
    road_data = open_data(data, layout, ids)
    samples = select_split(road_data, split, agreed_splits(road_data, splits, [segmenter.checkpoint.recipe]))
    with progress("scoring", len(samples)) as advance:
        evaluation = run_evaluation(segmenter, samples, road_data.labels, at, skip_broken, advance)
    print_evaluation(evaluation)
    if json is not None:
        write_json(json, {"model": model, "data": str(data), "split": split, **evaluation.to_dict()})


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the protocols and the classes."""
    from drivable.metrics import PROTOCOLS

    scores = evaluation.scores
    protocols = scores.to_dict()["protocols"]
    at = "their own size" if evaluation.size is None else f"{evaluation.size[0]}x{evaluation.size[1]}"
    broken = f", {evaluation.num_broken} left out as broken" if evaluation.num_broken else ""
    print_table(
        ["protocol", "mean IoU", "what it is"],
        [[name, protocols[name], meaning] for name, meaning in PROTOCOLS.items()],
        title=f"{evaluation.num_pictures} pictures at {at}{broken}",
    )
    rows = [[c.name, c.iou, c.precision, c.recall, c.f1] for c in scores.classes]
    print_table(["class", "IoU", "precision", "recall", "F1"], rows)
    print(f"pixel accuracy {scores.pixel_accuracy:.4f}")
