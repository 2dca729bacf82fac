"""A command to run, and a model to run it with, that many workflows share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from drivable.cli.main import main

Run = Callable[..., tuple[int, str, str]]
SMALL = [
    "--set", "model.pretrained=null", "--set", "data.size=[64, 96]", "--set", "data.num_workers=0",
    "--set", "training.epochs=1", "--set", "training.accelerator=cpu",
]  # fmt: skip


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["drivable", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture(scope="module")
def trained(rendered_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of one epoch."""
    folder = tmp_path_factory.mktemp("runs") / "one"
    sys.argv = ["drivable", "train", "lite", "--data", str(rendered_data), "--out", str(folder), *SMALL]
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    return folder
