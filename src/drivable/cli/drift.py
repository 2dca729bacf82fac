"""``drivable drift``: estimate domain shift on images and films without labels."""

from __future__ import annotations

from typing import Annotated

import typer

from drivable.cli.options import DeviceOption, PrecisionOption
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError
from drivable.weights import DEFAULT_MODEL


def drift(
    sources: Annotated[list[str], typer.Argument(help="Images, folders, patterns or films without labels.")],
    model: Annotated[
        str, typer.Option(help="A run folder, a checkpoint or exported file or a shipped model's name.")
    ] = DEFAULT_MODEL,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
    json: JsonOption = None,
) -> None:
    """Estimate without labels how much accuracy a model loses on images or films, and how stable its answers are."""
    from drivable.evaluation.drift import score_sources
    from drivable.files import write_json
    from drivable.imaging.sources import find_sources
    from drivable.segmenter import load

    found_sources = find_sources(sources)
    segmenter = load(model, device, precision=precision)
    calibration = segmenter.origin.calibration
    if calibration is None:
        raise ConfigError(
            f"{model} is not calibrated, so its confidence does not tell domain shift; first run drivable calibrate "
            f"{model} --data DATA"
        )
    found = score_sources(segmenter, calibration, found_sources)
    print_table(
        ["source", "frames", "out of domain", "estimated accuracy", "stability", "flicker", "road"],
        [
            [
                name,
                s.num_frames,
                s.out_of_domain,
                s.estimated_accuracy.value,
                s.stability.value,
                s.flicker.value,
                s.road,
            ]
            for name, s in found.items()
        ],
        title=f"without labels; on {calibration.fitted_on} accuracy is {calibration.accuracy:.4f}",
    )
    print("a confidently wrong model shows no shift, and one that never changes is stable: see docs/scores.md")
    if segmenter.labels.background_id is None:
        print(f"{', '.join(segmenter.labels.names)}: no background among these classes, so no share of road")
    if json is not None:
        write_json(json, {name: scores.to_dict() for name, scores in found.items()})
