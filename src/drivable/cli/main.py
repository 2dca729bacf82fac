"""The ``drivable`` command: one verb per file, and what a fault looks like to the person at the terminal."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer

from drivable import __version__
from drivable.cli.average import average
from drivable.cli.benchmark import benchmark
from drivable.cli.calibrate import calibrate
from drivable.cli.compare import compare
from drivable.cli.data import app as data_app
from drivable.cli.demo import demo
from drivable.cli.evaluate import evaluate
from drivable.cli.export import export
from drivable.cli.models import models
from drivable.cli.predict import predict
from drivable.cli.robustness import robustness
from drivable.cli.sweep import sweep
from drivable.cli.train import train
from drivable.errors import ConfigError, DrivableError
from drivable.interrupt import terminated_as_interrupted

app = typer.Typer(
    help="Drivable-area segmentation: train, score honestly, and run on pictures and video.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train)
app.command()(sweep)
app.command()(average)
app.command()(evaluate)
app.command()(compare)
app.command()(calibrate)
app.command()(robustness)
app.command()(predict)
app.command()(export)
app.command()(benchmark)
app.add_typer(data_app, name="data")
app.command()(models)
app.command()(demo)

_INTERRUPTED = 130  # What Ctrl-C and termination make of a command, by convention 128 + SIGINT.


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"drivable {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command: 0 where it did what was asked, 1 on a fault, 2 on wrong use."""
    # OpenCV reads it when it is imported: images are decoded in several processes, or are the smaller part of the work.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        with terminated_as_interrupted():
            app(prog_name="drivable")
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:
            print("drivable: stopped; nothing is left half-written", file=sys.stderr)
        raise
    except DrivableError as fault:
        print(f"drivable: {fault}", file=sys.stderr)
        sys.exit(2 if isinstance(fault, ConfigError) else 1)
