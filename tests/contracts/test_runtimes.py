"""Exported files run in the oldest and in the newest runtime that is allowed, to the same ids."""

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement

from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.export import ExportSettings, onnx_file, rendered_pictures
from drivable.export.conversion import _graph, convert
from drivable.imaging.images import Pixels
from drivable.segmenter import load
from drivable.segmenter.description import ExportDescription

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHECKPOINT = load_checkpoint(find_checkpoint("drivable-lite"))
SIZE = (96, 160)
# In a process of its own: files, then pictures, then where the answers go.
RUN = {
    "onnxruntime": """
def open_file(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]
""",
    "openvino": """
def open_file(path):
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled([images])[0]
""",
}
PRECISIONS = ("fp32", "fp16", "int8")


def oldest(package: str) -> str:
    """The least version that is allowed."""
    lines = (Requirement(line) for line in PROJECT["optional-dependencies"]["export"])
    return next(str(line.specifier).removeprefix(">=") for line in lines if line.name == package)


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    return [image for image, _ in rendered_pictures().check[:3]]


@pytest.fixture(scope="module")
def converted() -> Iterator[None]:
    """The graph is followed once; each file begins with a copy of what came out."""
    once = cache(lambda: to_onnx(_graph(CHECKPOINT, ExportSettings("onnx", "fp32", SIZE))))
    to_onnx = onnx_file.to_onnx
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "to_onnx", lambda _: deepcopy(once()))
        yield


@pytest.fixture(scope="module")
def files(converted: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The shipped model in every precision, by runtime; int8 calibrated on few pictures, and not scored."""
    folder = tmp_path_factory.mktemp("exported")
    roads = rendered_pictures()
    few = type(roads)(roads.train[:6], roads.check[:2], roads.labels, roads.name)
    made: dict[str, list[Path]] = {"onnxruntime": [], "openvino": []}
    for runtime, target, suffix in (("onnxruntime", "onnx", ".onnx"), ("openvino", "openvino", ".xml")):
        for precision in PRECISIONS:
            settings = ExportSettings(target, precision, SIZE)  # type: ignore[arg-type]
            about = ExportDescription(
                CHECKPOINT.labels, CHECKPOINT.spec.model_dump(mode="json"), "", precision, SIZE, "ids", "exact"
            )
            candidates, _ = convert(CHECKPOINT, settings, few)
            made[runtime].append(folder / f"{precision}{suffix}")
            candidates[0]()[0](made[runtime][-1], about)
    return made


def answers_of(python: str, runtime: str, files: list[Path], pictures: list[Pixels], folder: Path) -> Any:
    """Ids (files, pictures, H, W) by the runtime of a Python."""
    np.save(folder / "pictures.npy", np.stack(pictures))
    code = f"""
import sys
import numpy as np
import {runtime}
{RUN[runtime]}
pictures = np.load(sys.argv[1])
answers = [[run(picture[None])[0] for picture in pictures] for run in map(open_file, sys.argv[3:])]
np.save(sys.argv[2], np.array(answers))
"""
    out = folder / "answers.npy"
    command = [python, "-c", code, str(folder / "pictures.npy"), str(out), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False)
    assert done.returncode == 0, done.stderr
    return np.load(out), done.stderr


@pytest.fixture(scope="module")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """From a package to a Python that has its oldest allowed version. Needs the package index; without it, it fails."""

    def make(package: str) -> str:
        folder = tmp_path_factory.mktemp("oldest") / package
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        python = str(folder / "bin" / "python")
        command = [python, "-m", "pip", "install", "-q", f"{package}=={oldest(package)}", "numpy"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"the oldest {package} cannot be installed: {done.stderr}"
        return python

    return make


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUN)
def test_files_run_in_the_oldest_and_the_newest_runtime(
    runtime: str, files: dict[str, list[Path]], pictures: list[Pixels], old_python: Any, tmp_path: Path
) -> None:
    named = files[runtime]
    # As this tool runs them, but for int8 in OpenVINO, where it resizes in a way of its own.
    expected = np.array([[load(file, "cpu").segment(picture) for picture in pictures] for file in named])
    assert all(len(np.unique(ids)) == 3 for ids in expected)
    for python in (sys.executable, old_python(runtime)):
        answers, told = answers_of(python, runtime, named, pictures, tmp_path)
        assert answers.shape == expected.shape
        assert answers.dtype == np.uint8
        changed = (answers != expected).mean(axis=(1, 2, 3))
        # Kernels round int8 in more than one way.
        for precision, share in zip(PRECISIONS, changed, strict=True):
            assert share < (0.01 if precision == "int8" else 0.0005), (python, precision, share)
        assert "not used by any node" not in told


@pytest.mark.slow
def test_products_with_fixed_matrices_stay_in_float(converted: None) -> None:
    source = onnx_file.quantizable(onnx_file.to_onnx(None))  # type: ignore[arg-type]
    fixed = {tensor.name for tensor in source.graph.graph.initializer}
    products = {
        node.name for node in source.graph.graph.node if node.op_type == "MatMul" and fixed.intersection(node.input)
    }
    # lite has no other products: all but convolutions resize.
    assert products
    assert products <= set(source.outside)
    assert not {node.name for node in source.graph.graph.node if node.op_type == "Conv"} & set(source.outside)
