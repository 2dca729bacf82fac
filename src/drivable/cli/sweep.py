"""``drivable sweep``: studies of a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from drivable.cli.options import DataOption, ensure_temporary_folder
from drivable.cli.tables import JsonOption, print_table


def sweep(
    studies: Annotated[list[Path], typer.Argument(help="YAML files, such as configs/studies/*.yaml.")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Folder for runs/, tables and plots; the same one goes on.")] = Path(
        "runs/studies"
    ),
    json: JsonOption = None,
) -> None:
    """Train every run of the studies, or go on with them, and put each study's runs side by side."""
    ensure_temporary_folder(out)
    from drivable.config import load_study
    from drivable.files import write_json
    from drivable.training import sweep as run_sweep

    loaded = [load_study(path) for path in studies]
    results = {}
    for study in loaded:

        def announce(run: str, number: int, total: int | None, study: str = study.name) -> None:
            print(f"{study}: run {number} of {total}, {run}", file=sys.stderr)

        try:
            rows = run_sweep(study, data, out, announce)
        except KeyboardInterrupt:
            print("stopped; give the same command again to go on", file=sys.stderr)
            raise typer.Exit(1) from None
        results[study.name] = rows
        table = [row.to_row() for row in rows]
        columns = list(dict.fromkeys(column for row in table for column in row))
        print_table(columns, [[row.get(column) for column in columns] for row in table], study.question or study.name)
    print(f"written: {out}/" + ", ".join(f"{name}.md, .csv, .json and .png" for name in results))
    if json is not None:
        write_json(json, {name: [row.to_row() for row in rows] for name, rows in results.items()})
    failed = [f"{name} {row.name}" for name, rows in results.items() for row in rows if row.fault is not None]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        raise typer.Exit(1)
