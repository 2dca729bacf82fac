"""One trial a signal and command of ``benchmarks/signals.py``: nothing half-written, and the same result afterwards."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/signals.py"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "predict", "export", "pack", "convert", "sweep"])
def test_a_stopped_command_leaves_nothing_half_written_and_comes_to_the_same(command: str) -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--per-signal", "1", "--commands", command], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == "3 trials, 0 with something wrong"
