"""Standard output that is closed or full, names that steer a terminal, and a terminal that goes away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivable.cli.main import main

DRIVABLE = f"{sys.executable} -m drivable"


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("models | true", 1, ""),
        pytest.param("--version | true", 1, "", marks=pytest.mark.slow),
        pytest.param("--help | true", 1, "", marks=pytest.mark.slow),
        ("--version > /dev/full", 1, "drivable: the system answers: No space left on device\n"),
        pytest.param("models >&-", 0, "", marks=pytest.mark.slow),
        ("models <&- >&- 2>&-", 0, ""),
    ],
)
def test_standard_output_that_takes_nothing(command: str, code: int, told: str) -> None:
    script = f"set -o pipefail; {DRIVABLE} {command}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (code, told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_that_a_library_makes_a_fault_of_is_an_interrupt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def while_a_class_is_made(*_: object) -> None:
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt as interrupt:
            raise RuntimeError("Error calling __set_name__ on 'Field' instance") from interrupt

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("drivable.cli.models.print_table", while_a_class_is_made)
    monkeypatch.setattr(sys, "argv", ["drivable", "models"])
    try:
        with pytest.raises(SystemExit) as stop:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "drivable: stopped; nothing is left half-written\n"


def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = f"cd {tmp_path}/gone; rmdir ../gone; {DRIVABLE} models"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "drivable: the current folder: No such file or directory; change to one that exists\n"


def test_an_interrupt_while_the_command_itself_is_imported(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    result = subprocess.run([*DRIVABLE.split(), "models"], capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (130, "drivable: stopped; nothing is left half-written\n")


def test_names_of_files_do_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a\x1b[2Jb\udcff"
    folder.mkdir()
    monkeypatch.setattr(sys, "argv", ["drivable", "data", "inspect", str(folder)])
    with pytest.raises(SystemExit) as stop:
        main()
    told = capsys.readouterr()
    assert stop.value.code == 1
    assert "a?[2Jb?" in told.err
    assert "\x1b" not in told.out + told.err


def test_a_fault_of_the_machine_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_folder(*_: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found", "/tmp/x\x1b")

    monkeypatch.setattr("drivable.cli.models.print_table", no_folder)
    monkeypatch.setattr(sys, "argv", ["drivable", "models"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err == "drivable: /tmp/x?: No usable temporary directory found\n"


STOPPED = """
import sys, time
from drivable.cli import main as entry
from drivable.files import written_whole
from pathlib import Path
def work(*_, **__):
    with written_whole(Path(sys.argv[1])) as temporary:
        temporary.mkdir()
        print("begun", flush=True)
        time.sleep(60)
entry.app = work
entry.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("is_ignored", [False, True], ids=["", "nohup"])
def test_signals_leave_nothing(number: signal.Signals, is_ignored: bool, tmp_path: Path) -> None:
    ignored = signal.SIGHUP if is_ignored else None
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=None if ignored is None else lambda: signal.signal(ignored, signal.SIG_IGN),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(number)
    if number == ignored:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
    assert process.wait(20) != 0
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_that_is_closed_leaves_nothing(tmp_path: Path) -> None:
    master, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "out")],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(terminal)
    deadline = time.monotonic() + 30
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert list(tmp_path.iterdir())
    os.close(master)
    assert process.wait(20) != 0
    assert list(tmp_path.iterdir()) == []
