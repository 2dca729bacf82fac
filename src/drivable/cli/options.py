"""Options that several commands share."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from drivable.errors import ConfigError, one_line
from drivable.reading import check_network_size, check_size, decimal, reading

if TYPE_CHECKING:
    from drivable.data import RoadData
    from drivable.metrics import GroundCamera

DataOption = Annotated[str, typer.Option("--data", help="Data root: a folder, or an address such as s3://.")]
LayoutOption = Annotated[str, typer.Option("--layout", help="Layout of the data root; auto recognises it.")]
IdsOption = Annotated[
    str | None,
    typer.Option("--ids", help="What mask values mean, where not what their place says: current, 2018 or 0-255."),
]
SplitsOption = Annotated[
    str | None, typer.Option("--splits", help="Folder below splits/ with the files of ids, such as course.")
]
SkipBrokenOption = Annotated[
    bool, typer.Option("--skip-broken", help="Go on past pictures that cannot be read, and count them.")
]
LimitOption = Annotated[
    float | None,
    typer.Option("--limit", min=1e-6, help="For a trial: so many images, or such a share of them, evenly spaced."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps; for .onnx files also tensorrt.")
]
PrecisionOption = Annotated[
    Literal["fp32", "bf16"] | None,
    typer.Option(
        "--precision",
        help="Of what torch runs, fp32 without; bf16 is faster where the processor has it. Exported files have theirs.",
    ),
]


def require_data(data: str | None, splits: str | None, layout: str, ids: str | None) -> None:
    """Refuse what says how to read ``--data`` where that is not given.

    Raises:
        ConfigError: there.
    """
    if data is None and (splits is not None or layout != "auto" or ids is not None):
        raise ConfigError("--splits, --layout and --ids say how to read --data; give it too")


def parse_size(text: str, of_network: bool = False) -> tuple[int, int]:
    """``"360x640"`` -> (360, 640), height before width.

    Args:
        text: what was given.
        of_network: that a network is to work at, which has limits of its own.

    Raises:
        ConfigError: where the text is no size.
    """
    match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})", text)
    if match is None:
        raise ConfigError(f"size '{one_line(text)}': expected HEIGHTxWIDTH in pixels, such as 360x640")
    with reading("--size", ConfigError, hint="expected HEIGHTxWIDTH in pixels, such as 360x640"):
        return (check_network_size if of_network else check_size)(int(match[1]), int(match[2]))


def parse_camera(text: str) -> GroundCamera:
    """``"500,1.5,180"`` -> focal length in pixels, height in metres, row of the horizon.

    Raises:
        ConfigError: where the text is no camera.
    """
    from drivable.metrics import GroundCamera

    try:
        focal_px, height_m, horizon_row = map(decimal, text.split(","))
    except ValueError as fault:
        raise ConfigError(f"camera '{text}': expected FOCAL_PX,HEIGHT_M,HORIZON_ROW, such as 500,1.5,180") from fault
    if focal_px <= 0 or height_m <= 0:
        raise ConfigError(f"camera '{text}': focal length and height must be above 0")
    return GroundCamera(focal_px, height_m, horizon_row)


def agreed_splits(data: RoadData, asked: str | None, remembered: Iterable[str | None]) -> str | None:
    """Folder of split files to score by: the one asked for, else the one that the models were trained by.

    What a model remembers does not bind data that has no such folder.

    Raises:
        ConfigError: where models were trained by different folders and none was asked for.
    """
    if asked is not None:
        return asked
    known = {name if name is not None and (data.root / "splits" / name).is_dir() else None for name in remembered}
    if len(known) > 1:
        named = ", ".join(sorted(str(name) for name in known))
        raise ConfigError(f"the models were trained by different splits ({named}); say which with --splits")
    return known.pop() if known else None


def ensure_temporary_folder(out: Path) -> None:
    """Where the system has no temporary folder that can be written into, use the one that results go to.

    Libraries that training imports do not start without.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.is_dir())
        os.environ["TMPDIR"] = tempfile.tempdir = str(place)
