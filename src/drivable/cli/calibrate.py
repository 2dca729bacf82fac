"""``drivable calibrate``: let a model be as sure as it is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.options import DataOption, DeviceOption, IdsOption, LayoutOption, SplitsOption, agreed_splits
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError


def calibrate(
    model: Annotated[str, typer.Argument(help="A run folder, a checkpoint file or a shipped model's name.")],
    data: DataOption,
    split: Annotated[str, typer.Option(help="Labelled pictures that it was not trained on.")] = "val",
    splits: SplitsOption = None,
    layout: LayoutOption = "auto",
    ids: IdsOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Checkpoint to write; without it, the model's own file is replaced.")
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = None,
) -> None:
    """Fit a temperature and a threshold of confidence, and keep them in the checkpoint."""
    from dataclasses import asdict

    from drivable.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
    from drivable.data import open_data, select_split
    from drivable.evaluation.calibrate import calibrate as run_calibration
    from drivable.files import write_json
    from drivable.progress import progress
    from drivable.weights import shipped_models

    path = find_checkpoint(model)
    if out is None and path in shipped_models().values():
        raise ConfigError(f"{model} is part of the package; give --out FILE for its calibrated copy")
    checkpoint = load_checkpoint(path)
    road_data = open_data(data, layout, ids)
    samples = select_split(road_data, split, agreed_splits(road_data, splits, [checkpoint.splits]))
    with progress("calibrating", len(samples)) as advance:
        calibrated, before, after = run_calibration(
            checkpoint, samples, f"{split}, {len(samples)} pictures", device, advance
        )
    save_checkpoint(out or path, calibrated)
    assert calibrated.calibration is not None
    values = {
        **asdict(calibrated.calibration),
        "expected calibration error before": before.expected_calibration_error,
        "expected calibration error": after.expected_calibration_error,
        "written": str(out or path),
    }
    print_table(["calibration", "value"], [[key, value] for key, value in values.items()])
    if json is not None:
        write_json(json, values)
