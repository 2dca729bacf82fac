"""bfloat16 is used where it is fast, and what it costs elsewhere is said."""

import logging
from pathlib import Path

import pytest
import torch
import yaml

from drivable.benchmark import open_contender
from drivable.checkpoint import LAST, load_checkpoint
from drivable.config import Recipe, load_recipe
from drivable.segmenter import devices
from drivable.training import resumed_recipe, train
from drivable.training.sweep import _fingerprint
from drivable.training.train import with_precision

SMALL = ["model.pretrained=null", "data.size=[64, 96]", "data.num_workers=0", "training.epochs=2",
         "training.accelerator=cpu", "training.batch_size=8"]  # fmt: skip


def pretend(monkeypatch: pytest.MonkeyPatch, has_bf16: bool) -> None:
    monkeypatch.setattr(devices, "has_fast_bf16", lambda device: has_bf16)


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("flags\t\t: fpu avx2 avx512f avx512_bf16\n", True),
        ("flags\t\t: fpu avx2 amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd asimddp\n", False),
        ("Features\t: fp asimd asimddp bf16 i8mm\n", True),
        ("model name\t: one that has bf16 in its name\n", False),
    ],
)
def test_what_a_cpu_says_of_itself(
    cpuinfo: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    assert devices.has_fast_bf16(torch.device("cpu")) is expected
    assert not devices.has_fast_bf16(torch.device("mps"))


@pytest.mark.parametrize(("has_avx512_bf16", "expected"), [(True, True), (False, False)])
def test_where_the_system_does_not_say_torch_does(
    has_avx512_bf16: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has_avx512_bf16})
    assert devices.has_fast_bf16(torch.device("cpu")) is expected
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "arm64"})
    assert not devices.has_fast_bf16(torch.device("cpu"))


@pytest.mark.parametrize(
    ("asked", "has_bf16", "expected", "warns"),
    [
        ("auto", True, "bf16-mixed", False),
        ("auto", False, "32-true", False),
        ("bf16-mixed", True, "bf16-mixed", False),
        ("bf16-mixed", False, "bf16-mixed", True),
        ("32-true", False, "32-true", False),
    ],
)
def test_a_recipes_precision(
    asked: str, has_bf16: bool, expected: str, warns: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    pretend(monkeypatch, has_bf16)
    recipe = load_recipe("lite", [*SMALL, f"training.precision={asked}"])
    assert with_precision(recipe).training.precision == expected
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * warns
    assert all("training.precision=auto" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_run_keeps_what_auto_came_to(
    has_bf16: bool, rendered_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, has_bf16)
    changes = [*SMALL, "training.precision=auto", "training.epochs=1", f"data.path={rendered_data}"]
    train(load_recipe("lite", changes), tmp_path / "run")
    expected = "bf16-mixed" if has_bf16 else "32-true"
    assert yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())["training"]["precision"] == expected
    stored = load_checkpoint(tmp_path / "run" / LAST).recipe
    assert stored is not None
    assert stored["training"]["precision"] == expected
    # Elsewhere too.
    pretend(monkeypatch, not has_bf16)
    assert with_precision(resumed_recipe(tmp_path / "run")).training.precision == expected


def test_auto_does_not_change_the_name_of_a_studys_run(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: Recipe = load_recipe("lite", [*SMALL, "training.precision=auto"])
    names = set()
    for has_bf16 in (True, False):
        pretend(monkeypatch, has_bf16)
        names.add(_fingerprint(recipe))
    assert len(names) == 1


@pytest.mark.parametrize("has_bf16", [True, False])
def test_a_model_in_bf16_warns_where_that_is_slow(
    has_bf16: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pretend(monkeypatch, has_bf16)
    open_contender("lite", (64, 96), "cpu")
    assert not caplog.records
    open_contender("lite", (64, 96), "cpu", precision="bf16")
    assert ["no instructions for it" in record.getMessage() for record in caplog.records] == [True] * (not has_bf16)
