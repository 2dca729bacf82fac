"""``drivable data``: look at, divide and shrink data folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.options import LayoutOption, SkipBrokenOption, parse_size
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import DataError, OutputError

app = typer.Typer(help="Look at, divide and shrink data folders.", no_args_is_help=True)

PathArgument = Annotated[Path, typer.Argument(help="Data root.")]


@app.command()
def inspect(
    path: PathArgument,
    layout: LayoutOption = "auto",
    sheet: Annotated[Path, typer.Option(help="Picture of examples with their labels.")] = Path("sheet.jpg"),
    json: JsonOption = None,
) -> None:
    """Count pairs, sizes and classes, name what cannot be read, and draw a sheet of examples."""
    from PIL import Image

    from drivable.data import open_data
    from drivable.data.inspection import example_sheet
    from drivable.data.inspection import inspect as run_inspection
    from drivable.files import write_json, written_whole
    from drivable.progress import progress

    data = open_data(path, layout)
    with progress("reading", len(data.all_samples)) as advance:
        found = run_inspection(data, advance)
    pairs = ", ".join(f"{split} {count}" for split, count in found.num_pairs.items())
    sizes = ", ".join(f"{height}x{width} ({count})" for (height, width), count in list(found.sizes.items())[:6])
    print_table(
        ["what", "found"],
        [
            ["layout", found.layout],
            ["pairs", pairs],
            ["pictures without a mask", str(found.num_unlabelled)],
            ["masks without a picture", str(len(found.orphans))],
            ["unreadable pairs", str(len(found.faults))],
            ["sizes", sizes],
            ["ignored pixels", f"{found.ignored_share:.2%}"],
        ],
    )
    print_table(
        ["class", "share of pixels", "pictures with it"],
        [[name, f"{share:.2%}", found.pictures_with[name]] for name, share in found.class_shares.items()],
    )
    for fault in [*found.faults, *(f"{orphan}: mask without its picture" for orphan in found.orphans)][:20]:
        print(fault, file=sys.stderr)
    with written_whole(sheet) as temporary:
        Image.fromarray(example_sheet(data)).save(temporary)
    print(f"examples: {sheet}")
    if json is not None:
        write_json(json, found.to_dict())
    if found.faults or found.orphans:
        raise DataError(f"{path}: {len(found.faults)} unreadable pairs, {len(found.orphans)} masks without a picture")


@app.command()
def split(
    path: PathArgument,
    name: Annotated[str, typer.Option(help="The files go to splits/NAME below the data root.")] = "seeded",
    seed: Annotated[int, typer.Option(help="The same seed deals the same split.")] = 1,
    shares: Annotated[tuple[float, float, float], typer.Option(help="Train, val and test; they add up to 1.")] = (
        0.7,
        0.2,
        0.1,
    ),
    ids: Annotated[Path | None, typer.Option(help="Split only the ids in this file.")] = None,
    layout: LayoutOption = "auto",
    json: JsonOption = None,
) -> None:
    """Divide the labelled pictures at random, reproducibly; the defaults are the course's exact split."""
    from drivable.data import open_data, seeded_split, select_split, write_split
    from drivable.files import write_json

    data = open_data(path, layout)
    folder = data.root / "splits" / name
    if folder.exists():
        raise OutputError(f"{folder}: exists already; choose another --name or remove it")
    samples = select_split(data, "all" if ids is None else str(ids))
    parts = seeded_split([sample.id for sample in samples], shares, seed)
    write_split(folder, parts)
    print_table(["split", "pictures"], [[part, len(members)] for part, members in parts.items()])
    print(f"written: {folder}")
    if json is not None:
        write_json(json, parts)


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(help="Data root.")],
    destination: Annotated[Path, typer.Argument(help="A new folder.")],
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of the copies.")] = "180x320",
    layout: LayoutOption = "auto",
    skip_broken: SkipBrokenOption = False,
    json: JsonOption = None,
) -> None:
    """Copy pictures and masks at a smaller size in BDD100K's layout."""
    from drivable.data import open_data
    from drivable.data.pack import pack as run_packing
    from drivable.files import write_json
    from drivable.progress import progress

    data = open_data(source, layout)
    with progress("packing", len(data.all_samples)) as advance:
        faults = run_packing(data, destination, parse_size(size), skip_broken, advance)
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
    skip_broken: SkipBrokenOption = False,
    json: JsonOption = None,
) -> None:
    """Write labels in another format; pictures, attributes and split files come along."""
    from drivable.data import open_labels
    from drivable.data.conversion import convert as run_conversion
    from drivable.files import write_json
    from drivable.progress import progress

    at = None if size is None else parse_size(size)
    data = open_labels(source, layout)
    with progress("converting", len(data.all_samples)) as advance:
        faults = run_conversion(data, destination, to, at, skip_broken, advance)
    num_labels = len(data.all_samples) - len(faults)
    print_table(["split", "labels"], [[split or "all", len(samples)] for split, samples in data.samples.items()])
    print(f"{num_labels} labels ({data.layout}) written as {to}: {destination}")
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    if json is not None:
        write_json(json, {"num_labels": num_labels, "from": data.layout, "left_out": [str(f) for f in faults]})
