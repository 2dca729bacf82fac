"""``drivable compare``: trained models side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.options import (
    DeviceOption,
    IdsOption,
    LayoutOption,
    LimitOption,
    SkipBrokenOption,
    SplitsOption,
    agreed_splits,
    parse_size,
    require_data,
)
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError


def compare(
    runs: Annotated[list[str], typer.Argument(help="Run folders, checkpoint files or shipped models' names.")],
    data: Annotated[
        str | None,
        typer.Option(help="Score all of them here; without it, their validation while training counts."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, val, test, all, <folder>/<name> or a file of ids.")] = "test",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    size: Annotated[str | None, typer.Option(help="Score at HEIGHTxWIDTH instead of the pictures' own size.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for comparison.md, .csv and .png.")] = Path("comparison"),
    limit: LimitOption = None,
    skip_broken: SkipBrokenOption = False,
    device: DeviceOption = "auto",
    json: JsonOption = None,
) -> None:
    """Compare scores, weights, multiply-accumulates and time per picture on this machine."""
    from drivable.checkpoint import find_checkpoint, load_checkpoint
    from drivable.data import Sample, open_data, select_split
    from drivable.evaluation import compared, differences, evaluate, write_comparison
    from drivable.files import write_json
    from drivable.progress import progress
    from drivable.segmenter import TorchSegmenter

    if len(set(runs)) < len(runs):
        raise ConfigError("compare: the same run stands there twice")
    require_data(data, splits, layout, ids)
    if data is None and (size is not None or skip_broken):
        raise ConfigError("--size and --skip-broken say how to score on --data; give it too")
    at = None if size is None else parse_size(size)
    road_data = None if data is None else open_data(data, layout, ids)
    segmenters = [TorchSegmenter(load_checkpoint(find_checkpoint(run)), device) for run in runs]
    samples: tuple[Sample, ...] = ()
    if road_data is not None:
        remembered = [segmenter.origin.splits for segmenter in segmenters]
        samples = select_split(road_data, split, agreed_splits(road_data, splits, remembered), limit)
    models, evaluations = [], {}
    for run, segmenter in zip(runs, segmenters, strict=True):
        path = find_checkpoint(run)
        name = path.parent.name if Path(run).is_dir() else path.stem
        scores = None
        if road_data is not None:
            with progress(f"scoring {run}", len(samples)) as advance:
                evaluations[run] = evaluate(
                    segmenter, samples, road_data.labels, road_data.attributes, at, skip_broken, on_sample=advance
                )
            scores = evaluations[run].to_dict()
        models.append(compared(name, segmenter.checkpoint, segmenter, scores, f"{data} {split}" if data else "-"))
    rows = [model.to_row() for model in models]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    print_table(columns, [[row.get(column) for column in columns] for row in rows])
    tests = differences(evaluations)
    if tests:
        title = f"is the difference real? strict3 on the same {len(samples)} pictures"
        print_table(list(tests[0].to_row()), [list(test.to_row().values()) for test in tests], title=title)
    write_comparison(out, models, tests)
    print(f"written: {out}/comparison.md, .csv and .png")
    if json is not None:
        write_json(json, {"models": rows, "differences": [test.to_row() for test in tests]})
