"""``drivable data label-issues``: list the images whose labels a sure model contradicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from drivable.cli.options import (
    DeviceOption,
    IdsOption,
    LayoutOption,
    PrecisionOption,
    SkipBrokenOption,
    SplitsOption,
    agreed_splits,
)
from drivable.cli.tables import print_table
from drivable.weights import DEFAULT_MODEL


def label_issues(
    data: Annotated[str, typer.Argument(help="Data root with labels: a folder, or an address such as s3://.")],
    out: Annotated[Path, typer.Option(help="Work list to write, the worst issue first.")],
    form: Annotated[Literal["scalabel", "cvat"], typer.Option("--for", help="Labelling tool.")] = "scalabel",
    model: Annotated[
        str, typer.Option(help="A run folder, a checkpoint or exported file or a shipped model's name.")
    ] = DEFAULT_MODEL,
    split: Annotated[str, typer.Option(help="train, val, test, all, <folder>/<name> or a file of ids.")] = "all",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    skip_broken: SkipBrokenOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
) -> None:
    """Find labels that a sure model contradicts, and write the images as a work list for a labelling tool."""
    from drivable.data import open_data, select_split
    from drivable.evaluation import ModelPredictions, evaluate
    from drivable.evaluation.label_errors import KINDS, suspects, write_work_list
    from drivable.progress import progress
    from drivable.segmenter import load

    segmenter = load(model, device, precision=precision)
    road_data = open_data(data, layout, ids)
    samples = select_split(road_data, split, agreed_splits(road_data, splits, [segmenter.origin.splits]))
    with progress("scoring", len(samples)) as advance:
        evaluation = evaluate(
            ModelPredictions(segmenter), samples, road_data.labels, skip_broken=skip_broken, on_sample=advance
        )
    found = suspects([(p.id, p.doubt) for p in evaluation.pictures if p.doubt is not None])
    write_work_list(out, form, found, {s.id: str(getattr(s.image, "file", s.id)) for s in samples})
    print_table(
        ["label issue", "images", "what it is"],
        [[kind, sum(suspect.kind == kind for suspect in found), meaning] for kind, meaning in KINDS.items()],
        title=f"{len(found)} of {evaluation.num_pictures} images",
    )
    print(f"written: {out}")
