"""``drivable doctor``: what is installed, what the machine can do, what to mend."""

from __future__ import annotations

import sys

import typer

from drivable.cli.tables import JsonOption, print_table


def doctor(json: JsonOption = None) -> None:
    """Show versions, runtimes, devices and what this machine can do; 1 where something is wrong, with its remedy."""
    from dataclasses import asdict

    from drivable.doctor import diagnose
    from drivable.files import write_json

    findings = diagnose()
    print_table(["what", "found"], [[finding.what, finding.found] for finding in findings])
    if json is not None:
        write_json(json, [asdict(finding) for finding in findings])
    wrong = [finding for finding in findings if finding.remedy is not None]
    for finding in wrong:
        print(f"{finding.what}: {finding.found}\n  remedy: {finding.remedy}", file=sys.stderr)
    if wrong:
        raise typer.Exit(1)
    print("nothing is wrong")
