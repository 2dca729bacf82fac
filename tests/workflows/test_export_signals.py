"""Ctrl-C and other signals while a model is exported, and after exported ones were used."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.export import ExportSettings, LabelledPictures, export_model
from drivable.signals import interrupted_afterwards, stop_asked, terminated_as_interrupted


@pytest.mark.parametrize(
    ("handler", "told"),
    [(signal.default_int_handler, ["ended", "interrupted"]), (signal.SIG_IGN, ["ended"])],
)
def test_an_interrupt_waits_for_the_end_of_the_block(handler: Any, told: list[str]) -> None:
    seen = []
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupted_afterwards():
            signal.raise_signal(signal.SIGINT)
            seen.append("ended")
    except KeyboardInterrupt:
        seen.append("interrupted")
    finally:
        after = signal.signal(signal.SIGINT, before)
    assert seen == told
    assert after is handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("interrupt", [signal.default_int_handler, signal.SIG_IGN], ids=["", "in the background"])
def test_what_is_taken_for_an_interrupt_waits_too(number: signal.Signals, interrupt: Any) -> None:
    seen = []
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with terminated_as_interrupted():
            during = signal.getsignal(number)
            with interrupted_afterwards():
                signal.raise_signal(number)
                seen.append("ended")
            assert signal.getsignal(number) is during
    except KeyboardInterrupt:
        seen.append("interrupted")
    finally:
        signal.signal(signal.SIGINT, before)
    is_ignored = number == signal.SIGINT and interrupt is signal.SIG_IGN
    assert seen == (["ended"] if is_ignored else ["ended", "interrupted"])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_stop_is_known_as_long_as_the_command_runs() -> None:
    with terminated_as_interrupted() as whole:
        with terminated_as_interrupted():
            assert not stop_asked()
            # The fault of the block goes before the interrupt that waits for its end.
            with pytest.raises(ImportError), interrupted_afterwards():
                signal.raise_signal(signal.SIGINT)
                raise ImportError("half a module")
            assert stop_asked()
        assert stop_asked()
        assert whole.asked
    assert not stop_asked()


class Dropping:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("interrupt", [signal.default_int_handler, signal.SIG_IGN], ids=["", "in the background"])
def test_an_interrupt_that_python_drops_comes_again(interrupt: Any, capfd: pytest.CaptureFixture[str]) -> None:
    hook = sys.unraisablehook
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with terminated_as_interrupted(), pytest.raises(KeyboardInterrupt):
            Dropping()
            for _ in range(1000):
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sys.unraisablehook is hook
    assert "Traceback" not in capfd.readouterr().err


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminated_as_interrupted():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_signal_is_survived_after_openvino_models_were_let_go(pictures: LabelledPictures, tmp_path: Path) -> None:
    out = tmp_path / "lite.xml"
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    export_model(checkpoint, out, ExportSettings("openvino", "fp32", (96, 160)), pictures)
    # In a process of its own, which it may end.
    code = f"""
import signal
from pathlib import Path
import numpy as np
from drivable.segmenter import load
first, second = (load(Path({str(out)!r})) for _ in range(2))
for segmenter in (first, second):
    segmenter.segment(np.zeros((96, 160, 3), dtype=np.uint8))
del first, segmenter
del second
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "interrupted"), result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_export_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "lite.onnx"
    command = [sys.executable, "-m", "drivable", "export", "drivable-lite", "--size", "96x160", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    # The file is written under another name, and then checked.
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "nothing is left half-written" in err
    assert list(tmp_path.iterdir()) == []
