"""What is said of long work where no bar can move."""

import re
import subprocess
import sys
import time

import pytest

from drivable import progress as module
from drivable.progress import duration, progress, progress_line, rate_text


class Clock:
    """A clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def test_off_a_terminal_there_is_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    with progress("segmenting", 70) as advance:
        for _ in range(70):
            clock.now += 0.5
            advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "segmenting: 20 of 70 (28 %), 2 a second, 25 s left",
        "segmenting: 40 of 70 (57 %), 2 a second, 15 s left",
        "segmenting: 60 of 70 (85 %), 2 a second, 5 s left",
    ]


def test_a_slow_step_makes_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with progress("timing", None) as advance:
        clock.now += 40
        advance()
        advance()
    assert capsys.readouterr().err == "timing: 1, 0.025 a second\n"


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with progress("segmenting", 99) as advance:
        for _ in range(99):
            clock.now += 0.1
            advance()
    assert capsys.readouterr().err == ""


def test_the_interval_is_the_modules(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress("a\x1b[31m https://anna:secret@host/x", 3) as advance:
        advance()
    assert re.fullmatch(r"a\?\[31m https://\*\*\*@host/x: 1 of 3 \(33 %\), .* left\n", capsys.readouterr().err)


def test_more_than_was_expected_is_no_share_above_all() -> None:
    assert progress_line("segmenting", 12, 10, 4.0) == "segmenting: 12, 3 a second"
    assert progress_line("segmenting", 10, 10, 4.0) == "segmenting: 10 of 10 (100 %), 2.5 a second, 0 s left"


def test_what_was_there_before_is_not_counted_as_fast() -> None:
    assert progress_line("downloading", 300, 400, 10.0, num_before=200) == (
        "downloading: 300 of 400 (75 %), 10 a second, 10 s left"
    )
    assert progress_line("downloading", 200, 400, 10.0, num_before=200) == "downloading: 200 of 400 (50 %), 0 a second"


def test_rates_and_times_are_read_at_a_glance() -> None:
    assert [rate_text(rate) for rate in (0.07123, 14.23, 1234.5)] == ["0.0712", "14.2", "1,234"]
    assert [duration(seconds) for seconds in (0.4, 59.6, 200, 3599.6, 7500)] == [
        "0 s", "1 min 0 s", "3 min 20 s", "1 h 0 min", "2 h 5 min",
    ]  # fmt: skip


def test_a_reader_of_the_lines_that_has_gone_stops_nothing() -> None:
    code = (
        "import sys; from drivable import progress as p; p.SECONDS_BETWEEN_LINES = 0.0\n"
        "with p.progress('work', None) as advance:\n"
        "    sys.stdin.read()\n"
        "    for _ in range(3): advance()\n"
        "print('done')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.close()
        assert process.stdout.read() == "done\n"
