"""``drivable evaluate --footage``: numbers about pictures that nobody labelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from drivable.cli.tables import print_table
from drivable.errors import ConfigError

if TYPE_CHECKING:
    from drivable.imaging.images import Pixels
    from drivable.segmenter import TorchPrecision


def score_unlabelled(
    source: list[str], model: str, device: str, precision: TorchPrecision | None, json: Path | None
) -> None:
    """Estimate how far from home a model is on pictures and videos without labels, and how steady its answers are."""
    from drivable.evaluation.footage import score_footage
    from drivable.files import write_json
    from drivable.imaging.images import read_image
    from drivable.imaging.sources import find_sources
    from drivable.imaging.video import read_frames, read_video_info
    from drivable.progress import progress
    from drivable.segmenter import load

    sources = find_sources(source)
    segmenter = load(model, device, precision=precision)
    calibration = segmenter.origin.calibration
    if calibration is None:
        raise ConfigError(
            f"{model} was not calibrated, so its confidence says nothing about footage; first: "
            f"drivable calibrate {model} --data DATA"
        )
    rows, results = [], {}
    groups: dict[str, tuple[int | None, Iterator[Pixels], bool]] = {
        str(path): (read_video_info(path).num_frames, (frame.pixels for frame in read_frames(path)), True)
        for path in sources.videos
    }
    if sources.pictures:
        pictures = (read_image(path) for path in sources.pictures)
        groups["pictures"] = len(sources.pictures), pictures, False
    for name, (num_frames, frames, are_consecutive) in groups.items():
        with progress(f"looking at {name}", num_frames) as advance:

            def counted(frames: Iterator[Pixels] = frames, advance=advance) -> Iterator[Pixels]:  # type: ignore[no-untyped-def]
                for frame in frames:
                    yield frame
                    advance()

            found = score_footage(segmenter, calibration, counted(), are_consecutive)
        results[name] = found.to_dict()
        rows.append(
            [name, found.num_frames, found.out_of_domain, found.estimated_accuracy.value, found.stability.value,
             found.flicker.value, found.road]
        )  # fmt: skip
    print_table(
        ["footage", "frames", "out of domain", "estimated accuracy", "stability", "flicker", "road"],
        rows,
        title=f"without labels; at home ({calibration.fitted_on}) accuracy is {calibration.accuracy:.4f}",
    )
    print("a model that is wrong and sure looks at home, and one that never changes is steady: see docs/scores.md")
    if segmenter.labels.background_id is None:
        print(f"{', '.join(segmenter.labels.names)}: no background among these classes, so no share of road")
    if json is not None:
        write_json(json, results)
