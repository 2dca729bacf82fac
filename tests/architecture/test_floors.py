"""Least versions of what is installed are at or above the last security fix that concerns us."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Package: (least version, why).
FLOORS = {
    "av": ("18.1.0", "the newest FFmpeg in its wheels; 18.1.1 where the package index has it"),
    "jinja2": ("3.1.6", "CVE-2025-27516: a template leaves the sandbox"),
    "onnx": (
        "1.23",
        "CVE-2026-27489, CVE-2026-34446 and later: external data of a model is read from outside its folder",
    ),
    "opencv-python-headless": ("4.12", "CVE-2025-53644: reading a crafted JPEG uses memory that was never set"),
    "pillow": ("12.3", "CVE-2026-59200, CVE-2026-59197, and CVE-2026-42311 before: crafted files write out of bounds"),
    "python-multipart": ("0.0.27", "CVE-2026-42561, and CVE-2026-40347 before: a request takes all of a CPU"),
    "ray": ("2.60.1", "the token of a local cluster could be read by others; CVE-2026-57516, CVE-2025-62593 before"),
    "starlette": ("1.3.1", "CVE-2026-48710 and later: a Host header passes checks by path"),
    "torch": ("2.10", "CVE-2026-24747: weights_only=True still runs code of a crafted file"),
}


def requirements() -> dict[str, list[Requirement]]:
    lines = [*PROJECT["dependencies"], *(line for extra in PROJECT["optional-dependencies"].values() for line in extra)]
    by_name: dict[str, list[Requirement]] = {}
    for line in lines:
        by_name.setdefault(Requirement(line).name, []).append(Requirement(line))
    return by_name


@pytest.mark.parametrize("name", FLOORS)
def test_no_version_before_the_last_security_fix_is_allowed(name: str) -> None:
    least, why = FLOORS[name]
    found = requirements()[name]
    assert found
    for requirement in found:
        assert any(s.operator == ">=" and s.version == least for s in requirement.specifier), why
