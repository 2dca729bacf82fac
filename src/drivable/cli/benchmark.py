"""``drivable benchmark``: models in any runtime, timed side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from drivable.cli.options import (
    DeviceOption,
    IdsOption,
    LayoutOption,
    SplitsOption,
    agreed_splits,
    parse_size,
    require_data,
)
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError

if TYPE_CHECKING:
    from drivable.benchmark import Contender, Row
    from drivable.segmenter import TorchPrecision

# Of the pictures, in pixels.
_LEAST_SIDE = 32


def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Run folders, checkpoint or exported files, shipped models' or architectures' names (random weights).",
        ),
    ],
    against: Annotated[
        list[Path] | None, typer.Option(help="An ONNX file of another tool, to be timed beside them; may be repeated.")
    ] = None,
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the pictures.")] = "360x640",
    threads: Annotated[int | None, typer.Option(min=1, help="Of one picture; all cores without.")] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Every model segments one picture in each.")] = 30,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at once, for the second throughput.")] = 4,
    data: Annotated[str | None, typer.Option(help="Labelled pictures, to score the models on too.")] = None,
    split: Annotated[str, typer.Option(help="train, val, test, all, <folder>/<name> or a file of ids.")] = "test",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    plot: Annotated[Path | None, typer.Option(help="PNG of score against time; needs --data.")] = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        Literal["fp32", "bf16", "both"], typer.Option(help="Of what torch runs; exported files have theirs.")
    ] = "fp32",
    json: JsonOption = None,
) -> None:
    """Time models in turns, in one run, against what this machine can do."""
    from dataclasses import asdict, replace

    from drivable.benchmark import (
        WARM_S,
        Settings,
        foreign,
        machine,
        open_contender,
        write_pareto_plot,
    )
    from drivable.benchmark import benchmark as run_benchmark
    from drivable.files import write_json
    from drivable.optional import num_cores
    from drivable.progress import progress
    from drivable.segmenter import is_exported

    require_data(data, splits, layout, ids)
    if plot is not None and data is None:
        raise ConfigError("--plot shows scores against time; give labelled pictures with --data")
    if plot is not None and plot.suffix != ".png":
        raise ConfigError(f"--plot {plot}: expected the name of a .png file")
    settings = Settings(parse_size(size), rounds, batch, threads or num_cores(), device)
    if min(settings.size) < _LEAST_SIDE:
        raise ConfigError(f"--size {size}: roads are rendered at {_LEAST_SIDE}x{_LEAST_SIDE} or more")
    contenders = []
    in_torch: list[TorchPrecision] = ["fp32", "bf16"] if precision == "both" else [precision]
    for model in models:
        kinds: Sequence[TorchPrecision | None] = [None] if is_exported(model) else in_torch
        contenders += [open_contender(model, settings.size, device, settings.num_threads, kind) for kind in kinds]
    contenders += [foreign(path, settings.num_threads) for path in against or []]
    scores = {} if data is None else _scores(contenders, data, split, splits, layout, ids)
    with progress("timing", None) as advance:
        rows, ceilings = run_benchmark(contenders, settings, advance)
    rows = [replace(row, strict3=scores.get(index)) for index, row in enumerate(rows)]
    print_table(list(_told(rows[0])), [list(_told(row).values()) for row in rows], machine(settings.num_threads))
    for kind, ceiling in ceilings.items():
        print(
            f"limit in {kind}, 1e9 operations a second: {ceiling.product_gops:.0f} in products, "
            f"{ceiling.convolution_gops:.0f} in convolutions"
        )
    print(
        f"{rounds} rounds in turns, each after {1e3 * WARM_S:.0f} ms to warm up; pictures are rendered roads, from "
        "memory to label map, and from JPEG"
    )
    if json is not None:
        write_json(json, [asdict(row) for row in rows])
    if plot is not None:
        write_pareto_plot(plot, rows)
        print(f"written: {plot}")


def _told(row: Row) -> dict[str, Any]:
    """A row under the table's column names."""
    return {
        "model": row.model,
        "runtime": row.runtime,
        "precision": row.precision,
        "pictures": f"{row.height}x{row.width}",
        "p50 ms": row.p50_ms,
        "p95 ms": row.p95_ms,
        "p50 ms from JPEG": row.p50_with_io_ms,
        "p95 ms from JPEG": row.p95_with_io_ms,
        "pictures/s": row.images_per_s,
        f"pictures/s, {row.batch} at once": row.batch_images_per_s,
        "peak MiB": row.peak_mib,
        "size MiB": row.size_mib,
        "GMACs": row.gmacs,
        "share of the limit": row.ceiling_share,
        "strict3": row.strict3,
    }


def _scores(
    contenders: list[Contender], data: str, split: str, splits: str | None, layout: str, ids: str | None
) -> dict[int, float]:
    """``strict3`` by place of those that can be scored."""
    from drivable.data import open_data, select_split
    from drivable.evaluation import ModelPredictions, evaluate
    from drivable.progress import progress

    road_data = open_data(data, layout, ids)
    known = {index: each.segmenter for index, each in enumerate(contenders) if each.segmenter is not None}
    remembered = [segmenter.origin.splits for segmenter in known.values()]
    samples = select_split(road_data, split, agreed_splits(road_data, splits, remembered))
    scores = {}
    for index, segmenter in known.items():
        with progress(f"scoring {contenders[index].name}", len(samples)) as advance:
            evaluation = evaluate(ModelPredictions(segmenter), samples, road_data.labels, on_sample=advance)
        scores[index] = evaluation.scores.strict3
    return scores
