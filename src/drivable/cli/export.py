"""``drivable export``: a trained model in a form to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from drivable.cli.options import parse_size


def export(
    model: Annotated[str, typer.Argument(help="A run folder, a checkpoint file or a shipped model's name.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    to: Annotated[Literal["checkpoint"], typer.Option(help="checkpoint: one file for this tool.")] = "checkpoint",
    precision: Annotated[Literal["fp32", "fp16"], typer.Option(help="Of the weights.")] = "fp16",
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH that pictures are resized to, where not as it was validated.")
    ] = None,
) -> None:
    """Write a trained model as one small file, checked to be the same model."""
    from drivable.checkpoint import find_checkpoint, load_checkpoint
    from drivable.export import export_checkpoint

    at = None if size is None else parse_size(size)
    agreement = export_checkpoint(load_checkpoint(find_checkpoint(model)), out, precision, at)
    print(
        f"{out}: {out.stat().st_size / 2**20:.2f} MiB; {agreement:.3%} of the pixels of rendered roads keep their class"
    )
