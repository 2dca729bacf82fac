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
    out: Annotated[Path, typer.Option(help="Folder for overlays/, label_maps/ and videos.")] = Path("predictions"),
    model: Annotated[
        str, typer.Option(help="A run folder, a checkpoint or exported file or a shipped model's name.")
    ] = DEFAULT_MODEL,
    skip_broken: SkipBrokenOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    json: JsonOption = None,
) -> None:
    """Write overlays and label maps of pictures, and overlay videos of videos."""
    import time

    from drivable.errors import one_line
    from drivable.files import make_folder, write_json
    from drivable.imaging.sources import find_sources
    from drivable.imaging.video import read_video_info
    from drivable.prediction import predict as run_prediction
    from drivable.progress import progress, rate_text
    from drivable.segmenter import load

    sources = find_sources(source, out)
    segmenter = load(model, device, precision=precision)
    make_folder(out)
    total: int | None = len(sources.pictures)
    if sources.videos:
        frames = [read_video_info(path).num_frames for path in sources.videos] if not skip_broken else [None]
        total = None if None in frames else len(sources.pictures) + sum(n for n in frames if n is not None)
    start = time.perf_counter()
    with progress("segmenting", total) as advance:
        result = run_prediction(segmenter, sources, out, skip_broken, advance)
    seconds = time.perf_counter() - start
    counted = [_counted(result.num_pictures, "image")] if sources.pictures else []
    counted += [_counted(result.num_frames, "frame")] if sources.videos else []
    rate = rate_text((result.num_pictures + result.num_frames) / seconds)
    print(f"{' and '.join(counted)} segmented into {one_line(str(out), 1000)}, {rate} a second")
    if result.broken:
        print(f"{len(result.broken)} left out or cut short", file=sys.stderr)
    if json is not None:
        write_json(
            json,
            {
                "out": str(out),
                "num_pictures": result.num_pictures,
                "num_frames": result.num_frames,
                "seconds": seconds,
                "broken": result.broken,
            },
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
