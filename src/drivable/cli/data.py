"""``drivable data``: look at, divide and shrink data folders."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivable.cli.fetch import fetch
from drivable.cli.label_issues import label_issues
from drivable.cli.options import IdsOption, LayoutOption, SkipBrokenOption, parse_size
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError, DataError, OutputError, nearest_match, printable, shown_address

if TYPE_CHECKING:
    from drivable.curation.inspection import Inspection

app = typer.Typer(help="Fetch, check, split, convert and pack data sets.", no_args_is_help=True)
app.command()(fetch)
app.command()(label_issues)

RootArgument = Annotated[str, typer.Argument(help="Data root.")]
_NUM_LINES = 20


@app.command()
def inspect(
    path: RootArgument,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    page: Annotated[Path, typer.Option(help="Page with plots, examples and everything found.")] = Path(
        "inspection.html"
    ),
    sheet: Annotated[Path | None, typer.Option(help="Also a picture of examples with their labels.")] = None,
    cache: Annotated[
        bool, typer.Option(help="Keep what was found, so that a stopped inspection goes on where it was.")
    ] = True,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core where not given.")] = None,
    json: JsonOption = None,
) -> None:
    """Examine pictures, labels and splits; exit with 1 where a fault would spoil a training."""
    from PIL import Image

    from drivable.curation.inspection import example_sheet, write_page
    from drivable.curation.inspection import inspect as run_inspection
    from drivable.data import open_data
    from drivable.files import cache_file, write_json, written_whole
    from drivable.progress import progress

    data = open_data(path, layout, ids, confirmed=False)
    kept = cache_file("inspections", str(data.root.absolute()), "jsonl") if cache else None
    try:
        with progress("examining", len(data.all_samples)) as advance:
            found = run_inspection(data, advance, kept, workers)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here" if cache else "stopped", file=sys.stderr)
        raise typer.Exit(1) from None
    _print_inspection(found)
    try:
        examples = example_sheet(data)
    except DataError:
        examples = None  # No pair can be read, which is among the findings.
    write_page(page, data, found, examples)
    print(f"page: {page}")
    if sheet is not None and examples is not None:
        with written_whole(sheet) as temporary:
            Image.fromarray(examples).save(temporary)
        print(f"examples: {sheet}")
    if json is not None:
        write_json(json, found.to_dict())
    if found.errors:
        raise DataError(f"{path}: {len(found.errors)} faults would spoil a training; {page} shows them all")


def _print_inspection(found: Inspection) -> None:
    from collections import Counter

    pairs = ", ".join(f"{split} {count}" for split, count in found.num_pairs.items())
    sizes = ", ".join(f"{height}x{width} ({count})" for (height, width), count in list(found.sizes.items())[:6])
    print_table(
        ["what", "found"],
        [
            ["layout", found.layout],
            ["pairs", pairs],
            ["pictures without a label", str(found.num_unlabelled)],
            ["sizes", sizes],
            ["ids", ", ".join(str(value) for value in found.ids)],
            ["ignored pixels", f"{found.ignored_share:.2%}"],
        ],
    )
    print_table(
        ["class", "share of pixels", "pictures with it"],
        [[name, f"{share:.2%}", found.pictures_with[name]] for name, share in found.class_shares.items()],
    )
    kinds = Counter((finding.severity, finding.kind, finding.remedy) for finding in found.findings)
    if kinds:
        print_table(["", "kind", "how many", "what to do"], [[*key[:2], num, key[2]] for key, num in kinds.items()])
    for finding in found.faults[:_NUM_LINES]:
        line = f"{finding.severity}: {finding.kind}: {finding.path}: {finding.message}"
        print(printable(shown_address(line)), file=sys.stderr)
    if len(found.faults) > _NUM_LINES:
        print(f"and {len(found.faults) - _NUM_LINES} more", file=sys.stderr)


@app.command()
def split(
    path: RootArgument,
    name: Annotated[str, typer.Option(help="The files go to splits/NAME below the data root.")] = "seeded",
    seed: Annotated[int, typer.Option(help="The same seed deals the same split.")] = 1,
    shares: Annotated[tuple[float, float, float], typer.Option(help="Train, val and test; they add up to 1.")] = (
        0.7,
        0.2,
        0.1,
    ),
    only: Annotated[Path | None, typer.Option(metavar="FILE", help="Split only the ids in this file.")] = None,
    by_drive: Annotated[bool, typer.Option("--by-drive", help="Keep all pictures of one drive in one split.")] = False,
    stratify: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Spread these attributes evenly: weather,timeofday.")
    ] = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    json: JsonOption = None,
) -> None:
    """Divide the labelled pictures at random, reproducibly; the defaults are the course's exact split."""
    from drivable.curation.splits import balanced_split, drive_of, write_split
    from drivable.data import open_data, select_split
    from drivable.data.splits import seeded_split
    from drivable.files import check_name, inside, write_json
    from drivable.reading import is_named

    try:
        check_name(name, "--name")
    except DataError as fault:
        raise ConfigError(str(fault)) from fault
    data = open_data(path, layout, ids)
    folder = inside(data.root, "splits", name)
    if is_named(folder):
        raise OutputError(f"{folder}: exists already; choose another --name or remove it")
    samples = select_split(data, "all" if only is None else str(only))
    chosen = [sample.id for sample in samples]
    if by_drive or stratify:
        names = [name.strip() for name in (stratify or "").split(",") if name.strip()]
        known = sorted({name for values in data.attributes.values() for name in values})
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ConfigError(
                f"--stratify {unknown[0]}: {nearest_match(unknown[0], known)}"
                if known
                else f"--stratify: {path} has no attributes.csv"
            )

        def attributes(key: str) -> Mapping[str, str]:
            return data.attributes.get(key, {})

        parts = balanced_split(
            chosen,
            shares,
            seed,
            (lambda key: drive_of(key, attributes(key))) if by_drive else (lambda key: key),
            lambda key: tuple(attributes(key).get(name) for name in names),
        )
    else:
        parts = seeded_split(chosen, shares, seed)
    write_split(folder, parts)
    print_table(["split", "pictures"], [[part, len(members)] for part, members in parts.items()])
    print(f"written: {folder}")
    if json is not None:
        write_json(json, parts)


@app.command()
def pack(
    source: RootArgument,
    destination: Annotated[Path, typer.Argument(help="A new folder.")],
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the copies, or original.")] = "180x320",
    shards: Annotated[
        int | None, typer.Option(min=1, metavar="PAIRS", help="Write WebDataset's tar files of so many pairs each.")
    ] = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    skip_broken: SkipBrokenOption = False,
    json: JsonOption = None,
) -> None:
    """Copy pictures and masks at a smaller size, in BDD100K's layout or as shards."""
    from drivable.curation.pack import pack as run_packing
    from drivable.data import open_data
    from drivable.files import write_json
    from drivable.progress import progress

    at = None if size == "original" else parse_size(size)
    data = open_data(source, layout, ids)
    with progress("packing", len(data.all_samples)) as advance:
        faults = run_packing(data, destination, at, skip_broken, advance, shards)
    num_bytes = sum(entry.stat().st_size for entry in destination.rglob("*") if entry.is_file())
    num_pairs = len(data.all_samples) - len(faults)
    print(f"{num_pairs} pairs of {size}, {num_bytes / 2**20:.1f} MiB: {destination}")
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    if json is not None:
        write_json(
            json,
            {"num_pairs": num_pairs, "num_bytes": num_bytes, "left_out": [str(fault) for fault in faults]},
        )


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A data root, a folder of label files, or a JSON file.")],
    destination: Annotated[Path, typer.Argument(help="A new folder.")],
    to: Annotated[str, typer.Option(help="bdd100k-masks, bdd100k-polygons, coco-rle, yolop, npy or folder.")],
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of all pictures; only for npy.")] = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    skip_broken: SkipBrokenOption = False,
    json: JsonOption = None,
) -> None:
    """Write labels in another format; pictures, attributes and split files come along."""
    from drivable.curation.conversion import convert as run_conversion
    from drivable.data import open_labels
    from drivable.files import write_json
    from drivable.progress import progress

    at = None if size is None else parse_size(size)
    data = open_labels(source, layout, ids)
    with progress("converting", len(data.all_samples)) as advance:
        faults = run_conversion(data, destination, to, at, skip_broken, advance)
    num_labels = len(data.all_samples) - len(faults)
    print_table(["split", "labels"], [[split or "all", len(samples)] for split, samples in data.samples.items()])
    print(f"{num_labels} labels ({data.layout}) written as {to}: {destination}")
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    if json is not None:
        write_json(json, {"num_labels": num_labels, "from": data.layout, "left_out": [str(f) for f in faults]})
