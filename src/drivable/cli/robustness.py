"""``drivable robustness``: what is left of a score when the picture goes bad."""

from __future__ import annotations

from typing import Annotated

import typer

from drivable.cli.options import (
    DataOption,
    DeviceOption,
    IdsOption,
    LayoutOption,
    LimitOption,
    SplitsOption,
    agreed_splits,
)
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError
from drivable.weights import DEFAULT_MODEL


def robustness(
    data: DataOption,
    model: Annotated[
        str, typer.Argument(help="A run folder, a checkpoint or exported file or a shipped model's name.")
    ] = DEFAULT_MODEL,
    split: Annotated[str, typer.Option(help="train, val, test, all, <folder>/<name> or a file of ids.")] = "test",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this corruption; may be repeated.")] = None,
    strengths: Annotated[str, typer.Option(help="Of 1,2,3,4,5.")] = "1,2,3,4,5",
    limit: LimitOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = None,
) -> None:
    """Score night, glare, rain, fog, motion blur, noise, JPEG and a dirty lens in five strengths."""
    from drivable.data import open_data, select_split
    from drivable.evaluation.robustness import robustness as run_robustness
    from drivable.files import write_json
    from drivable.imaging.corruptions import CORRUPTIONS
    from drivable.progress import progress
    from drivable.segmenter import load

    try:
        levels = [int(text) for text in strengths.split(",")]
    except ValueError as fault:
        raise ConfigError(f"strengths '{strengths}': expected numbers of 1 to 5, such as 1,3,5") from fault
    segmenter = load(model, device)
    road_data = open_data(data, layout, ids)
    samples = select_split(road_data, split, agreed_splits(road_data, splits, [segmenter.origin.splits]), limit)
    with progress("corrupting and scoring", len(samples)) as advance:
        found = run_robustness(segmenter, samples, road_data.labels, only or list(CORRUPTIONS), levels, advance)
    print_table(
        ["corruption", *(f"strength {level}" for level in levels), "mean drop"],
        [
            [name, *(found.corrupted[name][level] for level in levels), found.drop(name)]
            for name in sorted(found.corrupted, key=lambda name: -found.drop(name))
        ],
        title=f"strict3 on {found.num_pictures} pictures; clean {found.clean:.4f}",
    )
    print(f"mean relative drop {found.mean_drop:.4f}")
    if json is not None:
        write_json(json, {"model": model, "data": str(data), "split": split, **found.to_dict()})
