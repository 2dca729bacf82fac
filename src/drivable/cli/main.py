"""The ``drivable`` command: one verb per file, and what a fault looks like to the person at the terminal."""

from __future__ import annotations

import contextlib
import errno
import io
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
from drivable.cli.doctor import doctor
from drivable.cli.drift import drift
from drivable.cli.evaluate import evaluate
from drivable.cli.export import export
from drivable.cli.models import models
from drivable.cli.predict import predict
from drivable.cli.robustness import robustness
from drivable.cli.sweep import sweep
from drivable.cli.train import train
from drivable.errors import ConfigError, DrivableError, printable, shown_address
from drivable.signals import terminated_as_interrupted

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
app.command()(drift)
app.command()(compare)
app.command()(calibrate)
app.command()(robustness)
app.command()(predict)
app.command()(export)
app.command()(benchmark)
app.add_typer(data_app, name="data")
app.command()(models)
app.command()(doctor)
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
    """Run the command: 0 where it did what was asked, 1 on a fault, 2 on wrong use, 130 where it was stopped."""
    # OpenCV reads it when it is imported: images are decoded in several processes, or are the smaller part of the work.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    _open_streams()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    try:
        with terminated_as_interrupted() as stop:
            try:
                app(prog_name="drivable")
            except SystemExit:
                _flush()
                raise
            except Exception as fault:
                if stop.asked:
                    raise SystemExit(_INTERRUPTED) from fault
                raise
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            _say("stopped; nothing is left half-written")
        raise
    except DrivableError as fault:
        _say(str(fault))
        sys.exit(2 if isinstance(fault, ConfigError) else 1)
    except OSError as fault:
        # Of the machine, and not of a file that a reader or writer of ours knows: no temporary folder, for instance.
        _say(f"{fault.filename or 'the system answers'}: {fault.strerror or fault}")
        sys.exit(1)


class _Plain(logging.Formatter):
    """A log line without credentials and without control characters of names."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(shown_address(super().format(record)))


def _say(message: str) -> None:
    # A terminal that was closed takes no more words.
    with contextlib.suppress(OSError):
        print(f"drivable: {printable(shown_address(message))}", file=sys.stderr, flush=True)


def _open_streams() -> None:
    """Give streams that the caller has closed a place to go, and names of any bytes a way to be printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # Takes the lowest free number, which would be the next data file's.
    sys.stdout = sys.stdout or io.StringIO()
    sys.stderr = sys.stderr or io.StringIO()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Write what stands in the buffer of standard output, so that a fault is told and not met while Python ends."""
    try:
        sys.stdout.flush()
    except OSError as fault:
        # Python would try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if fault.errno == errno.EPIPE:
            sys.exit(1)  # Whoever read has gone, as head does.
        raise
