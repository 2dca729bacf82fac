"""The ``drivable`` command, and ``python -m drivable``: what stands before the first import of the command itself."""

from __future__ import annotations

import os
import sys

from drivable.signals import terminated_as_interrupted


def main() -> None:
    """Run the command; see :func:`drivable.cli.main.main`. A signal is a stop from the start to the end."""
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() says the same; libraries end the process without a word of it.
    except OSError as fault:
        print(f"drivable: the current folder: {fault.strerror}; change to one that exists", file=sys.stderr)
        sys.exit(1)
    try:
        with terminated_as_interrupted():
            from drivable.cli.main import main as run

            run()
    except KeyboardInterrupt:
        print("drivable: stopped; nothing is left half-written", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
