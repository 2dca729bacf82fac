"""``drivable predict``: segment pictures and videos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.options import DeviceOption, PrecisionOption, SkipBrokenOption
from drivable.cli.tables import JsonOption
from drivable.weights import DEFAULT_MODEL


def predict(
    source: Annotated[list[str], typer.Argument(help="Pictures, folders, glob patterns or videos.")],
    out: Annotated[Path, typer.Option(help="Folder for overlays/, label_maps/ and videos.")],
    model: Annotated[
        str, typer.Option(help="A run folder, a checkpoint or exported file or a shipped model's name.")
    ] = DEFAULT_MODEL,
    skip_broken: SkipBrokenOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    json: JsonOption = None,
) -> None:
    """Write overlays and label maps of pictures, and overlay videos of videos."""
    from drivable.errors import one_line
    from drivable.files import make_folder, write_json
    from drivable.imaging.sources import find_sources
    from drivable.imaging.video import read_video_info
    from drivable.prediction import predict as run_prediction
    from drivable.progress import progress
    from drivable.segmenter import load

    sources = find_sources(source, out)
    segmenter = load(model, device, precision=precision)
    make_folder(out)
    total: int | None = len(sources.pictures)
    if sources.videos:
        frames = [read_video_info(path).num_frames for path in sources.videos] if not skip_broken else [None]
        total = None if None in frames else len(sources.pictures) + sum(n for n in frames if n is not None)
    with progress("segmenting", total) as advance:
        result = run_prediction(segmenter, sources, out, skip_broken, advance)
    print(
        f"{result.num_pictures} pictures and {result.num_frames} video frames segmented into {one_line(str(out), 1000)}"
    )
    if result.broken:
        print(f"{len(result.broken)} left out or cut short", file=sys.stderr)
    if json is not None:
        write_json(
            json,
            {
                "out": str(out),
                "num_pictures": result.num_pictures,
                "num_frames": result.num_frames,
                "broken": result.broken,
            },
        )
