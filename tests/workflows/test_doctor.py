"""What a person sees who asks whether the installation is well."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from drivable import doctor
from drivable.imaging import video
from drivable.optional import num_cores
from drivable.segmenter import devices
from drivable.weights import licence

Run = Callable[..., tuple[int, str, str]]
Breaks = Callable[[pytest.MonkeyPatch, Path], None]


def test_a_healthy_machine_is_told_in_a_table_and_as_json(run: Run, tmp_path: Path) -> None:
    code, out, err = run("doctor", "--json", tmp_path / "doctor.json")
    assert (code, err) == (0, "")
    findings = {each["what"]: each for each in json.loads((tmp_path / "doctor.json").read_text())}
    for what in ("python", "drivable", "torch", "openvino", "onnxruntime", "opencv", "numpy", "av", "torch devices",
                 "cores", "instruction sets", "shared memory", "temporary folder", "H.264 encoders",
                 "licence of the weights", "model by default", "one image"):  # fmt: skip
        assert what in out
        assert findings[what]["found"]
        assert findings[what]["remedy"] is None
    assert findings["cores"]["found"].startswith(f"{num_cores()} of ")
    assert findings["model by default"]["found"].startswith("drivable-lite in torch on ")
    assert "libx264" in findings["H.264 encoders"]["found"]
    assert float(findings["one image"]["found"].split(" ms")[0]) > 0
    assert "not-for-profit" in licence("drivable-lite") == findings["licence of the weights"]["found"]


def _without_room(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(doctor, "_SHARED_MEMORY", folder)
    full, room = SimpleNamespace(free=63 * 2**20), SimpleNamespace(free=64 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full if place == folder else room)


def _without_encoder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(video, "ENCODER", "libnone")


def _with_old_openvino(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(pytest.importorskip("openvino"), "__version__", "2024.6.0")


def _with_broken_runtime(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "broken_runtime.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(doctor, "_LIBRARIES", (("broken_runtime", "broken-runtime", True),))


@pytest.mark.parametrize(
    ("breaks", "what", "remedy"),
    [
        (_without_room, "shared memory", "--shm-size"),
        (_without_encoder, "H.264 encoders", "pip install --force-reinstall --only-binary av av"),
        (_with_old_openvino, "openvino devices", "pip install --upgrade 'openvino>=2026.0'"),
        (_with_broken_runtime, "broken_runtime", "pip install --force-reinstall broken-runtime"),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(
    breaks: Breaks, what: str, remedy: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks(monkeypatch, tmp_path)
    code, _, err = run("doctor", "--json", tmp_path / "doctor.json")
    assert code == 1
    told, advised = err.splitlines()
    assert told.startswith(f"{what}: ")
    assert advised.startswith("  remedy: ")
    assert remedy in advised
    wrong = [each for each in json.loads((tmp_path / "doctor.json").read_text()) if each["remedy"]]
    assert [each["what"] for each in wrong] == [what]


@pytest.mark.parametrize("module", ["torch", "cv2"])
def test_a_library_that_does_not_load_is_told_once(module: str, tmp_path: Path) -> None:
    (tmp_path / f"{module}.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "drivable", "doctor"],
        env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    told, advised = done.stderr.splitlines()
    assert "installed but does not load: libGL.so.1" in told
    assert "pip install --force-reinstall" in advised


def test_a_runtime_that_is_not_installed_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LIBRARIES", (("no_such_runtime", "no-such-runtime", True),))
    finding = next(each for each in doctor.diagnose() if each.what == "no_such_runtime")
    assert finding.remedy is None
    assert "pip install 'drivable[export]'" in finding.found


def test_a_library_that_drivable_needs_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LIBRARIES", (("no_such_library", "no-such-library", False),))
    finding = next(each for each in doctor.diagnose() if each.what == "no_such_library")
    assert finding.remedy == "pip install no-such-library"


def test_instruction_sets_are_the_ones_that_the_system_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: x\nflags\t\t: fpu avx2 amx_bf16\n")
    monkeypatch.setattr(devices, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(doctor.platform, "machine", lambda: "x86_64")
    finding = next(each for each in doctor.diagnose() if each.what == "instruction sets")
    assert finding.found == "avx2, amx_bf16; not avx512f, avx_vnni, avx512_vnni, avx512_bf16, amx_int8"
