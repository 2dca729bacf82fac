"""Tables on standard output, and the option that writes them as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from drivable.errors import printable, shown_address

JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the results here.")]

Cell = str | int | float | None


def print_table(headers: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Print a table; numbers stand right-aligned, a missing value is a dash."""
    table = Table(box=SIMPLE, title=title, title_justify="left", pad_edge=False)
    for index, header in enumerate(headers):
        is_number = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(header, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(format_cell(cell) for cell in row))
    # Into a pipe a table has all the width it needs.
    console = Console(width=None if sys.stdout.isatty() else 1000, markup=False, highlight=False)
    console.print(table)


def format_cell(cell: Cell) -> str:
    """Text of one cell: floats with four significant digits or four decimals."""
    if cell is None or cell != cell:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4f}" if 0.01 <= abs(cell) < 1 else f"{cell:.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return printable(shown_address(str(cell)))
