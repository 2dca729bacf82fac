"""``drivable average``: one model of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def average(
    models: Annotated[
        list[str], typer.Argument(help="Run folders, checkpoint files or shipped models' names; two or more.")
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")],
) -> None:
    """Average the weights of runs that went on from the same weights: often better than each."""
    from drivable.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
    from drivable.training import average as average_weights

    save_checkpoint(out, average_weights([load_checkpoint(find_checkpoint(model)) for model in models]))
    print(f"{out}: the average of {len(models)} models; score it with drivable evaluate {out}")
