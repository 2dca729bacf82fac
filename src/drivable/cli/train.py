"""``drivable train``: fit a model by a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.options import ensure_temporary_folder
from drivable.cli.tables import JsonOption, print_table
from drivable.errors import ConfigError


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A YAML file or a shipped recipe's name, such as lite or course/unet."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data root; wins over the recipe's data.path.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<recipe's name> where not given.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Continue this run folder; --set training.epochs=N may make it longer."),
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Read all pictures first and leave out the broken ones.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Train a model; the best checkpoint is the one with the lowest validation loss."""
    ensure_temporary_folder(resume or out or Path("runs"))
    from drivable.config import load_recipe, with_data_path
    from drivable.training import resumed_recipe
    from drivable.training import train as run_training

    if resume is not None:
        if recipe is not None or out is not None:
            raise ConfigError("--resume continues a run by its own recipe; leave out RECIPE and --out")
        resolved, folder = resumed_recipe(resume, data, changes or []), resume
    elif recipe is None:
        raise ConfigError("which recipe? give a YAML file or a shipped recipe's name, such as lite or course/unet")
    else:
        resolved = with_data_path(load_recipe(recipe, changes or []), data)
        folder = out or Path("runs") / resolved.name

    try:
        result = run_training(resolved, folder, resume=resume is not None, skip_broken=skip_broken)
    except KeyboardInterrupt:
        again = f"drivable train --resume {folder}{' --skip-broken' if skip_broken else ''}"
        kept = f"the last whole epoch is kept. Continue with: {again}" if folder.exists() else "nothing was begun"
        print(f"stopped; {kept}", file=sys.stderr)
        raise typer.Exit(1) from None
    if not result.is_first_process:
        return
    last = result.history[-1] if result.history else {}
    rows = [[key, value] for key, value in last.items()]
    rows += [
        ["best val_loss", result.best_loss],
        ["left out as broken", result.num_broken],
        ["run", str(folder)],
    ]
    print_table(["last epoch", "value"], rows)
    if json is not None:
        from drivable.files import write_json

        write_json(
            json,
            {
                "run": str(folder),
                "best_val_loss": result.best_loss,
                "history": result.history,
                "num_broken": result.num_broken,
            },
        )
