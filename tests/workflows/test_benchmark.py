"""Models timed side by side, and what is said of them."""

import json
import multiprocessing
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from drivable.benchmark import Row, Settings, benchmark, foreign, open_contender
from drivable.benchmark.ceiling import ceiling_loads
from drivable.benchmark.measure import peak_mib
from drivable.benchmark.plot import pareto_front
from drivable.checkpoint import find_checkpoint, load_checkpoint
from drivable.cli.main import app
from drivable.errors import CheckpointError, ConfigError, DrivableError
from drivable.export import ExportSettings, export_model, rendered_pictures
from drivable.models import default_spec
from drivable.models.cost import model_cost

COLUMNS = {
    "model", "runtime", "precision", "height", "width", "p50_ms", "p95_ms", "p50_with_io_ms",
    "p95_with_io_ms", "images_per_s",
    "peak_mib", "size_mib", "ceiling_share",
}  # fmt: skip
ROW = Row("a", "torch", "fp32", 90, 160, 10, 12, 13, 14, 99, 120, 4, 300, 6, 1.0, 0.5)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "lite.onnx"
    checkpoint = load_checkpoint(find_checkpoint("drivable-lite"))
    export_model(checkpoint, path, ExportSettings("onnx", "fp32", (96, 160)), rendered_pictures())
    return path


@pytest.fixture(scope="module")
def other_tools_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "foreign.onnx"
    network = torch.nn.Conv2d(3, 2, 1)
    torch.onnx.export(network, (torch.zeros(1, 3, 64, 96),), path, dynamo=True, verbose=False, external_data=False)
    return path


@pytest.mark.slow
def test_one_table_for_all_runtimes(
    onnx_file: Path, other_tools_file: Path, rendered_data: Path, tmp_path: Path
) -> None:
    told, plot = tmp_path / "rows.json", tmp_path / "plot.png"
    command = [
        "benchmark", "lite", "drivable-lite", str(onnx_file), "--against", str(other_tools_file), "--size", "90x160",
        "--rounds", "3", "--batch", "2", "--threads", "1", "--data", str(rendered_data), "--split", "test",
        "--plot", str(plot), "--json", str(told), "--precision", "both",
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = json.loads(told.read_text())
    assert [row["runtime"] for row in rows] == ["torch"] * 4 + ["onnxruntime"] * 2
    assert [row["precision"] for row in rows[:5]] == ["fp32", "bf16", "fp32", "bf16", "fp32"]
    assert all(set(row) >= COLUMNS for row in rows)
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)
    assert all(100 < row["peak_mib"] < 20_000 for row in rows)
    assert [row["strict3"] is None for row in rows] == [True, True, False, False, False, True]
    assert [row["ceiling_share"] is None for row in rows] == [False] * 5 + [True]
    assert rows[5]["size_mib"] < 0.1 < rows[4]["size_mib"]
    assert "limit in fp32" in result.output
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_memory_is_that_of_each_model_by_itself() -> None:
    settings = Settings((64, 96), rounds=3, batch=1)
    rows, _ = benchmark([open_contender(name, (64, 96)) for name in ("segformer_b5", "lite")], settings)
    assert rows[0].peak_mib is not None
    assert rows[1].peak_mib is not None
    assert rows[0].peak_mib > rows[1].peak_mib + 100


def test_the_share_of_the_limit_is_operations_over_time() -> None:
    contender = open_contender("lite", (64, 96))
    [row], ceilings = benchmark([contender], Settings((64, 96), rounds=3, batch=1, with_memory=False))
    assert row.peak_mib is None
    assert row.gmacs is not None
    assert row.ceiling_share == pytest.approx(2 * row.gmacs / row.p50_ms / 1e-3 / ceilings["fp32"].gops)
    assert row.ceiling_share < 1


def test_arithmetic_is_counted_as_it_is_run() -> None:
    contender = open_contender("segformer_b0", (64, 96))
    assert contender.gmacs is not None
    assert contender.gmacs < model_cost(default_spec("segformer_b0"), (64, 96)).gmacs / 2


def test_limits_are_known_of_what_this_machine_computes_in() -> None:
    loads = ceiling_loads(["fp32", "bf16", "int8", "as written", "fp32"], 1)
    assert set(loads) == {"fp32", "bf16", "int8"}
    for pair in loads.values():
        for load in (pair.product, pair.convolution):
            load.run()
    assert loads["fp32"].product.gops(1000) == pytest.approx(2 * 1.536**3)


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    fast = replace(ROW, model="fast", p50_ms=5, strict3=0.7)
    good = replace(ROW, model="good", p50_ms=9, strict3=0.8)
    beaten = replace(ROW, model="beaten", p50_ms=8, strict3=0.69)
    assert pareto_front([good, beaten, ROW, fast]) == [fast, good]


def test_what_cannot_be_timed_is_said(tmp_path: Path, onnx_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"known: .*drivable-lite.*; architectures: .*segformer_b3"):
        open_contender("segformerb3", (64, 96))
    path = tmp_path / "vector.onnx"
    torch.onnx.export(
        torch.nn.Linear(4, 2), (torch.zeros(1, 4),), path, dynamo=True, verbose=False, external_data=False
    )
    with pytest.raises(CheckpointError, match="three channels"):
        foreign(path)
    with pytest.raises(CheckpointError, match="No such file"):
        foreign(tmp_path / "none.onnx")
    path = tmp_path / "four.onnx"
    torch.onnx.export(
        torch.nn.Conv2d(3, 2, 1).eval(),
        (torch.zeros(4, 3, 8, 8),),
        path,
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    with pytest.raises(CheckpointError, match="takes 4 pictures at once"):
        foreign(path)
    for options in (["--plot", "plot.png"], ["--plot", "plot.xyz", "--data", "."], ["--size", "8x8"]):
        result = CliRunner().invoke(app, ["benchmark", "lite", *options])
        assert isinstance(result.exception, ConfigError)


def write_convolution(path: Path, location: str) -> None:
    """An ONNX file of another tool, whose kernel lies at a place of its choice."""
    kernel = onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "kernel")
    kernel.ClearField("raw_data")
    kernel.data_location = onnx.TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value=location)
    node = onnx.helper.make_node("Conv", ["x", "kernel"], ["y"])
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, num, 8, 8])
        for name, num in (("x", 3), ("y", 2))
    ]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:], [kernel])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)


def test_a_file_of_another_tool_reads_no_weights_from_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for place in (tmp_path / "secret.bin", folder / "own.bin"):
        place.write_bytes(np.ones(6, np.float32).tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    write_convolution(folder / "m.onnx", "own.bin")
    answers = foreign(folder / "m.onnx").segment_batch([np.zeros((9, 9, 3), np.uint8)])
    assert [answer.shape for answer in answers] == [(1, 2, 8, 8)]
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "link.bin"):
        write_convolution(folder / "m.onnx", location)
        with pytest.raises(CheckpointError, match="lies outside of"):
            foreign(folder / "m.onnx")
    os.mkfifo(folder / "pipe.bin")
    write_convolution(folder / "m.onnx", "pipe.bin")
    with pytest.raises(CheckpointError, match="not a regular file"):
        foreign(folder / "m.onnx")
    with pytest.raises(CheckpointError, match="not a regular file"):
        foreign(folder / "pipe.bin")
    (folder / "m.onnx").write_bytes(b"no model at all")
    with pytest.raises(CheckpointError, match="not readable as ONNX"):
        foreign(folder / "m.onnx")


def test_a_killed_measurement_of_memory_is_an_error() -> None:
    contender = open_contender("lite", (64, 96))

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(DrivableError, match="lite: the process that measures its memory was killed"):
        peak_mib(contender, Settings((64, 96)))
    killer.join()
