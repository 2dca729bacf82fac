"""Options that several commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from drivable.errors import ConfigError

DataOption = Annotated[Path, typer.Option("--data", help="Data root.")]
LayoutOption = Annotated[str, typer.Option("--layout", help="Layout of the data root; auto recognises it.")]
SplitsOption = Annotated[
    str | None, typer.Option("--splits", help="Folder below splits/ with the files of ids, such as course.")
]
SkipBrokenOption = Annotated[
    bool, typer.Option("--skip-broken", help="Go on past pictures that cannot be read, and count them.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")]


def parse_size(text: str) -> tuple[int, int]:
    """``"360x640"`` -> (360, 640), height before width.

    Raises:
        ConfigError: where the text is no size.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or min(int(match[1]), int(match[2])) < 1:
        raise ConfigError(f"size '{text}': expected HEIGHTxWIDTH in pixels, such as 360x640")
    return int(match[1]), int(match[2])
