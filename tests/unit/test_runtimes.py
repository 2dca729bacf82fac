"""Libraries that are not always installed."""

import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivable.errors import ConfigError
from drivable.optional import need
from drivable.segmenter.openvino import current_openvino


def test_a_runtime_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"not installed: pip install 'drivable\[export\]'"):
        need("no_such_runtime", "running files")


def test_a_runtime_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_runtime.py").write_text("raise ImportError('libgomp.so.1: no such file')")
    (tmp_path / "lacking_runtime.py").write_text("import no_such_dependency")
    with pytest.raises(ConfigError, match="does not load: libgomp"):
        need("broken_runtime", "running files")
    with pytest.raises(ConfigError, match="does not load: No module named 'no_such_dependency'"):
        need("lacking_runtime", "running files")


def test_an_openvino_that_gives_wrong_classes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(__version__="2025.4.1-20426-release"))
    with pytest.raises(
        ConfigError, match=r"OpenVINO 2025.4.1.* gives wrong classes; pip install --upgrade 'openvino>="
    ):
        current_openvino()


def test_an_interrupt_waits_until_a_library_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    # As compiled modules do: what goes wrong in their initialisation becomes an ImportError.
    code = """
import signal
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt as interrupt:
    raise ImportError("initialization failed") from interrupt
"""
    (tmp_path / "interrupted_runtime.py").write_text(code)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            need("interrupted_runtime", "running files")
    finally:
        signal.signal(signal.SIGINT, before)
